//! Functions that are expressions of others, parsed once.

use std::sync::LazyLock;

use super::{
    parse,
    tree::{Expr, Program, Variable},
    types::{Base, Type},
};
use crate::ops::{self, Kind, Operator, Rule};

/// The parsed expression of a function.
#[derive(Debug)]
pub(crate) struct Body {
    /// The inputs of the function, then its bound names.
    pub(crate) program: Program,
    /// One per result.
    pub(crate) results: Vec<Expr>,
}

static BODIES: LazyLock<Vec<Option<Body>>> = LazyLock::new(|| ops::table::OPERATORS.iter().map(parse_body).collect());

/// The expression of a function that has one.
pub(crate) fn body(operator: &'static Operator) -> Option<&'static Body> {
    BODIES.get(ops::place(operator))?.as_ref()
}

/// Panics if the text in the table does not parse. A test parses the whole table.
fn parse_body(operator: &Operator) -> Option<Body> {
    let Rule::Expression(text) = operator.rule else { return None };
    let inputs = operator.inputs.iter();
    let variables = inputs.map(|input| Variable { name: input.name.to_owned(), ty: of_kind(input.kind) }).collect();
    let mut program = Program { variables, bindings: Vec::new() };
    let (bindings, last) = text.rsplit_once('\n').map_or((None, text), |(bindings, last)| (Some(bindings), last));
    let mut nodes = 0;
    let refuse = |refusal: super::Refusal| panic!("{} in the table of functions: {}", operator.name, refusal.message);
    for line in bindings.into_iter().flat_map(str::lines) {
        parse::binding(line, &mut program, &mut nodes).unwrap_or_else(refuse);
    }
    let results = match last.strip_prefix('[').and_then(|last| last.strip_suffix(']')) {
        Some(inside) => split(inside),
        None => vec![last],
    };
    let results =
        results.iter().map(|text| parse::expression(text, &program, &mut nodes).unwrap_or_else(refuse_expr(operator)));
    let results = results.collect();
    Some(Body { program, results })
}

fn refuse_expr(operator: &Operator) -> impl Fn(super::Refusal) -> Expr + '_ {
    |refusal| panic!("{} in the table of functions: {}", operator.name, refusal.message)
}

/// The parts of a list between commas outside parentheses.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, character) in list.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

fn of_kind(kind: Kind) -> Type {
    match kind {
        Kind::Number => Type::series(Base::Float),
        Kind::Int => Type::series(Base::Int),
        Kind::Condition => Type::series(Base::Bool),
        Kind::Length => Type::constant(Base::Int),
        Kind::Factor => Type::constant(Base::Float),
        Kind::Flag => Type::constant(Base::Bool),
        Kind::Utc => Type::constant(Base::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_of_the_table_parses_and_has_its_results() {
        for operator in ops::table::OPERATORS {
            match operator.rule {
                Rule::Expression(_) => {
                    let body = body(operator).unwrap();
                    assert_eq!(body.results.len(), operator.outputs.len(), "{}", operator.name);
                }
                _ => assert!(body(operator).is_none(), "{}", operator.name),
            }
        }
    }
}
