//! Expressions as Pine text.

use crate::{
    expr::{
        body::body,
        tree::{Binary, Binding, Expr, Node, Unary, Variable},
        types::Base,
    },
    ops::{Kind, Operator, Pine},
};

/// Words of Pine, and names that a script uses itself. A parameter or binding with such a name gets a `_` behind it.
const TAKEN: &[&str] = &[
    "alert",
    "and",
    "array",
    "ask",
    "bar_index",
    "bid",
    "bool",
    "box",
    "break",
    "by",
    "case",
    "catch",
    "chart",
    "class",
    "close",
    "color",
    "const",
    "continue",
    "currency",
    "dayofmonth",
    "dayofweek",
    "default",
    "display",
    "do",
    "ellipse",
    "else",
    "enum",
    "exit",
    "export",
    "extend",
    "false",
    "fill",
    "final",
    "fixnan",
    "float",
    "for",
    "hour",
    "if",
    "import",
    "in",
    "indicator",
    "input",
    "int",
    "is",
    "label",
    "library",
    "log",
    "map",
    "math",
    "matrix",
    "method",
    "minute",
    "month",
    "na",
    "not",
    "nz",
    "open",
    "or",
    "order",
    "plot",
    "polygon",
    "position",
    "range",
    "request",
    "return",
    "second",
    "series",
    "session",
    "shape",
    "simple",
    "size",
    "strategy",
    "str",
    "string",
    "struct",
    "switch",
    "syminfo",
    "ta",
    "table",
    "text",
    "throw",
    "ticker",
    "time",
    "timeframe",
    "timestamp",
    "true",
    "try",
    "type",
    "var",
    "varip",
    "void",
    "volume",
    "weekofyear",
    "while",
    "year",
    "enterLong",
    "enterShort",
    "exitLong",
    "exitShort",
    "goLong",
    "goShort",
    "stopDistance",
    "targetDistance",
    "stopLevelLong",
    "stopLevelShort",
    "timeOver",
];

/// The name as Pine accepts it.
pub(super) fn name(name: &str) -> String {
    if TAKEN.contains(&name) { format!("{name}_") } else { name.to_owned() }
}

/// A number as a literal of its type: a float has a point.
pub(super) fn literal(number: f64, base: Base) -> String {
    match base {
        Base::Float if number.fract() == 0.0 => format!("{number:.1}"),
        _ => format!("{number}"),
    }
}

/// Precedence of a text: 0 to 5 are the levels of binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Choice,
    Binary(usize),
    Unary,
    Primary,
}

/// Prints expressions over the names of one scope.
#[derive(Debug)]
pub(super) struct Printer {
    names: Vec<String>,
    /// Statements that have to come before what is printed next.
    pub(super) lines: Vec<String>,
    /// Functions that the expressions use and Pine does not have, in the order of their first use.
    pub(super) helpers: Vec<&'static Operator>,
    hoisted: usize,
}

impl Printer {
    pub(super) fn new(variables: &[Variable]) -> Self {
        let names = variables.iter().map(|variable| name(&variable.name)).collect();
        Self { names, lines: Vec::new(), helpers: Vec::new(), hoisted: 0 }
    }

    /// Adds the statement of a binding.
    pub(super) fn bind(&mut self, binding: &Binding) {
        let value = self.expression(&binding.value);
        let names = &self.names[binding.targets.clone()];
        let target = if names.len() > 1 { format!("[{}]", names.join(", ")) } else { names.concat() };
        self.lines.push(format!("{target} = {value}"));
    }

    /// The expression, for a statement that is executed on every bar.
    pub(super) fn expression(&mut self, expr: &Expr) -> String {
        self.print(expr, false).0
    }

    /// A `lazy` part is not executed on every bar. A function that keeps state must be, so in a lazy part it gets a
    /// statement of its own, as does an expression whose past is read.
    fn print(&mut self, expr: &Expr, lazy: bool) -> (String, Level) {
        match &expr.node {
            Node::Number(number) => (literal(*number, expr.ty.base), Level::Primary),
            Node::Text(text) => (format!("\"{text}\""), Level::Primary),
            Node::Flag(flag) => (flag.to_string(), Level::Primary),
            Node::Source(source) => (source.name().to_owned(), Level::Primary),
            Node::Variable(place) => (self.names[*place].clone(), Level::Primary),
            Node::Unary(unary, inner) => {
                let sign = if *unary == Unary::Not { "not " } else { "-" };
                (format!("{sign}{}", self.at_least(inner, Level::Unary, lazy)), Level::Unary)
            }
            Node::Binary(binary, left, right) => {
                let (level, sign) = binary.level();
                let short_circuits = matches!(binary, Binary::And | Binary::Or);
                let left = self.at_least(left, Level::Binary(level), lazy);
                let right = self.at_least(right, Level::Binary(level + 1), lazy || short_circuits);
                (format!("{left} {sign} {right}"), Level::Binary(level))
            }
            Node::Choose(parts) => {
                let condition = self.at_least(&parts[0], Level::Binary(0), lazy);
                let then = self.at_least(&parts[1], Level::Binary(0), true);
                let other = self.print(&parts[2], true).0;
                (format!("{condition} ? {then} : {other}"), Level::Choice)
            }
            Node::Past(inner, bars) => {
                let is_plain = matches!(inner.node, Node::Variable(_) | Node::Source(_));
                let inner = match (&inner.node, lazy) {
                    _ if is_plain => self.print(inner, lazy).0,
                    (Node::Call(..), false) => self.print(inner, false).0,
                    _ => {
                        let inner = self.print(inner, false).0;
                        self.hoist(&inner)
                    }
                };
                let bars = self.print(bars, lazy).0;
                (format!("{inner}[{bars}]"), Level::Primary)
            }
            Node::Call(operator, arguments) => {
                let keeps_state = operator.keeps_state();
                let arguments: Vec<String> =
                    arguments.iter().map(|argument| self.print(argument, lazy && !keeps_state).0).collect();
                let call = self.call(operator, &arguments);
                let call = if lazy && keeps_state { self.hoist(&call) } else { call };
                (call, Level::Primary)
            }
        }
    }

    fn at_least(&mut self, expr: &Expr, level: Level, lazy: bool) -> String {
        let (text, own) = self.print(expr, lazy);
        if own < level { format!("({text})") } else { text }
    }

    fn call(&mut self, operator: &'static Operator, arguments: &[String]) -> String {
        if operator.pine != Pine::Native && !self.helpers.iter().any(|known| known.name == operator.name) {
            self.helpers.push(operator);
        }
        if operator.inputs.is_empty() && operator.pine == Pine::Native {
            return operator.name.to_owned();
        }
        format!("{}({})", operator.name, arguments.join(", "))
    }

    fn hoist(&mut self, text: &str) -> String {
        self.hoisted += 1;
        let name = format!("v{}", self.hoisted);
        self.lines.push(format!("{name} = {text}"));
        name
    }
}

/// The functions that have to be printed for `helpers`, each after those that it uses.
pub(super) fn functions(helpers: &[&'static Operator]) -> Vec<String> {
    let mut known = Vec::new();
    let mut texts = Vec::new();
    for helper in helpers {
        add_function(helper, &mut known, &mut texts);
    }
    texts
}

fn add_function(operator: &'static Operator, known: &mut Vec<&'static str>, texts: &mut Vec<String>) {
    if known.contains(&operator.name) {
        return;
    }
    known.push(operator.name);
    let text = match (operator.pine, body(operator)) {
        (Pine::Helper(text), _) => text.to_owned(),
        (Pine::Derived, Some(body)) => {
            let mut printer = Printer::new(&body.program.variables);
            body.program.bindings.iter().for_each(|binding| printer.bind(binding));
            let results: Vec<String> = body.results.iter().map(|result| printer.expression(result)).collect();
            let inputs = operator.inputs.iter().map(|input| format!("{} {}", annotation(input.kind), name(input.name)));
            let head = format!("{}({}) =>", operator.name, inputs.collect::<Vec<_>>().join(", "));
            let last = if results.len() > 1 { format!("[{}]", results.join(", ")) } else { results.concat() };
            printer.helpers.iter().for_each(|helper| add_function(helper, known, texts));
            std::iter::once(head)
                .chain(printer.lines.into_iter().chain([last]).map(|line| format!("    {line}")))
                .collect::<Vec<_>>()
                .join("\n")
        }
        _ => return,
    };
    texts.push(text);
}

fn annotation(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "float",
        Kind::Int => "int",
        Kind::Condition => "bool",
        Kind::Length => "simple int",
        Kind::Factor => "simple float",
        Kind::Flag => "simple bool",
        Kind::Utc => "simple string",
    }
}
