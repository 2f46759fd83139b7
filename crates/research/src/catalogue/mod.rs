//! A hundred known strategies, by family.
//!
//! Ranges follow one rule unless a strategy says otherwise: lengths go from a quarter of the default to five times
//! the default, multipliers from a third of it to three times it, and levels over the scale of their oscillator. A
//! strategy that goes long and short is reversed by the opposite entry. A strategy that expects a return to the
//! middle leaves there.

mod breakout;
mod momentum;
mod pattern;
mod reversion;
mod session;
mod several;
mod statistical;
mod trend;
mod volatility;
mod volume;

use std::sync::LazyLock;

use crate::{
    Strategy,
    definition::{Definition, ParameterDefinition, RangeDefinition},
};

/// The definitions of a family's strategies, family by family.
const FAMILIES: [&[Definition<'static>]; 10] = [
    trend::DEFINITIONS,
    reversion::DEFINITIONS,
    breakout::DEFINITIONS,
    momentum::DEFINITIONS,
    volatility::DEFINITIONS,
    volume::DEFINITIONS,
    pattern::DEFINITIONS,
    several::DEFINITIONS,
    session::DEFINITIONS,
    statistical::DEFINITIONS,
];

static STRATEGIES: LazyLock<Vec<Strategy>> = LazyLock::new(|| {
    // A test parses every definition, so that none is missing here.
    definitions().filter_map(|definition| Strategy::parse(definition).ok()).collect()
});

/// The definitions of all strategies.
pub fn definitions() -> impl Iterator<Item = &'static Definition<'static>> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// All strategies. They are parsed at the first call.
#[must_use]
pub fn all() -> &'static [Strategy] {
    &STRATEGIES
}

/// The strategy of that id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Strategy> {
    all().iter().find(|strategy| strategy.id() == id)
}

/// The ids that are most similar to `id`, most similar first.
#[must_use]
pub fn nearest(id: &str, count: usize) -> Vec<&'static str> {
    let lower = id.to_lowercase();
    let mut near: Vec<_> =
        all().iter().map(|strategy| (strsim::jaro_winkler(&lower, strategy.id()), strategy.id())).collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    near.into_iter().take(count).map(|(_, id)| id).collect()
}

const fn int(
    name: &'static str,
    default: i64,
    min: i64,
    max: i64,
    about: &'static str,
) -> ParameterDefinition<'static> {
    ParameterDefinition { name, about, range: RangeDefinition::Int { default, min, max, step: 1 } }
}

const fn float(
    name: &'static str,
    default: f64,
    min: f64,
    max: f64,
    step: f64,
    about: &'static str,
) -> ParameterDefinition<'static> {
    ParameterDefinition { name, about, range: RangeDefinition::Float { default, min, max, step } }
}

const fn choice(
    name: &'static str,
    default: &'static str,
    options: &'static [&'static str],
    about: &'static str,
) -> ParameterDefinition<'static> {
    ParameterDefinition { name, about, range: RangeDefinition::Choice { default, options } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_a_strategy_with_an_id_of_its_own() {
        for definition in definitions() {
            if let Err(errors) = Strategy::parse(definition) {
                panic!("{}: {errors:#?}", definition.id);
            }
        }
        assert_eq!(all().len(), 100);
        for (place, strategy) in all().iter().enumerate() {
            assert!(
                all()[..place]
                    .iter()
                    .all(|earlier| earlier.id() != strategy.id() && earlier.title() != strategy.title())
            );
        }
    }

    #[test]
    fn near_ids_are_found() {
        assert_eq!(nearest("sma_cross", 3)[0], "sma-cross");
        assert_eq!(nearest("Supertrend", 1), ["supertrend"]);
    }
}
