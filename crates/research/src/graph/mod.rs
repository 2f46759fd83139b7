//! Strategies with bound parameters as a graph in which equal parts are one node.
//!
//! A node is an operation, its constants and its operands. The key of a node is a hash of all three, so that equal
//! parts of different strategies and parameter sets have one key, under which [`crate::cache`] keeps their columns.

mod run;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Bars, Cache,
    column::{Value, finite},
    expr::{
        Refusal,
        body::body,
        tree::{Binary, Binding, Expr, Node as Tree, Source, Unary},
        types::Base,
    },
    number::{MAX_LENGTH, real, whole},
    ops::{First, Kind, Operator, Rule},
};

/// The key of a node. Equal parts have equal keys.
pub(crate) type Key = u128;

#[derive(Debug, Clone, Copy)]
enum Step {
    Source(Source),
    /// A number on all bars.
    Fill,
    /// A condition that holds on all bars, or on none.
    FillFlags,
    Arithmetic(Binary),
    Compare(Binary),
    Logic(Binary),
    Not,
    Negate,
    Choose,
    ChooseFlags,
    Past,
    PastFlags,
    Call(&'static Operator),
}

/// A column that a node takes, or a number in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand {
    /// A result of a node.
    Node {
        node: usize,
        output: usize,
    },
    Number(f64),
}

#[derive(Debug)]
struct Node {
    step: Step,
    operands: Vec<Operand>,
    constants: Vec<f64>,
    key: Key,
    outputs: Vec<Defined>,
}

/// The bars on which a result is defined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defined {
    /// The first bar on which all parts are defined.
    pub(crate) first: usize,
    /// The number of past bars after which the start of the series no longer influences the result.
    pub(crate) memory: usize,
    /// The result is `na`, or false, on all bars before this one. Some functions have a value for `na`, so it may be
    /// less than `first`.
    pub(crate) quiet: usize,
}

/// Keys are hashes already, so a part of a key serves as its hash.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut low = [0; 8];
        low.iter_mut().zip(bytes).for_each(|(low, byte)| *low = *byte);
        self.0 = u64::from_le_bytes(low);
    }
}

/// Nodes in an order in which operands come first.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Key, usize, BuildHasherDefault<KeyHasher>>,
}

/// The result of lowering an expression with bound parameters.
#[derive(Debug, Clone)]
pub(crate) enum Lowered {
    Operand(Operand),
    Text(String),
}

/// Bound values of the names of a program, in its order.
pub(crate) type Names = Vec<Lowered>;

impl Graph {
    /// Adds one binding; its names follow those that are bound already.
    pub(crate) fn bind(&mut self, binding: &Binding, names: &mut Names) -> Result<(), Refusal> {
        if let (Tree::Call(operator, arguments), 2..) = (&binding.value.node, binding.targets.len()) {
            let results = self.call(operator, arguments, binding.value.offset, names)?;
            names.extend(results.into_iter().map(Lowered::Operand));
        } else {
            let value = self.lower(&binding.value, names)?;
            names.push(value);
        }
        Ok(())
    }

    /// Adds an expression and returns the operand that holds its value.
    pub(crate) fn add(&mut self, expr: &Expr, names: &Names) -> Result<Operand, Refusal> {
        match self.lower(expr, names)? {
            Lowered::Operand(operand) => Ok(operand),
            Lowered::Text(text) => Err(Refusal::new(expr.offset, format!("the text \"{text}\" is not a value"))),
        }
    }

    /// Adds an expression that may be a call with several results. Each is a column.
    pub(crate) fn add_all(&mut self, expr: &Expr, names: &Names) -> Result<Vec<Operand>, Refusal> {
        let operands = match &expr.node {
            Tree::Call(operator, arguments) => self.call(operator, arguments, expr.offset, names)?,
            _ => vec![self.add(expr, names)?],
        };
        let is_flags = expr.ty.base == Base::Bool;
        Ok(operands.into_iter().map(|operand| self.series(operand, is_flags)).collect())
    }

    fn lower(&mut self, expr: &Expr, names: &Names) -> Result<Lowered, Refusal> {
        let operand = match &expr.node {
            Tree::Number(number) => Operand::Number(*number),
            Tree::Flag(flag) => Operand::Number(f64::from(*flag)),
            Tree::Text(text) => return Ok(Lowered::Text(text.clone())),
            Tree::Variable(place) => return Ok(names[*place].clone()),
            Tree::Source(source) => self.node(Step::Source(*source), Vec::new(), Vec::new()),
            Tree::Unary(unary, inner) => self.unary(*unary, inner, names)?,
            Tree::Binary(binary, left, right) => self.binary(*binary, left, right, names)?,
            Tree::Choose(parts) => return self.choose(parts, names),
            Tree::Past(inner, bars) => self.past(inner, bars, names)?,
            Tree::Call(operator, arguments) => self.call(operator, arguments, expr.offset, names)?[0],
        };
        Ok(Lowered::Operand(operand))
    }

    fn unary(&mut self, unary: Unary, inner: &Expr, names: &Names) -> Result<Operand, Refusal> {
        let inner = self.add(inner, names)?;
        Ok(match (unary, inner) {
            (Unary::Negate, Operand::Number(number)) => Operand::Number(-number),
            (Unary::Not, Operand::Number(number)) => Operand::Number(1.0 - number),
            (Unary::Negate, inner) => self.node(Step::Negate, vec![inner], Vec::new()),
            (Unary::Not, inner) => self.node(Step::Not, vec![inner], Vec::new()),
        })
    }

    fn binary(&mut self, binary: Binary, left: &Expr, right: &Expr, names: &Names) -> Result<Operand, Refusal> {
        let (left, right) = match (self.lower(left, names)?, self.lower(right, names)?) {
            (Lowered::Operand(left), Lowered::Operand(right)) => (left, right),
            (Lowered::Text(left), Lowered::Text(right)) => {
                return Ok(Operand::Number(f64::from((left == right) == (binary == Binary::Equal))));
            }
            _ => unreachable!("the parser compares texts with texts"),
        };
        if let (Operand::Number(left), Operand::Number(right)) = (left, right) {
            return Ok(Operand::Number(run::of_numbers(binary, left, right)));
        }
        let step = match binary {
            Binary::Or | Binary::And => Step::Logic(binary),
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                Step::Arithmetic(binary)
            }
            _ => Step::Compare(binary),
        };
        Ok(self.node(step, vec![left, right], Vec::new()))
    }

    fn choose(&mut self, parts: &[Expr; 3], names: &Names) -> Result<Lowered, Refusal> {
        let condition = self.add(&parts[0], names)?;
        if let Operand::Number(holds) = condition {
            return self.lower(&parts[if holds > 0.0 { 1 } else { 2 }], names);
        }
        if let [Lowered::Text(_), _] | [_, Lowered::Text(_)] =
            [self.lower(&parts[1], names)?, self.lower(&parts[2], names)?]
        {
            return Err(Refusal::new(parts[0].offset, "a text can be chosen by a constant only"));
        }
        let operands = vec![condition, self.add(&parts[1], names)?, self.add(&parts[2], names)?];
        let step = if parts[1].ty.base == Base::Bool { Step::ChooseFlags } else { Step::Choose };
        Ok(Lowered::Operand(self.node(step, operands, Vec::new())))
    }

    fn past(&mut self, inner: &Expr, bars: &Expr, names: &Names) -> Result<Operand, Refusal> {
        let operand = self.add(inner, names)?;
        let Operand::Number(count) = self.add(bars, names)? else {
            unreachable!("the parser looks back by constants only");
        };
        if !(0.0..=real(MAX_LENGTH)).contains(&count) {
            let message = format!("this looks {count} bars back; it must be from 0 to {MAX_LENGTH}");
            return Err(Refusal::new(bars.offset, message));
        }
        if count == 0.0 {
            return Ok(operand);
        }
        let is_flags = inner.ty.base == Base::Bool;
        let operand = self.series(operand, is_flags);
        Ok(self.node(if is_flags { Step::PastFlags } else { Step::Past }, vec![operand], vec![count]))
    }

    fn call(
        &mut self,
        operator: &'static Operator,
        arguments: &[Expr],
        offset: usize,
        names: &Names,
    ) -> Result<Vec<Operand>, Refusal> {
        let mut operands = Vec::with_capacity(arguments.len());
        for (input, argument) in operator.inputs.iter().zip(arguments) {
            if input.kind == Kind::Utc {
                operands.push(Operand::Number(0.0));
                continue;
            }
            let operand = self.add(argument, names)?;
            if let (Kind::Length, Operand::Number(length)) = (input.kind, operand)
                && !(1.0..=real(MAX_LENGTH)).contains(&length)
            {
                let message =
                    format!("{} of {} is {length}; it must be from 1 to {MAX_LENGTH}", input.name, operator.name);
                return Err(Refusal::new(argument.offset, message));
            }
            operands.push(operand);
        }
        if let Some(body) = body(operator) {
            let mut inner: Names = operands.into_iter().map(Lowered::Operand).collect();
            // A fault inside was caused by the arguments here.
            let here = |refusal: Refusal| Refusal::new(offset, format!("{}: {}", operator.name, refusal.message));
            body.program.bindings.iter().try_for_each(|binding| self.bind(binding, &mut inner)).map_err(here)?;
            return body.results.iter().map(|result| self.add(result, &inner).map_err(here)).collect();
        }
        if let Rule::Elementwise { of, .. } = operator.rule {
            let numbers: Option<Vec<f64>> = operands.iter().map(Operand::number).collect();
            let operand = match numbers {
                Some(numbers) => Operand::Number(finite(of(&numbers))),
                None => self.node(Step::Call(operator), operands, Vec::new()),
            };
            return Ok(vec![operand]);
        }
        let (mut series, mut constants) = (Vec::new(), Vec::new());
        for (input, operand) in operator.inputs.iter().zip(operands) {
            match operand {
                Operand::Number(number) if input.kind.is_constant() => constants.push(number),
                _ if input.kind == Kind::Utc => {}
                operand => series.push(self.series(operand, input.kind == Kind::Condition)),
            }
        }
        let Operand::Node { node, .. } = self.node(Step::Call(operator), series, constants) else {
            unreachable!("a call is a node");
        };
        Ok((0..operator.outputs.len()).map(|output| Operand::Node { node, output }).collect())
    }

    /// A column in place of a number, for operations that take columns only.
    pub(crate) fn series(&mut self, operand: Operand, is_flags: bool) -> Operand {
        match operand {
            Operand::Number(number) => {
                self.node(if is_flags { Step::FillFlags } else { Step::Fill }, Vec::new(), vec![number])
            }
            operand @ Operand::Node { .. } => operand,
        }
    }

    fn node(&mut self, step: Step, operands: Vec<Operand>, constants: Vec<f64>) -> Operand {
        let key = self.key(step, &operands, &constants);
        if let Some(&node) = self.known.get(&key) {
            return Operand::Node { node, output: 0 };
        }
        let outputs = self.defined(step, &operands, &constants);
        self.nodes.push(Node { step, operands, constants, key, outputs });
        self.known.insert(key, self.nodes.len() - 1);
        Operand::Node { node: self.nodes.len() - 1, output: 0 }
    }

    fn key(&self, step: Step, operands: &[Operand], constants: &[f64]) -> Key {
        let mut bytes = Vec::with_capacity(16 + 25 * operands.len() + 8 * constants.len());
        let (kind, detail) = step.code();
        bytes.extend([kind, u8::try_from(operands.len()).unwrap_or(u8::MAX)]);
        bytes.extend(detail.to_le_bytes());
        for operand in operands {
            match operand {
                Operand::Node { node, output } => {
                    bytes.push(u8::try_from(*output).unwrap_or(u8::MAX));
                    bytes.extend(self.nodes[*node].key.to_le_bytes());
                }
                Operand::Number(number) => {
                    bytes.push(u8::MAX);
                    bytes.extend(number.to_bits().to_le_bytes());
                }
            }
        }
        for constant in constants {
            bytes.extend(constant.to_bits().to_le_bytes());
        }
        xxh3_128(&bytes)
    }

    /// The bars on which the results of a node are defined.
    fn defined(&self, step: Step, operands: &[Operand], constants: &[f64]) -> Vec<Defined> {
        let parts: Vec<Defined> = operands.iter().map(|operand| self.defined_at(*operand)).collect();
        let first = parts.iter().map(|part| part.first).max().unwrap_or(0);
        let memory = parts.iter().map(|part| part.memory).max().unwrap_or(0);
        let loudest = parts.iter().map(|part| part.quiet).min().unwrap_or(0);
        let quiet = parts.iter().map(|part| part.quiet).max().unwrap_or(0);
        let same = Defined { first, memory, quiet };
        match step {
            Step::Source(_) | Step::Fill | Step::FillFlags | Step::Arithmetic(_) | Step::Compare(_) | Step::Negate => {
                vec![same]
            }
            Step::Logic(Binary::And) => vec![same],
            Step::Logic(_) => vec![Defined { quiet: loudest, ..same }],
            Step::Not => vec![Defined { quiet: 0, ..same }],
            Step::Choose | Step::ChooseFlags => vec![Defined { quiet: parts[1].quiet.min(parts[2].quiet), ..same }],
            Step::Past | Step::PastFlags => {
                let bars = whole(constants[0]);
                vec![Defined { first: first + bars, memory: memory + bars, quiet: quiet + bars }]
            }
            Step::Call(operator) => match operator.rule {
                Rule::Elementwise { lenient, .. } => {
                    vec![Defined { quiet: if lenient { 0 } else { quiet }, ..same }]
                }
                Rule::Kernel { first: delay_kind, memory: own, .. } => {
                    // A function that reads conditions has a value as soon as one of them holds.
                    let reads_flags = operator.inputs.iter().any(|input| input.kind == Kind::Condition);
                    let quiet = if reads_flags { loudest } else { quiet + delay_kind.quiet() };
                    let memory = memory + own.bars(constants);
                    let delays = delay_kind.bars(constants).into_iter().take(operator.outputs.len());
                    let is_early = matches!(delay_kind, First::Extreme) && first > 0;
                    let quiet_for = |delay: usize| if is_early { quiet } else { quiet + delay };
                    delays.map(|delay| Defined { first: first + delay, memory, quiet: quiet_for(delay) }).collect()
                }
                Rule::Expression(_) => unreachable!("expressions are lowered to their parts"),
            },
        }
    }

    pub(crate) fn defined_at(&self, operand: Operand) -> Defined {
        match operand {
            Operand::Node { node, output } => self.nodes[node].outputs[output],
            Operand::Number(_) => Defined { first: 0, memory: 0, quiet: 0 },
        }
    }

    /// Evaluates the operands, which must be nodes, over all bars.
    pub(crate) fn evaluate(&self, roots: &[Operand], bars: &Bars, cache: &Cache) -> Vec<Value> {
        let mut results: Vec<Option<Arc<[Value]>>> = vec![None; self.nodes.len()];
        let uses = self.look_up(roots, bars, cache, &mut results);
        self.compute(uses, bars, cache, &mut results);
        roots.iter().map(|root| value(&results, *root).clone()).collect()
    }

    /// Takes cached columns into `results`, and counts how often the nodes that have to be computed use each node.
    fn look_up(
        &self,
        roots: &[Operand],
        bars: &Bars,
        cache: &Cache,
        results: &mut [Option<Arc<[Value]>>],
    ) -> Vec<usize> {
        let mut uses = vec![0_usize; self.nodes.len()];
        let count = |operand: &Operand, uses: &mut [usize]| {
            if let Operand::Node { node, .. } = operand {
                uses[*node] += 1;
            }
        };
        for root in roots {
            count(root, &mut uses);
        }
        for place in (0..self.nodes.len()).rev() {
            if uses[place] == 0 {
                continue;
            }
            let node = &self.nodes[place];
            results[place] = if node.is_kept() { cache.get(bars, node.key) } else { None };
            if results[place].is_none() {
                node.operands.iter().for_each(|operand| count(operand, &mut uses));
            }
        }
        uses
    }

    /// Computes the nodes that are used and have no columns yet. The columns of a node are dropped after their last
    /// use.
    fn compute(&self, mut uses: Vec<usize>, bars: &Bars, cache: &Cache, results: &mut [Option<Arc<[Value]>>]) {
        for (place, node) in self.nodes.iter().enumerate() {
            if uses[place] == 0 || results[place].is_some() {
                continue;
            }
            let values: Arc<[Value]> = node.run(bars, results).into();
            if node.is_kept() {
                cache.insert(bars, node.key, &values);
            }
            results[place] = Some(values);
            for operand in &node.operands {
                if let Operand::Node { node, .. } = operand {
                    uses[*node] -= 1;
                    if uses[*node] == 0 {
                        results[*node] = None;
                    }
                }
            }
        }
    }
}

fn value(results: &[Option<Arc<[Value]>>], operand: Operand) -> &Value {
    match operand {
        Operand::Node { node, output } => match &results[node] {
            Some(values) => &values[output],
            None => unreachable!("operands are computed first and kept while they are used"),
        },
        Operand::Number(_) => unreachable!("numbers are filled into columns where columns are wanted"),
    }
}

impl Operand {
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Node { .. } => None,
        }
    }
}
