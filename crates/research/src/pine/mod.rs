//! Strategies as Pine Script v6.
//!
//! On the same candles, TradingView's strategy tester makes the trades that this crate's signals ask for, with
//! `process_orders_on_close` off and no margin: orders are placed at a close and fill at the next open.
//!
//! Pine Script and TradingView are trademarks of TradingView, Inc., with which this project is not affiliated.

mod text;

use std::fmt::Write as _;

use crate::{
    Commission, Parameter, ParameterRange, Parameters, Settings, Sides, Size, Strategy,
    expr::types::Base,
    number::whole,
    strategy::{BindError, Bound, Part},
};
use text::{Printer, functions, literal, name};

/// The script of a strategy with these values as the defaults of its inputs. `remarks` become comments at its head.
///
/// ```
/// use research::{Settings, catalogue, pine};
///
/// let strategy = catalogue::find("sma-cross").unwrap();
/// let script = pine::script(strategy, &strategy.defaults(), &Settings::default(), &["EURUSD, 1 hour"]).unwrap();
/// assert!(script.starts_with("//@version=6\n// EURUSD, 1 hour\nstrategy("));
/// assert!(script.contains("\nfast = input.int(10, \"fast\", minval = 2, maxval = 200)\n"));
/// assert!(script.contains("\nenterLong = ta.crossover(f, s)\n"));
/// ```
///
/// # Errors
/// When the values cannot be bound.
pub fn script(
    strategy: &Strategy,
    parameters: &Parameters,
    settings: &Settings,
    remarks: &[&str],
) -> Result<String, BindError> {
    let bound = strategy.bind(parameters)?;
    let mut printer = Printer::new(&strategy.program.variables);
    strategy.program.bindings.iter().for_each(|binding| printer.bind(binding));
    let parts = Parts::print(strategy, parameters, &mut printer);
    let guard = guard(&bound, &parts);
    let mut lines = vec!["//@version=6".to_owned()];
    // A line break in a remark would end the comment.
    let remarks = remarks.iter().flat_map(|remark| remark.split(|c: char| c.is_control()));
    lines.extend(remarks.map(|remark| format!("// {remark}")));
    lines.push(head(strategy, settings));
    lines.extend(functions(&printer.helpers));
    let inputs = strategy.parameters().iter().zip(parameters.values()).enumerate();
    let inputs = inputs.filter(|(place, _)| !strategy.is_taken_away(*place, parameters));
    lines.extend(inputs.map(|(_, (parameter, value))| input(parameter, *value)));
    lines.append(&mut printer.lines);
    lines.extend(orders(&parts, settings.sides(), guard));
    Ok(lines.join("\n") + "\n")
}

fn head(strategy: &Strategy, settings: &Settings) -> String {
    let (size_type, size) = match settings.size() {
        Size::PercentOfEquity(percent) => ("percent_of_equity", percent),
        Size::Fixed(quantity) => ("fixed", quantity),
        Size::Cash(money) => ("cash", money),
    };
    let (commission_type, commission) = match settings.commission() {
        Commission::Percent(percent) => ("percent", percent),
        Commission::PerContract(money) => ("cash_per_contract", money),
        Commission::PerOrder(money) => ("cash_per_order", money),
    };
    format!(
        "strategy(\"{}\", overlay = true, initial_capital = {}, default_qty_type = strategy.{size_type}, \
         default_qty_value = {size}, commission_type = strategy.commission.{commission_type}, \
         commission_value = {commission}, slippage = {}, pyramiding = 1, margin_long = 0, margin_short = 0)",
        strategy.title().replace('\\', "\\\\").replace('"', "\\\""),
        settings.capital(),
        settings.slippage_ticks(),
    )
}

fn input(parameter: &Parameter, value: f64) -> String {
    let (name, title) = (name(&parameter.name), &parameter.name);
    match &parameter.range {
        ParameterRange::Int { min, max, step, .. } => {
            let step = if *step == 1 { String::new() } else { format!(", step = {step}") };
            format!("{name} = input.int({value}, \"{title}\", minval = {min}, maxval = {max}{step})")
        }
        ParameterRange::Float { min, max, step, .. } => {
            // A bracket of 0 is left out of the script, so a bracket in the script is at least one step.
            let min = if parameter.optional { *step } else { *min };
            let [value, min, max, step] = [value, min, *max, *step].map(|number| literal(number, Base::Float));
            format!("{name} = input.float({value}, \"{title}\", minval = {min}, maxval = {max}, step = {step})")
        }
        ParameterRange::Choice { options, .. } => {
            let texts: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
            let value = &texts[whole(value).min(texts.len() - 1)];
            format!("{name} = input.string({value}, \"{title}\", options = [{}])", texts.join(", "))
        }
    }
}

/// The parts of a strategy as Pine expressions; their statements are in the printer.
struct Parts {
    has: [bool; Part::ALL.len()],
    max_bars: String,
}

impl Parts {
    fn print(strategy: &Strategy, parameters: &Parameters, printer: &mut Printer) -> Self {
        let mut parts = Self { has: [false; Part::ALL.len()], max_bars: String::new() };
        for (part, _) in Part::ALL {
            let Some(expr) = strategy.part_with(part, parameters) else { continue };
            parts.has[part as usize] = true;
            let value = printer.expression(expr);
            match variable(part) {
                Some(variable) => printer.lines.push(format!("{variable} = {value}")),
                None => parts.max_bars = value,
            }
        }
        parts
    }

    fn has(&self, part: Part) -> bool {
        self.has[part as usize]
    }

    fn has_bracket(&self) -> bool {
        self.has(Part::Stop) || self.has(Part::Target)
    }
}

/// The variable of a part. `max_bars` has none, because it is written where it is used.
fn variable(part: Part) -> Option<&'static str> {
    Some(match part {
        Part::EnterLong => "enterLong",
        Part::ExitLong => "exitLong",
        Part::EnterShort => "enterShort",
        Part::ExitShort => "exitShort",
        Part::Stop => "stopDistance",
        Part::Target => "targetDistance",
        Part::StopLevelLong => "stopLevelLong",
        Part::StopLevelShort => "stopLevelShort",
        Part::MaxBars => return None,
    })
}

/// The first bar of orders, if an entry could hold before it: because another part is defined later, or because a
/// condition holds before it is defined.
fn guard(bound: &Bound, parts: &Parts) -> Option<usize> {
    let defined = |part: Part| bound.root(part).map(|root| bound.graph().defined_at(root));
    // An entry is made only if its distances are above 0.
    let distances = [Part::Stop, Part::Target].into_iter().filter_map(defined);
    let distances = distances.map(|distance| distance.quiet).max().unwrap_or(0);
    let waits = |part| defined(part).is_none_or(|entry| entry.quiet.max(distances) >= bound.first());
    debug_assert!(parts.has(Part::EnterLong) || parts.has(Part::EnterShort));
    (!(waits(Part::EnterLong) && waits(Part::EnterShort))).then(|| bound.first())
}

/// One side of the orders.
struct Side {
    enter: Part,
    exit: Part,
    level: Part,
    enter_name: &'static str,
    exit_name: &'static str,
    go: &'static str,
    id: &'static str,
    direction: &'static str,
    flat: &'static str,
    held: &'static str,
    level_name: &'static str,
}

const LONG: Side = Side {
    enter: Part::EnterLong,
    exit: Part::ExitLong,
    level: Part::StopLevelLong,
    enter_name: "enterLong",
    exit_name: "exitLong",
    go: "goLong",
    id: "L",
    direction: "strategy.long",
    flat: "strategy.position_size <= 0",
    held: "strategy.position_size > 0",
    level_name: "stopLevelLong",
};

const SHORT: Side = Side {
    enter: Part::EnterShort,
    exit: Part::ExitShort,
    level: Part::StopLevelShort,
    enter_name: "enterShort",
    exit_name: "exitShort",
    go: "goShort",
    id: "S",
    direction: "strategy.short",
    flat: "strategy.position_size >= 0",
    held: "strategy.position_size < 0",
    level_name: "stopLevelShort",
};

fn orders(parts: &Parts, sides: Sides, guard: Option<usize>) -> Vec<String> {
    let has_time = parts.has(Part::MaxBars);
    let leaves = |side: &Side| parts.has(side.exit) || has_time;
    let pairs = [(&LONG, &SHORT), (&SHORT, &LONG)].map(|(side, other)| (side, other, parts.has(side.enter)));
    // The condition of an entry is a variable where it is used more than once.
    let is_reused = |side: &Side, other: &Side| {
        parts.has_bracket() || parts.has(side.level) || (parts.has(other.enter) && leaves(other))
    };
    let mut lines = Vec::new();
    if has_time {
        lines.push(format!(
            "timeOver = strategy.position_size != 0 and bar_index - strategy.opentrades.entry_bar_index(strategy.opentrades - 1) + 1 >= {}",
            parts.max_bars
        ));
    }
    let condition = |side: &Side, other: &Side| {
        let mut condition = side.enter_name.to_owned();
        let mut add = |is_there: bool, text: &str| {
            if is_there {
                let _ = write!(condition, " and {text}");
            }
        };
        add(parts.has(other.enter), &format!("not {}", other.enter_name));
        add(parts.has(side.exit), &format!("not {}", side.exit_name));
        add(parts.has(Part::Stop), "stopDistance > 0");
        add(parts.has(Part::Target), "targetDistance > 0");
        add(guard.is_some(), &format!("bar_index >= {}", guard.unwrap_or(0)));
        add(true, side.flat);
        condition
    };
    for (side, other, _) in pairs.iter().filter(|(side, other, enters)| *enters && is_reused(side, other)) {
        lines.push(format!("{} = {}", side.go, condition(side, other)));
    }
    for (side, other, _) in pairs.iter().filter(|(_, _, enters)| *enters) {
        let go = if is_reused(side, other) { side.go.to_owned() } else { condition(side, other) };
        lines.push(format!("if {go}"));
        lines.extend(entry(side, other, parts, sides));
    }
    for (side, _, _) in pairs.iter().filter(|(side, _, enters)| *enters && parts.has(side.level)) {
        lines.push(format!("if {} or {}", side.go, side.held));
        // A level is valid for one bar. Without a new order or a cancellation, that of the bar before would stay.
        lines.push(format!("    if na({})", side.level_name));
        lines.push(format!("        strategy.cancel(\"{}X\")", side.id));
        lines.push("    else".to_owned());
        lines.push(format!("        strategy.exit(\"{0}X\", \"{0}\", stop = {1})", side.id, side.level_name));
    }
    for (side, other, _) in pairs.iter().filter(|(side, _, enters)| *enters && leaves(side)) {
        let exit = match (parts.has(side.exit), has_time) {
            (true, true) => format!("({} or timeOver)", side.exit_name),
            (true, false) => side.exit_name.to_owned(),
            _ => "timeOver".to_owned(),
        };
        let reverses = if parts.has(other.enter) { format!(" and not {}", other.go) } else { String::new() };
        lines.push(format!("if {exit}{reverses}"));
        lines.push(format!("    strategy.close(\"{}\")", side.id));
    }
    lines
}

/// The orders of a side's entry. If a side may not be entered, its entry only closes the other side.
fn entry(side: &Side, other: &Side, parts: &Parts, sides: Sides) -> Vec<String> {
    let is_allowed = match sides {
        Sides::Both => true,
        Sides::Long => side.enter == Part::EnterLong,
        Sides::Short => side.enter == Part::EnterShort,
    };
    if !is_allowed {
        return vec![format!("    strategy.close(\"{}\")", other.id)];
    }
    let mut lines = vec![format!("    strategy.entry(\"{}\", {})", side.id, side.direction)];
    let distance = |part, argument, variable| {
        parts.has(part).then(|| format!(", {argument} = math.ceil({variable} / syminfo.mintick)"))
    };
    let loss = distance(Part::Stop, "loss", "stopDistance");
    let profit = distance(Part::Target, "profit", "targetDistance");
    if parts.has_bracket() {
        let (loss, profit) = (loss.unwrap_or_default(), profit.unwrap_or_default());
        lines.push(format!("    strategy.exit(\"{0}X\", \"{0}\"{loss}{profit})", side.id));
    }
    lines
}
