//! The language in which strategies are written: a subset of the expressions of Pine v6.
//!
//! ```text
//! binding     = name "=" expression | "[" name { "," name } "]" "=" call
//! expression  = or [ "?" expression ":" expression ]
//! or          = and { "or" and }
//! and         = equality { "and" equality }
//! equality    = comparison { ( "==" | "!=" ) comparison }
//! comparison  = sum { ( "<" | "<=" | ">" | ">=" ) sum }
//! sum         = product { ( "+" | "-" ) product }
//! product     = unary { ( "*" | "/" | "%" ) unary }
//! unary       = ( "not" | "-" | "+" ) unary | postfix
//! postfix     = primary { "[" expression "]" }
//! primary     = number | text | "true" | "false" | name | call | "(" expression ")"
//! call        = name "(" [ expression { "," expression } ] ")"
//! ```
//!
//! `x[n]` is `x` of n bars ago. `n` is a constant that is not negative, and no function looks ahead, so no expression can read
//! the future. Names of functions contain dots as in Pine (`ta.sma`). A number is an int or a float, and an int is accepted in
//! place of a float. An expression of literals and parameters alone is a constant; lengths and factors have to be constants.
//!
//! Numbers that differ by no more than 10⁻¹⁰ are equal in comparisons, as they are to TradingView.
//!
//! [`lex`] makes tokens, [`parse`] a [`tree`], and [`types`] has the types that the parser checks.

pub(crate) mod body;
pub(crate) mod lex;
pub(crate) mod parse;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod types;

use std::fmt;

use crate::ops;

/// The maximum depth of an expression.
pub const MAX_DEPTH: u8 = 64;
/// The maximum number of nodes in all expressions of one strategy.
pub const MAX_NODES: usize = 512;

/// A function of the language, or a name such as `close`, which has no arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The names of its arguments in order.
    pub arguments: Vec<&'static str>,
    /// Each result in words, with `{0}` for the first argument. A function with several results is bound to as many names.
    pub results: Vec<&'static str>,
}

/// All functions of the language.
///
/// ```
/// let functions: Vec<_> = research::expr::functions().collect();
/// let sma = functions.iter().find(|function| function.name == "ta.sma").unwrap();
/// assert_eq!(sma.arguments, ["source", "length"]);
/// assert_eq!(sma.results, ["the simple average of {0} over {1} bars"]);
/// ```
pub fn functions() -> impl Iterator<Item = Function> {
    ops::table::OPERATORS.iter().map(|operator| Function {
        name: operator.name,
        arguments: operator.inputs.iter().map(|input| input.name).collect(),
        results: operator.words.split('|').collect(),
    })
}

/// A place in a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The place of the byte at `offset` in `text`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The reason for which an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprError {
    /// Offset of the refused part in bytes from the start of the expression.
    pub offset: usize,
    /// The same place as line and column of the expression.
    pub at: Position,
    /// The fault, and the way to mend it.
    pub message: String,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for ExprError {}

/// A refusal before its offset is turned into line and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}
