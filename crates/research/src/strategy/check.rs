//! Checks of definitions besides the expressions themselves.

use super::Part;
use crate::{
    definition::{Definition, Fault},
    expr::{
        Refusal,
        tree::Expr,
        types::{Base, Type},
    },
    graph::Operand,
    number::{MAX_LENGTH, real},
};

pub(super) fn check_texts(definition: &Definition<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let is_id = definition.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !(is_id && (1..=64).contains(&definition.id.len())) {
        faults.push(Fault::new("id", "an id has 1 to 64 lower-case letters, digits and hyphens"));
    }
    for (field, text, max) in
        [("title", definition.title, 100), ("about", definition.about, 500), ("source", definition.source, 200)]
    {
        if text.trim().is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
            faults.push(Fault::new(field, format!("this must be one line of 1 to {max} characters")));
        }
    }
    let (long, short) = (definition.enter_long.is_some(), definition.enter_short.is_some());
    if !long && !short {
        faults.push(Fault::new("", "the strategy never enters; give it enter_long or enter_short"));
    }
    for (field, is_there, enters, entry) in [
        ("exit_long", definition.exit_long.is_some(), long, "enter_long"),
        ("exit_short", definition.exit_short.is_some(), short, "enter_short"),
        ("stop_level_long", definition.stop_level_long.is_some(), long, "enter_long"),
        ("stop_level_short", definition.stop_level_short.is_some(), short, "enter_short"),
    ] {
        if is_there && !enters {
            faults.push(Fault::new(field, format!("without {entry} this has no effect; leave it out")));
        }
    }
    let has_level = definition.stop_level_long.is_some() || definition.stop_level_short.is_some();
    if has_level && (definition.stop.is_some() || definition.target.is_some()) {
        let message = "a strategy has either stop levels or a bracket of stop and target; leave one out";
        faults.push(Fault::new(if definition.stop.is_some() { "stop" } else { "target" }, message));
    }
    faults
}

pub(super) fn check_part(part: Part, expr: &Expr) -> Result<(), Refusal> {
    let fits = match part {
        Part::MaxBars => expr.ty == Type::constant(Base::Int),
        part if part.is_condition() => expr.ty.base == Base::Bool,
        _ => expr.ty.base.is_number(),
    };
    let wanted = match part {
        Part::MaxBars => "an int constant",
        part if part.is_condition() => "a condition",
        _ => "a number",
    };
    if fits { Ok(()) } else { Err(Refusal::new(expr.offset, format!("this must be {wanted}, but it is {}", expr.ty))) }
}

pub(super) fn check_max_bars(operand: Operand, expr: &Expr) -> Result<(), Refusal> {
    match operand {
        Operand::Number(bars) if (1.0..=real(MAX_LENGTH)).contains(&bars) => Ok(()),
        _ => Err(Refusal::new(expr.offset, format!("a position is held from 1 to {MAX_LENGTH} bars"))),
    }
}

/// The text of a field, for the place of a fault in it.
pub(super) fn text_of<'a>(definition: &Definition<'a>, field: &str) -> &'a str {
    let listed = |prefix: &str, list: &'a [&'a str]| -> Option<&'a str> {
        let place = field.strip_prefix(prefix)?.strip_suffix(']')?;
        list.get(place.parse::<usize>().ok()?).copied()
    };
    let part = Part::ALL.iter().find(|(_, name)| *name == field).and_then(|(part, _)| part.of(definition));
    part.or_else(|| listed("lets[", definition.lets))
        .or_else(|| listed("constraints[", definition.constraints))
        .unwrap_or("")
}
