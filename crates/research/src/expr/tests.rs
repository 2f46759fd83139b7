//! Tests of the parser.

use proptest::prelude::*;

use super::{
    MAX_DEPTH, MAX_NODES, Refusal,
    parse::{binding, expression},
    tree::{Expr, Node, Program, Unary, Variable},
    types::{Base, Type},
};

fn program() -> Program {
    let variables = [("n", Base::Int), ("factor", Base::Float), ("mode", Base::Text)];
    let variables = variables.map(|(name, base)| Variable { name: name.to_owned(), ty: Type::constant(base) });
    let mut program = Program { variables: variables.into(), bindings: Vec::new() };
    binding("f = ta.sma(close, n)", &mut program, &mut 0).unwrap();
    binding("[line, _, _] = ta.macd(close, n, 2 * n, 9)", &mut program, &mut 0).unwrap();
    program
}

fn parsed(text: &str) -> Result<Expr, Refusal> {
    expression(text, &program(), &mut 0)
}

#[test]
fn types_follow_from_the_parts() {
    for (text, ty) in [
        ("1", Type::constant(Base::Int)),
        ("n + 2 * n", Type::constant(Base::Int)),
        ("n / 2", Type::constant(Base::Float)),
        ("math.floor(n / 2)", Type::constant(Base::Int)),
        ("math.max(n, 3)", Type::constant(Base::Int)),
        ("math.max(n, factor)", Type::constant(Base::Float)),
        ("mode == \"fade\"", Type::constant(Base::Bool)),
        ("close", Type::series(Base::Float)),
        ("bar_index - n", Type::series(Base::Int)),
        ("f > line and not (close[1] < 2)", Type::series(Base::Bool)),
        ("n > 2 ? close : 1", Type::series(Base::Float)),
        ("(close > open)[n]", Type::series(Base::Bool)),
        ("ta.barssince(close > open)", Type::series(Base::Int)),
        ("-ta.obv", Type::series(Base::Float)),
    ] {
        assert_eq!(parsed(text).map(|expr| expr.ty), Ok(ty), "{text}");
    }
}

#[test]
fn operators_bind_as_in_pine() {
    let shape = |text: &str| {
        fn shape(expr: &Expr) -> String {
            match &expr.node {
                Node::Binary(binary, left, right) => {
                    format!("({} {} {})", shape(left), binary.level().1, shape(right))
                }
                Node::Unary(Unary::Not, inner) => format!("(not {})", shape(inner)),
                Node::Unary(Unary::Negate, inner) => format!("(-{})", shape(inner)),
                Node::Choose(parts) => {
                    format!("({} ? {} : {})", shape(&parts[0]), shape(&parts[1]), shape(&parts[2]))
                }
                Node::Past(inner, bars) => format!("{}[{}]", shape(inner), shape(bars)),
                Node::Number(number) => number.to_string(),
                Node::Source(source) => source.name().to_owned(),
                _ => "?".to_owned(),
            }
        }
        shape(&parsed(text).unwrap())
    };
    assert_eq!(shape("1 - 2 - 3 * 4 / 5"), "((1 - 2) - ((3 * 4) / 5))");
    assert_eq!(shape("-close[1] + 2 > 3 and 1 < 2 or 4 == 5"), "(((((-close[1]) + 2) > 3) and (1 < 2)) or (4 == 5))");
    assert_eq!(shape("not (1 < 2) and 3 < 4"), "((not (1 < 2)) and (3 < 4))");
    assert_eq!(shape("1 < 2 ? 3 : 4 < 5 ? 6 : 7"), "((1 < 2) ? 3 : ((4 < 5) ? 6 : 7))");
}

#[test]
fn what_does_not_fit_is_refused_where_it_stands() {
    for (text, offset, message) in [
        ("", 0, "expected an expression, but found the end"),
        ("close >", 7, "expected an expression, but found the end"),
        ("close open", 6, "expected an operator or the end, but found the name open"),
        ("close_", 0, "nothing is called close_; did you mean close?"),
        ("ta.smma(close, 2)", 0, "there is no function ta.smma; did you mean ta.sma?"),
        ("ta.sma", 0, "ta.sma is a function; write ta.sma(…)"),
        ("close(1)", 0, "close is a value and takes no arguments; write close[1] for its past"),
        ("ta.obv()", 0, "ta.obv takes no arguments"),
        ("ta.sma(close)", 0, "ta.sma takes 2 arguments, but 1 are given; write ta.sma(source, length)"),
        ("ta.sma(close, 2.5)", 14, "ta.sma takes an int constant as length, but this is a constant float"),
        ("ta.sma(close, bar_index)", 14, "ta.sma takes an int constant as length, but this is a series of int"),
        ("ta.sma(close > open, 2)", 7, "ta.sma takes a number as source, but this is a series of bool"),
        ("close[-1 > 0]", 6, "the number of bars to look back is an int constant"),
        ("close[bar_index]", 6, "the number of bars to look back is an int constant"),
        ("3[1]", 0, "a constant has no past"),
        ("close and open", 0, "the left side of `and` must be bool, but it is a series of float"),
        ("close > open > low", 0, "the left side of `>` must be a number"),
        ("not close", 4, "what follows `not` must be bool"),
        ("-(close > open)", 2, "what follows `-` must be a number"),
        ("close ? 1 : 2", 0, "the condition before `?` must be bool"),
        ("close > 1 ? 1 : open > 1", 16, "both branches must have one type, but they are int and bool"),
        ("mode == 1", 8, "the right side of `==` must be text"),
        ("ta.macd(close, 1, 2, 3)", 0, "ta.macd has several results; bind them first: [r1, r2, r3] = ta.macd(…)"),
        ("ta.sma(ta.macd(close, 1, 2, 3), 2)", 7, "ta.macd has several results"),
        ("hour(time, \"Europe/Berlin\")", 11, "hour takes the text \"UTC\" as timezone"),
        ("(close", 6, "expected `)`, but found the end"),
    ] {
        let refusal = parsed(text).unwrap_err();
        assert!(refusal.message.starts_with(message), "{text}: {}", refusal.message);
        assert_eq!(refusal.offset, offset, "{text}");
    }
}

#[test]
fn bindings_need_new_names_and_one_per_result() {
    let mut program = program();
    for (text, message) in [
        ("close = 1", "close has a meaning already"),
        ("f = close", "f is bound already"),
        ("n = close", "n is bound already"),
        ("nz = close", "nz has a meaning already"),
        ("[a, a] = ta.supertrend(1, 2)", "a is bound twice"),
        ("[a, b] = ta.sma(close, 2)", "this has 1 results, but 2 names are bound to them"),
        ("a = ta.supertrend(1, 2)", "this has 2 results, but 1 names are bound to them"),
        ("a close", "expected `=`"),
        ("ta.x = close", "\"ta.x\" is not a name"),
    ] {
        let refusal = binding(text, &mut program, &mut 0).unwrap_err();
        assert!(refusal.message.starts_with(message), "{text}: {}", refusal.message);
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let long = vec!["close"; MAX_NODES].join(" + ");
    assert!(parsed(&long).unwrap_err().message.contains("nested deeper"));
    let wide = format!("ta.sma({}, 2)", ["(close + open) * (high + low)"; 8].join(" + "));
    assert!(parsed(&wide).is_ok());
    let many = format!("close > 0 and ({})", vec![format!("({wide} > 1)"); 20].join(" or "));
    assert!(parsed(&many).unwrap_err().message.starts_with("the strategy has more than 512 parts"));
    for nest in ["(", "-", "not ", "close > 1 ? ", "ta.sma(", "close[", "1 + ("] {
        let text = nest.repeat(100_000);
        assert!(parsed(&text).is_err(), "{nest}");
    }
    let deep = |levels: usize| format!("{}close{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parsed(&deep(usize::from(MAX_DEPTH) - 1)).is_ok());
    assert!(parsed(&deep(usize::from(MAX_DEPTH))).unwrap_err().message.contains("nested deeper"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_inside_it(text in "\\PC{0,60}") {
        if let Err(refusal) = parsed(&text) {
            prop_assert!(text.is_char_boundary(refusal.offset));
        }
    }

    #[test]
    fn any_row_of_tokens_is_parsed_or_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "close", "f", "n", "1", "2.5", "ta.sma", "ta.macd", "nz", "(", ")", "[", "]", ",", "+", "-", "*", "/", "<", "==",
        "and", "or", "not", "?", ":", "true", "mode", "\"UTC\"", "hour", "time",
    ]), 0..40)) {
        let text = tokens.join(" ");
        if let Err(refusal) = parsed(&text) {
            prop_assert!(refusal.offset <= text.len());
        }
    }
}
