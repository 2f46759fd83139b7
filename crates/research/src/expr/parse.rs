//! From tokens to a checked tree.

use super::{
    MAX_DEPTH, MAX_NODES, Refusal,
    lex::{Token, tokens},
    tree::{Binary, Binding, Expr, Node, Program, Source, Unary, Variable},
    types::{Base, Type},
};
use crate::{
    nearest::nearest,
    ops::{self, Kind, Operator, Output},
};

/// Parses one expression over the names of `program`. `nodes` counts the nodes of all expressions so far.
pub(crate) fn expression(text: &str, program: &Program, nodes: &mut usize) -> Result<Expr, Refusal> {
    let expr = results(text, program, nodes)?;
    single(&expr)?;
    Ok(expr)
}

/// Parses one expression that may be a call with several results.
pub(crate) fn results(text: &str, program: &Program, nodes: &mut usize) -> Result<Expr, Refusal> {
    let mut parser = Parser::new(text, program, nodes)?;
    let expr = parser.expression()?;
    parser.expect_end()?;
    Ok(expr)
}

/// Parses `name = expression` or `[name, name] = call` and adds the names to `program`.
pub(crate) fn binding(text: &str, program: &mut Program, nodes: &mut usize) -> Result<(), Refusal> {
    let mut parser = Parser::new(text, program, nodes)?;
    let names = parser.targets()?;
    parser.expect("=")?;
    let value = parser.expression()?;
    parser.expect_end()?;
    let types = match &value.node {
        Node::Call(operator, _) if operator.outputs.len() > 1 => {
            operator.outputs.iter().map(|output| Type::series(output.base(&[]))).collect()
        }
        _ => vec![value.ty],
    };
    if names.len() != types.len() {
        let message = format!("this has {} results, but {} names are bound to them", types.len(), names.len());
        return Err(Refusal::new(value.offset, message));
    }
    let first = program.variables.len();
    program.variables.extend(names.iter().zip(types).map(|((name, _), ty)| Variable { name: (*name).to_owned(), ty }));
    program.bindings.push(Binding { targets: first..program.variables.len(), value });
    Ok(())
}

/// Refuses a call with several results where one value is wanted.
fn single(expr: &Expr) -> Result<(), Refusal> {
    match &expr.node {
        Node::Call(operator, _) if operator.outputs.len() > 1 => {
            let names: Vec<_> = (1..=operator.outputs.len()).map(|place| format!("r{place}")).collect();
            let message =
                format!("{0} has several results; bind them first: [{1}] = {0}(…)", operator.name, names.join(", "));
            Err(Refusal::new(expr.offset, message))
        }
        _ => Ok(()),
    }
}

struct Parser<'t, 'p> {
    tokens: Vec<(Token<'t>, usize)>,
    next: usize,
    program: &'p Program,
    nodes: &'p mut usize,
    nesting: u8,
}

impl<'t, 'p> Parser<'t, 'p> {
    fn new(text: &'t str, program: &'p Program, nodes: &'p mut usize) -> Result<Self, Refusal> {
        Ok(Self { tokens: tokens(text)?, next: 0, program, nodes, nesting: 0 })
    }

    fn peek(&self) -> (Token<'t>, usize) {
        // The last token is the end, which is never passed.
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> (Token<'t>, usize) {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn accept(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek().0, Token::Sign(next) if next == sign);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), Refusal> {
        if self.accept(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn expect_end(&self) -> Result<(), Refusal> {
        if self.peek().0 == Token::End { Ok(()) } else { Err(self.unexpected("an operator or the end")) }
    }

    fn unexpected(&self, wanted: &str) -> Refusal {
        let (token, offset) = self.peek();
        let found = match token {
            Token::Name(name) => format!("the name {name}"),
            Token::Int(number) | Token::Float(number) => format!("the number {number}"),
            Token::Text(text) => format!("the text \"{text}\""),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".to_owned(),
        };
        Refusal::new(offset, format!("expected {wanted}, but found {found}"))
    }

    /// The names before the `=` of a binding.
    fn targets(&mut self) -> Result<Vec<(&'t str, usize)>, Refusal> {
        let is_list = self.accept("[");
        let mut names = Vec::new();
        loop {
            let (Token::Name(name), offset) = self.peek() else { return Err(self.unexpected("a name")) };
            self.next += 1;
            self.check_new(name, offset)?;
            if name != "_" && names.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::new(offset, format!("{name} is bound twice")));
            }
            names.push((name, offset));
            if !(is_list && self.accept(",")) {
                break;
            }
        }
        if is_list {
            self.expect("]")?;
        }
        Ok(names)
    }

    fn check_new(&self, name: &str, offset: usize) -> Result<(), Refusal> {
        // Results that nobody reads are bound to `_`.
        let is_bound = name != "_" && self.program.variables.iter().any(|variable| variable.name == name);
        match check_name(name) {
            _ if is_bound => Err(Refusal::new(offset, format!("{name} is bound already; choose another name"))),
            Err(message) => Err(Refusal::new(offset, message)),
            Ok(()) => Ok(()),
        }
    }

    fn node(&mut self, node: Node, ty: Type, offset: usize, depth: u8) -> Result<Expr, Refusal> {
        *self.nodes += 1;
        if *self.nodes > MAX_NODES {
            return Err(Refusal::new(
                offset,
                format!("the strategy has more than {MAX_NODES} parts; write it shorter"),
            ));
        }
        if depth >= MAX_DEPTH {
            return Err(too_deep(offset));
        }
        Ok(Expr { node, ty, offset, depth: depth + 1 })
    }

    fn expression(&mut self) -> Result<Expr, Refusal> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(too_deep(self.peek().1));
        }
        let expr = self.choice();
        self.nesting -= 1;
        expr
    }

    fn choice(&mut self) -> Result<Expr, Refusal> {
        let condition = self.binary(0)?;
        if !self.accept("?") {
            return Ok(condition);
        }
        want(&condition, Base::Bool, || "the condition before `?`".to_owned())?;
        let then = self.expression()?;
        self.expect(":")?;
        let other = self.expression()?;
        single(&then).and_then(|()| single(&other))?;
        let Some(base) = then.ty.base.unify(other.ty.base) else {
            let message =
                format!("both branches must have one type, but they are {} and {}", then.ty.base, other.ty.base);
            return Err(Refusal::new(other.offset, message));
        };
        let constant = condition.ty.constant && then.ty.constant && other.ty.constant;
        let (offset, depth) = (condition.offset, condition.depth.max(then.depth).max(other.depth));
        self.node(Node::Choose(Box::new([condition, then, other])), Type { base, constant }, offset, depth)
    }

    /// Parses operators of `level` and above by precedence climbing: the right side of an operator holds only
    /// operators that bind more strongly.
    fn binary(&mut self, level: usize) -> Result<Expr, Refusal> {
        let mut left = self.unary()?;
        loop {
            let next = match self.peek().0 {
                Token::Sign(sign) | Token::Name(sign) => Binary::of_sign(sign),
                _ => None,
            };
            let Some((own, operator)) = next.filter(|(own, _)| *own >= level) else { return Ok(left) };
            self.next += 1;
            let right = self.binary(own + 1)?;
            let ty = binary_type(operator, &left, &right)?;
            let (offset, depth) = (left.offset, left.depth.max(right.depth));
            left = self.node(Node::Binary(operator, Box::new(left), Box::new(right)), ty, offset, depth)?;
        }
    }

    fn unary(&mut self) -> Result<Expr, Refusal> {
        let (token, offset) = self.peek();
        let operator = match token {
            Token::Name("not") => Unary::Not,
            Token::Sign("-") => Unary::Negate,
            Token::Sign("+") => {
                self.next += 1;
                let inner = self.nested_unary()?;
                want_number(&inner, || "what follows `+`".to_owned())?;
                return Ok(inner);
            }
            _ => return self.postfix(),
        };
        self.next += 1;
        let inner = self.nested_unary()?;
        match operator {
            Unary::Not => want(&inner, Base::Bool, || "what follows `not`".to_owned())?,
            Unary::Negate => want_number(&inner, || "what follows `-`".to_owned())?,
        }
        let (ty, depth) = (inner.ty, inner.depth);
        self.node(Node::Unary(operator, Box::new(inner)), ty, offset, depth)
    }

    fn nested_unary(&mut self) -> Result<Expr, Refusal> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(too_deep(self.peek().1));
        }
        let inner = self.unary();
        self.nesting -= 1;
        inner
    }

    fn postfix(&mut self) -> Result<Expr, Refusal> {
        let mut expr = self.primary()?;
        while self.accept("[") {
            single(&expr)?;
            if expr.ty.constant {
                let message = "a constant has no past; leave out the brackets".to_owned();
                return Err(Refusal::new(expr.offset, message));
            }
            let bars = self.expression()?;
            self.expect("]")?;
            if bars.ty != Type::constant(Base::Int) {
                let message = format!("the number of bars to look back is an int constant, but this is {}", bars.ty);
                return Err(Refusal::new(bars.offset, message));
            }
            let (ty, offset, depth) = (expr.ty, expr.offset, expr.depth.max(bars.depth));
            expr = self.node(Node::Past(Box::new(expr), Box::new(bars)), ty, offset, depth)?;
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, Refusal> {
        let (token, offset) = self.peek();
        let (node, ty) = match token {
            Token::Int(number) => (Node::Number(number), Type::constant(Base::Int)),
            Token::Float(number) => (Node::Number(number), Type::constant(Base::Float)),
            Token::Text(text) => (Node::Text(text.to_owned()), Type::constant(Base::Text)),
            Token::Sign("(") => {
                self.next += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                single(&inner)?;
                return Ok(inner);
            }
            Token::Name(name) => {
                self.next += 1;
                return self.name(name, offset);
            }
            Token::Sign(_) | Token::End => return Err(self.unexpected("an expression")),
        };
        self.advance();
        self.node(node, ty, offset, 0)
    }

    fn name(&mut self, name: &str, offset: usize) -> Result<Expr, Refusal> {
        if matches!(self.peek().0, Token::Sign("(")) {
            return self.call(name, offset);
        }
        let variables = &self.program.variables;
        let source = Source::ALL.iter().find(|(_, known, _)| *known == name);
        let (node, ty) = match (name, source) {
            ("true" | "false", _) => (Node::Flag(name == "true"), Type::constant(Base::Bool)),
            (_, Some((source, ..))) => {
                let base = if matches!(source, Source::Time | Source::BarIndex) { Base::Int } else { Base::Float };
                (Node::Source(*source), Type::series(base))
            }
            _ => match variables.iter().position(|variable| variable.name == name && name != "_") {
                Some(place) => (Node::Variable(place), variables[place].ty),
                None => match ops::find(name) {
                    Some(operator) if operator.inputs.is_empty() => {
                        (Node::Call(operator, Vec::new()), Type::series(operator.outputs[0].base(&[])))
                    }
                    Some(_) => return Err(Refusal::new(offset, format!("{name} is a function; write {name}(…)"))),
                    None => return Err(self.unknown(name, offset)),
                },
            },
        };
        self.node(node, ty, offset, 0)
    }

    fn call(&mut self, name: &str, offset: usize) -> Result<Expr, Refusal> {
        let Some(operator) = ops::find(name) else { return Err(self.unknown_function(name, offset)) };
        if operator.inputs.is_empty() {
            return Err(Refusal::new(offset, format!("{name} takes no arguments; write it without parentheses")));
        }
        self.expect("(")?;
        let mut arguments = Vec::new();
        if !self.accept(")") {
            loop {
                arguments.push(self.expression()?);
                if self.accept(")") {
                    break;
                }
                self.expect(",")?;
            }
        }
        check_arguments(operator, &arguments, offset)?;
        let depth = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
        let ty = Type {
            base: operator.outputs[0].base(&arguments.iter().map(|argument| argument.ty.base).collect::<Vec<_>>()),
            constant: operator.is_elementwise() && arguments.iter().all(|argument| argument.ty.constant),
        };
        self.node(Node::Call(operator, arguments), ty, offset, depth)
    }

    fn unknown(&self, name: &str, offset: usize) -> Refusal {
        let variables = self.program.variables.iter();
        let mut names: Vec<&str> = variables.map(|variable| variable.name.as_str()).collect();
        for (_, name, _) in Source::ALL {
            names.push(name);
        }
        for name in ops::names() {
            names.push(name);
        }
        Refusal::new(offset, format!("nothing is called {name}{}", nearest(name, names.into_iter())))
    }

    fn unknown_function(&self, name: &str, offset: usize) -> Refusal {
        let is_value = self.program.variables.iter().any(|variable| variable.name == name)
            || Source::ALL.iter().any(|(_, known, _)| *known == name);
        if is_value {
            return Refusal::new(
                offset,
                format!("{name} is a value and takes no arguments; write {name}[1] for its past"),
            );
        }
        Refusal::new(offset, format!("there is no function {name}{}", nearest(name, ops::names())))
    }
}

/// Checks the name of a binding or of a parameter.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    const WORDS: [&str; 5] = ["and", "or", "not", "true", "false"];
    let is_taken =
        WORDS.contains(&name) || Source::ALL.iter().any(|(_, known, _)| *known == name) || ops::find(name).is_some();
    let mut characters = name.chars();
    let is_word = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word {
        return Err(format!("{name:?} is not a name; use letters, digits and _, and begin with a letter"));
    }
    if is_taken { Err(format!("{name} has a meaning already; choose another name")) } else { Ok(()) }
}

fn too_deep(offset: usize) -> Refusal {
    Refusal::new(offset, format!("the expression is nested deeper than {MAX_DEPTH} levels; bind parts of it to names"))
}

fn want(expr: &Expr, base: Base, what: impl Fn() -> String) -> Result<(), Refusal> {
    single(expr)?;
    if expr.ty.base == base {
        return Ok(());
    }
    Err(Refusal::new(expr.offset, format!("{} must be {base}, but it is {}", what(), expr.ty)))
}

fn want_number(expr: &Expr, what: impl Fn() -> String) -> Result<(), Refusal> {
    single(expr)?;
    if expr.ty.base.is_number() {
        return Ok(());
    }
    Err(Refusal::new(expr.offset, format!("{} must be a number, but it is {}", what(), expr.ty)))
}

fn binary_type(operator: Binary, left: &Expr, right: &Expr) -> Result<Type, Refusal> {
    let constant = left.ty.constant && right.ty.constant;
    let (_, sign) = operator.level();
    let sides = || [(left, "left"), (right, "right")].into_iter();
    let want_both =
        |base| sides().try_for_each(|(expr, side)| want(expr, base, || format!("the {side} side of `{sign}`")));
    let base = match operator {
        Binary::Or | Binary::And => {
            want_both(Base::Bool)?;
            Base::Bool
        }
        Binary::Equal | Binary::NotEqual if left.ty.base == Base::Text => {
            want_both(Base::Text)?;
            Base::Bool
        }
        _ => {
            sides().try_for_each(|(expr, side)| want_number(expr, || format!("the {side} side of `{sign}`")))?;
            let is_int = left.ty.base == Base::Int && right.ty.base == Base::Int;
            match operator {
                Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Remainder if is_int => Base::Int,
                Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Remainder | Binary::Divide => Base::Float,
                _ => Base::Bool,
            }
        }
    };
    Ok(Type { base, constant })
}

fn check_arguments(operator: &Operator, arguments: &[Expr], offset: usize) -> Result<(), Refusal> {
    if arguments.len() != operator.inputs.len() {
        let names: Vec<_> = operator.inputs.iter().map(|input| input.name).collect();
        let message = format!(
            "{0} takes {1} arguments, but {2} are given; write {0}({3})",
            operator.name,
            operator.inputs.len(),
            arguments.len(),
            names.join(", ")
        );
        return Err(Refusal::new(offset, message));
    }
    for (input, argument) in operator.inputs.iter().zip(arguments) {
        single(argument)?;
        let Type { base, constant } = argument.ty;
        let (fits, wanted) = match input.kind {
            Kind::Number => (base.is_number(), "a number"),
            Kind::Int => (base == Base::Int, "an int"),
            Kind::Condition => (base == Base::Bool, "a bool"),
            Kind::Length => (base == Base::Int && constant, "an int constant"),
            Kind::Factor => (base.is_number() && constant, "a constant number"),
            Kind::Flag => (base == Base::Bool && constant, "true or false"),
            Kind::Utc => (matches!(&argument.node, Node::Text(zone) if zone == "UTC"), "the text \"UTC\""),
        };
        if !fits {
            let message = format!("{} takes {wanted} as {}, but this is {}", operator.name, input.name, argument.ty);
            return Err(Refusal::new(argument.offset, message));
        }
    }
    Ok(())
}

impl Output {
    /// The type of the result for arguments of these types.
    fn base(self, arguments: &[Base]) -> Base {
        match self {
            Self::Int => Base::Int,
            Self::Bool => Base::Bool,
            Self::Same if arguments.iter().all(|base| *base == Base::Int) => Base::Int,
            Self::Float | Self::Same => Base::Float,
        }
    }
}
