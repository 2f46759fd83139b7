//! The tree of an expression. Every tree is checked: its names are resolved, and its types fit.

use std::ops::Range;

use super::types::Type;
use crate::ops::Operator;

#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) node: Node,
    pub(crate) ty: Type,
    /// The start of the expression, in bytes from the start of its text.
    pub(crate) offset: usize,
    /// The number of nodes on the longest path down, this one included.
    pub(crate) depth: u8,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Number(f64),
    Text(String),
    Flag(bool),
    Source(Source),
    /// A parameter or a bound name: an index into [`Program::variables`].
    Variable(usize),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// Condition, value where it holds, value elsewhere.
    Choose(Box<[Expr; 3]>),
    /// A series, and the constant number of bars to look back.
    Past(Box<Expr>, Box<Expr>),
    Call(&'static Operator, Vec<Expr>),
}

/// A column of the bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Open,
    High,
    Low,
    Close,
    Volume,
    Hl2,
    Hlc3,
    Ohlc4,
    Time,
    BarIndex,
}

impl Source {
    /// Each column, its name in the language and its words.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Open, "open", "the open"),
        (Self::High, "high", "the high"),
        (Self::Low, "low", "the low"),
        (Self::Close, "close", "the close"),
        (Self::Volume, "volume", "the volume"),
        (Self::Hl2, "hl2", "the middle of high and low"),
        (Self::Hlc3, "hlc3", "the mean of high, low and close"),
        (Self::Ohlc4, "ohlc4", "the mean of open, high, low and close"),
        (Self::Time, "time", "the bar's time"),
        (Self::BarIndex, "bar_index", "the bar's number"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    pub(crate) fn words(self) -> &'static str {
        Self::ALL[self as usize].2
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Negate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Binary {
    /// The precedence and the operator of a sign. An operator that binds more strongly has a higher precedence.
    pub(crate) fn of_sign(sign: &str) -> Option<(usize, Self)> {
        Some(match sign {
            "or" => (0, Self::Or),
            "and" => (1, Self::And),
            "==" => (2, Self::Equal),
            "!=" => (2, Self::NotEqual),
            "<" => (3, Self::Less),
            "<=" => (3, Self::LessOrEqual),
            ">" => (3, Self::Greater),
            ">=" => (3, Self::GreaterOrEqual),
            "+" => (4, Self::Add),
            "-" => (4, Self::Subtract),
            "*" => (5, Self::Multiply),
            "/" => (5, Self::Divide),
            "%" => (5, Self::Remainder),
            _ => return None,
        })
    }

    /// Its precedence and its sign.
    pub(crate) fn level(self) -> (usize, &'static str) {
        match self {
            Self::Or => (0, "or"),
            Self::And => (1, "and"),
            Self::Equal => (2, "=="),
            Self::NotEqual => (2, "!="),
            Self::Less => (3, "<"),
            Self::LessOrEqual => (3, "<="),
            Self::Greater => (3, ">"),
            Self::GreaterOrEqual => (3, ">="),
            Self::Add => (4, "+"),
            Self::Subtract => (4, "-"),
            Self::Multiply => (5, "*"),
            Self::Divide => (5, "/"),
            Self::Remainder => (5, "%"),
        }
    }
}

/// A name and its type.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: Type,
}

/// Names bound to the results of an expression.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// The variables that are bound; more than one if the expression is a call with several results.
    pub(crate) targets: Range<usize>,
    pub(crate) value: Expr,
}

/// Parameters, and names bound in order. Each binding may use the names before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    /// Parameters first, then bound names.
    pub(crate) variables: Vec<Variable>,
    pub(crate) bindings: Vec<Binding>,
}

impl Expr {
    /// Calls `visit` for this expression and all parts of it, parts first.
    pub(crate) fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        match &self.node {
            Node::Number(_) | Node::Text(_) | Node::Flag(_) | Node::Source(_) | Node::Variable(_) => {}
            Node::Unary(_, inner) => inner.visit(visit),
            Node::Binary(_, left, right) | Node::Past(left, right) => {
                left.visit(visit);
                right.visit(visit);
            }
            Node::Choose(parts) => parts.iter().for_each(|part| part.visit(visit)),
            Node::Call(_, arguments) => arguments.iter().for_each(|argument| argument.visit(visit)),
        }
        visit(self);
    }
}
