//! The rules of a strategy in words.

use std::fmt;

use crate::{
    Strategy,
    expr::tree::{Binary, Expr, Node, Unary, Variable},
    strategy::Part,
};

/// The rules of a strategy in words. It prints as one line per rule and term.
///
/// ```
/// use research::{catalogue, describe};
///
/// let text = describe(catalogue::find("sma-cross").unwrap()).to_string();
/// assert!(text.starts_with("Enters long when f crosses above s.\nEnters short when f crosses below s.\n"));
/// assert!(text.contains("\nf is the simple average of the close over fast bars.\n"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// One sentence per rule, in the order of entries, exits and stops.
    pub rules: Vec<String>,
    /// One sentence per name that the rules use, in the order in which they are bound.
    pub terms: Vec<String>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.iter().chain(&self.terms).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Describes the rules of a strategy.
#[must_use]
pub fn describe(strategy: &Strategy) -> Description {
    let words = Words { variables: &strategy.program.variables };
    let rules = Part::ALL.iter().filter_map(|(part, _)| {
        let parameter = strategy.bracket(*part);
        let bracket = |kind: &str, value: &str| match parameter {
            Some(parameter) => {
                format!("If {parameter} is above 0, sets a {kind} at this distance from the entry: {value}.")
            }
            None => format!("Sets a {kind} at this distance from the entry: {value}."),
        };
        let value = words.of(strategy.part(*part)?);
        Some(match part {
            Part::EnterLong => format!("Enters long when {value}."),
            Part::ExitLong => format!("Leaves a long position when {value}."),
            Part::EnterShort => format!("Enters short when {value}."),
            Part::ExitShort => format!("Leaves a short position when {value}."),
            Part::Stop => bracket("stop", &value),
            Part::Target => bracket("target", &value),
            Part::StopLevelLong => format!("Moves the stop of a long position at each close to {value}."),
            Part::StopLevelShort => format!("Moves the stop of a short position at each close to {value}."),
            Part::MaxBars => format!("Holds a position for at most this number of bars: {value}."),
        })
    });
    let terms = strategy.program.bindings.iter().map(|binding| {
        let names: Vec<&str> =
            strategy.program.variables[binding.targets.clone()].iter().map(|name| name.name.as_str()).collect();
        words.binding(&names, &binding.value)
    });
    Description { rules: rules.collect(), terms: terms.collect() }
}

struct Words<'a> {
    variables: &'a [Variable],
}

impl Words<'_> {
    fn binding(&self, names: &[&str], value: &Expr) -> String {
        match &value.node {
            Node::Call(operator, arguments) if names.len() > 1 => {
                let arguments: Vec<String> = arguments.iter().map(|argument| self.of(argument)).collect();
                let texts = operator.words.split('|').map(|text| fill(text, &arguments));
                let texts = names.iter().zip(texts).filter(|(name, _)| **name != "_");
                texts.map(|(name, text)| format!("{name} is {text}")).collect::<Vec<_>>().join("; ") + "."
            }
            _ if value.ty.base == crate::expr::types::Base::Bool => {
                format!("{} means that {}.", names.concat(), self.of(value))
            }
            _ => format!("{} is {}.", names.concat(), self.of(value)),
        }
    }

    fn of(&self, expr: &Expr) -> String {
        match &expr.node {
            Node::Number(number) => format!("{number}"),
            Node::Text(text) => text.clone(),
            Node::Flag(flag) => (if *flag { "always" } else { "never" }).to_owned(),
            Node::Source(source) => source.words().to_owned(),
            Node::Variable(place) => self.variables[*place].name.clone(),
            Node::Unary(Unary::Not, inner) => format!("not ({})", self.of(inner)),
            Node::Unary(Unary::Negate, inner) => format!("−{}", self.part(inner)),
            Node::Binary(binary, left, right) => self.binary(*binary, left, right),
            Node::Choose(parts) => {
                format!("{} if {}, else {}", self.part(&parts[1]), self.of(&parts[0]), self.part(&parts[2]))
            }
            Node::Past(inner, bars) => match &bars.node {
                Node::Number(1.0) => format!("{} one bar before", self.part(inner)),
                _ => format!("{} {} bars before", self.part(inner), self.part(bars)),
            },
            Node::Call(operator, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(|argument| self.part(argument)).collect();
                fill(operator.words.split('|').next().unwrap_or_default(), &arguments)
            }
        }
    }

    fn binary(&self, binary: Binary, left: &Expr, right: &Expr) -> String {
        let word = match binary {
            Binary::And => "and",
            Binary::Or => "or",
            Binary::Equal => "equals",
            Binary::NotEqual => "differs from",
            Binary::Less => "is below",
            Binary::LessOrEqual => "is at most",
            Binary::Greater => "is above",
            Binary::GreaterOrEqual => "is at least",
            Binary::Add => "+",
            Binary::Subtract => "−",
            Binary::Multiply => "×",
            Binary::Divide => "/",
            Binary::Remainder => "modulo",
        };
        // "a and b and c" needs no parentheses; nor does a comparison inside it.
        let side = |expr: &Expr| match &expr.node {
            Node::Binary(inner, ..) if *inner == binary && matches!(binary, Binary::And | Binary::Or | Binary::Add) => {
                self.of(expr)
            }
            Node::Binary(inner, ..)
                if matches!(binary, Binary::And | Binary::Or) && !matches!(inner, Binary::And | Binary::Or) =>
            {
                self.of(expr)
            }
            Node::Binary(inner, ..) if binary.level().0 < inner.level().0 && inner.level().0 > 3 => self.of(expr),
            _ => self.part(expr),
        };
        format!("{} {word} {}", side(left), side(right))
    }

    /// The words as a part of others: in parentheses if they have parts themselves.
    fn part(&self, expr: &Expr) -> String {
        let words = self.of(expr);
        if matches!(expr.node, Node::Binary(..) | Node::Choose(_)) { format!("({words})") } else { words }
    }
}

/// Puts arguments in the places `{0}`, `{1}`….
fn fill(text: &str, arguments: &[String]) -> String {
    let places = arguments.iter().enumerate();
    places.fold(text.to_owned(), |text, (place, argument)| text.replace(&format!("{{{place}}}"), argument))
}
