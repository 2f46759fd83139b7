//! Scripts in Pine Script v6.
#![expect(clippy::unwrap_used, reason = "what these tests print is in the catalogue")]

use research::{Commission, Definition, Settings, Sides, Size, Strategy, catalogue, pine};

const HEAD: &str = "overlay = true, initial_capital = 10000, default_qty_type = strategy.percent_of_equity, default_qty_value = 10, \
                    commission_type = strategy.commission.percent, commission_value = 0.02, slippage = 0, pyramiding = 1, \
                    margin_long = 0, margin_short = 0)";

fn settings() -> Settings {
    Settings::default().with_commission(Commission::Percent(0.02)).unwrap()
}

fn script_of(id: &str, values: &[(&str, &str)]) -> String {
    let strategy = catalogue::find(id).unwrap();
    let parameters = strategy.parameters_of(values.iter().copied()).unwrap();
    pine::script(strategy, &parameters, &settings(), &[]).unwrap()
}

/// The script without its first two lines, which are compared once.
fn body_of(id: &str, values: &[(&str, &str)]) -> String {
    let script = script_of(id, values);
    script.splitn(3, '\n').nth(2).unwrap().to_owned()
}

#[test]
fn a_crossing_is_printed_whole() {
    let expected = format!(
        r#"//@version=6
strategy("Crossing of two simple averages", {HEAD}
fast = input.int(10, "fast", minval = 2, maxval = 200)
slow = input.int(30, "slow", minval = 3, maxval = 400)
f = ta.sma(close, fast)
s = ta.sma(close, slow)
enterLong = ta.crossover(f, s)
enterShort = ta.crossunder(f, s)
if enterLong and not enterShort and strategy.position_size <= 0
    strategy.entry("L", strategy.long)
if enterShort and not enterLong and strategy.position_size >= 0
    strategy.entry("S", strategy.short)
"#
    );
    assert_eq!(script_of("sma-cross", &[]), expected);
}

#[test]
fn a_side_with_exit_is_printed() {
    let expected = r#"length = input.int(2, "length", minval = 2, maxval = 14)
below = input.float(10.0, "below", minval = 1.0, maxval = 40.0, step = 1.0)
trend = input.int(200, "trend", minval = 20, maxval = 400)
exit_ = input.int(5, "exit", minval = 2, maxval = 50)
r = ta.rsi(close, length)
t = ta.sma(close, trend)
x = ta.sma(close, exit_)
enterLong = r < below and close > t
exitLong = close > x
if enterLong and not exitLong and strategy.position_size <= 0
    strategy.entry("L", strategy.long)
if exitLong
    strategy.close("L")
"#;
    assert_eq!(body_of("rsi2", &[]), expected);
}

#[test]
fn a_stop_becomes_ticks() {
    let expected = r#"upper = ta.highest(high, entry)[1]
lower = ta.lowest(low, entry)[1]
xl = ta.lowest(low, exit_)[1]
xu = ta.highest(high, exit_)[1]
n = ta.atr(atr_length)
enterLong = close > upper
exitLong = close < xl
enterShort = close < lower
exitShort = close > xu
stopDistance = stop_atr * n
goLong = enterLong and not enterShort and not exitLong and stopDistance > 0 and strategy.position_size <= 0
goShort = enterShort and not enterLong and not exitShort and stopDistance > 0 and strategy.position_size >= 0
if goLong
    strategy.entry("L", strategy.long)
    strategy.exit("LX", "L", loss = math.ceil(stopDistance / syminfo.mintick))
if goShort
    strategy.entry("S", strategy.short)
    strategy.exit("SX", "S", loss = math.ceil(stopDistance / syminfo.mintick))
if exitLong and not goShort
    strategy.close("L")
if exitShort and not goLong
    strategy.close("S")
"#;
    assert!(body_of("donchian", &[]).ends_with(expected));
}

#[test]
fn several_results_and_the_past_are_printed() {
    let expected = r"[line, dir] = ta.supertrend(factor, atr_length)
enterLong = dir < 0 and dir[1] > 0
enterShort = dir > 0 and dir[1] < 0
if enterLong";
    assert!(body_of("supertrend", &[]).contains(expected));
}

#[test]
fn functions_that_pine_lacks_are_printed_before_their_use() {
    let body = body_of("session-range", &[]);
    let expected = r"running_max(float value, bool reset, bool when) =>
    var float m = na
    m := reset ? value : when ? math.max(m, value) : m
    m
running_min(";
    assert!(body.starts_with(expected), "{body}");
    let expected = r#"
h = hour(time, "UTC")
in_range = h >= from_hour and h < to_hour
starts = in_range and not in_range[1]
top = running_max(high, starts, in_range)
bottom = running_min(low, starts, in_range)
tradable = h >= to_hour and h < close_hour
up = ta.crossover(close, top)
down = ta.crossunder(close, bottom)
enterLong = tradable and up
exitLong = h >= close_hour
enterShort = tradable and down
exitShort = h >= close_hour
goLong = enterLong and not enterShort and not exitLong and strategy.position_size <= 0
"#;
    assert!(body.contains(expected), "{body}");
    let derived = "trix(float source, simple int length) =>\n    thrice = ta.ema(ta.ema(ta.ema(source, length), length), length)\n    \
                   100 * (thrice - thrice[1]) / thrice[1]\n";
    assert!(body_of("trix-zero", &[]).starts_with(derived));
}

#[test]
fn parameters_become_inputs_with_their_values() {
    let body = body_of("sma-cross", &[("fast", "7"), ("stop_atr", "2"), ("target_atr", "3.5")]);
    for line in [
        "fast = input.int(7, \"fast\", minval = 2, maxval = 200)\n",
        "stop_atr = input.float(2.0, \"stop_atr\", minval = 0.1, maxval = 10.0, step = 0.1)\n",
        "stopDistance = stop_atr * ta.atr(14)\n",
        "targetDistance = target_atr * ta.atr(14)\n",
        "goLong = enterLong and not enterShort and stopDistance > 0 and targetDistance > 0 and strategy.position_size <= 0\n",
        "    strategy.exit(\"LX\", \"L\", loss = math.ceil(stopDistance / syminfo.mintick), \
         profit = math.ceil(targetDistance / syminfo.mintick))\n",
    ] {
        assert!(body.contains(line), "{line}{body}");
    }
    let body = body_of("day-gap", &[("mode", "follow")]);
    assert!(body.contains("mode = input.string(\"follow\", \"mode\", options = [\"fade\", \"follow\"])\n"));
    assert!(body.contains("enterLong = mode == \"follow\" ? rose : fell\n"));
}

#[test]
fn the_longest_holding_time_closes_positions() {
    let body = body_of("outside-bar", &[]);
    let expected = "timeOver = strategy.position_size != 0 and \
                    bar_index - strategy.opentrades.entry_bar_index(strategy.opentrades - 1) + 1 >= hold\n";
    assert!(body.contains(expected), "{body}");
    assert!(body.contains("if timeOver and not goShort\n    strategy.close(\"L\")\n"));
}

#[test]
fn settings_stand_in_the_head() {
    let strategy = catalogue::find("sma-cross").unwrap();
    let settings = Settings::default()
        .with_capital(2500.5)
        .and_then(|settings| settings.with_size(Size::Cash(300.0)))
        .and_then(|settings| settings.with_commission(Commission::PerOrder(1.5)))
        .and_then(|settings| settings.with_slippage_ticks(3))
        .unwrap();
    let script =
        pine::script(strategy, &strategy.defaults(), &settings, &["first", "second\nstrategy(\"x\")"]).unwrap();
    assert!(
        script.starts_with("//@version=6\n// first\n// second\n// strategy(\"x\")\nstrategy(\"Crossing"),
        "{script}"
    );
    assert!(script.contains(
        "initial_capital = 2500.5, default_qty_type = strategy.cash, default_qty_value = 300, \
         commission_type = strategy.commission.cash_per_order, commission_value = 1.5, slippage = 3,"
    ));
}

#[test]
fn a_side_that_may_not_be_entered_leaves_the_other() {
    let strategy = catalogue::find("sma-cross").unwrap();
    let script = |sides| pine::script(strategy, &strategy.defaults(), &settings().with_sides(sides), &[]).unwrap();
    let long = "if enterShort and not enterLong and strategy.position_size >= 0\n    strategy.close(\"L\")\n";
    assert!(script(Sides::Long).ends_with(long));
    assert!(!script(Sides::Long).contains("strategy.short"));
    assert!(script(Sides::Short).contains("strategy.position_size <= 0\n    strategy.close(\"S\")\n"));
    assert!(!script(Sides::Short).contains("strategy.long)"));
}

#[test]
fn stop_levels_are_issued_at_each_close() {
    let definition = Definition {
        id: "levels",
        title: "Levels",
        about: "A stop that follows.",
        source: "test",
        enter_long: Some("close > open"),
        stop_level_long: Some("ta.lowest(low, 5)"),
        ..Definition::EMPTY
    };
    let strategy = Strategy::parse(&definition).unwrap();
    let script = pine::script(&strategy, &strategy.defaults(), &settings(), &[]).unwrap();
    let expected = "stopLevelLong = ta.lowest(low, 5)\n\
                    goLong = enterLong and bar_index >= 4 and strategy.position_size <= 0\n\
                    if goLong\n    strategy.entry(\"L\", strategy.long)\n\
                    if goLong or strategy.position_size > 0\n    if na(stopLevelLong)\n        strategy.cancel(\"LX\")\n    \
                    else\n        strategy.exit(\"LX\", \"L\", stop = stopLevelLong)\n";
    assert!(script.ends_with(expected), "{script}");
}

#[test]
fn calls_that_keep_state_are_never_skipped() {
    let definition = Definition {
        id: "lazy",
        title: "A \"title\" with \\ and é",
        about: "Calls behind and, or and a choice.",
        source: "test",
        enter_long: Some("close > open and (ta.crossover(close, ta.sma(open, 3)) or ta.rsi(close, 2) > 50)"),
        exit_long: Some("(close > open ? ta.ema(close, 3) : (close + open)[1]) > 1"),
        ..Definition::EMPTY
    };
    let strategy = Strategy::parse(&definition).unwrap();
    let script = pine::script(&strategy, &strategy.defaults(), &settings(), &[]).unwrap();
    let expected = "v1 = ta.crossover(close, ta.sma(open, 3))\n\
                    v2 = ta.rsi(close, 2)\n\
                    enterLong = close > open and (v1 or v2 > 50)\n\
                    v3 = ta.ema(close, 3)\n\
                    v4 = close + open\n\
                    exitLong = (close > open ? v3 : v4[1]) > 1\n";
    assert!(script.contains(expected), "{script}");
    assert!(script.contains("strategy(\"A \\\"title\\\" with \\\\ and é\", "));
}

#[test]
fn every_strategy_prints_with_every_combination_of_brackets() {
    for strategy in catalogue::all() {
        for (stop, target) in [("0", "0"), ("1.5", "0"), ("0", "2"), ("1", "2")] {
            let brackets = [("stop_atr", stop), ("target_atr", target)];
            // A strategy with a stop of its own takes no stop of 0.
            let Ok(parameters) = strategy.parameters_of(brackets) else { continue };
            let script = pine::script(strategy, &parameters, &settings(), &[]).unwrap();
            assert!(script.ends_with('\n') && script.lines().all(|line| !line.trim().is_empty()));
            assert_eq!(script.contains("stopDistance"), stop != "0", "{}", strategy.id());
            assert_eq!(script.contains("targetDistance"), target != "0", "{}", strategy.id());
            // Each name is assigned once, since Pine refuses a second declaration.
            let names = script.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(" = "));
            let mut names: Vec<&str> =
                names.map(|(name, _)| name).filter(|name| !name.starts_with(['[', '/', 's'])).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", strategy.id());
        }
    }
}
