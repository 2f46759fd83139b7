//! Strategies: parsed definitions, and strategies with bound parameters.

mod bound;
mod check;

use crate::{
    Parameter, ParameterError, ParameterRange, Parameters,
    definition::{self, Definition, DefinitionError, Family, Fault, Timeframes},
    expr::{
        Position, Refusal, parse,
        tree::{Expr, Node, Program, Variable},
        types::{Base, Type},
    },
    graph::{Graph, Lowered, Operand},
    nearest::nearest,
    number::whole,
};

pub use bound::{BindError, Bound};
use check::{check_max_bars, check_part, check_texts, text_of};

/// A part of a strategy that is an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    EnterLong,
    ExitLong,
    EnterShort,
    ExitShort,
    Stop,
    Target,
    StopLevelLong,
    StopLevelShort,
    MaxBars,
}

impl Part {
    pub(crate) const ALL: [(Self, &'static str); 9] = [
        (Self::EnterLong, "enter_long"),
        (Self::ExitLong, "exit_long"),
        (Self::EnterShort, "enter_short"),
        (Self::ExitShort, "exit_short"),
        (Self::Stop, "stop"),
        (Self::Target, "target"),
        (Self::StopLevelLong, "stop_level_long"),
        (Self::StopLevelShort, "stop_level_short"),
        (Self::MaxBars, "max_bars"),
    ];

    fn of<'a>(self, definition: &Definition<'a>) -> Option<&'a str> {
        match self {
            Self::EnterLong => definition.enter_long,
            Self::ExitLong => definition.exit_long,
            Self::EnterShort => definition.enter_short,
            Self::ExitShort => definition.exit_short,
            Self::Stop => definition.stop,
            Self::Target => definition.target,
            Self::StopLevelLong => definition.stop_level_long,
            Self::StopLevelShort => definition.stop_level_short,
            Self::MaxBars => definition.max_bars,
        }
    }

    fn is_condition(self) -> bool {
        matches!(self, Self::EnterLong | Self::ExitLong | Self::EnterShort | Self::ExitShort)
    }
}

/// The length of the average range in the brackets that every strategy can have.
const BRACKET_LENGTH: u32 = 14;

/// A strategy: one definition, from which signals, warm-up, description and Pine text are made.
///
/// ```
/// use research::{Bars, Cache, Columns, TickGrid, catalogue};
///
/// let strategy = catalogue::find("sma-cross").unwrap();
/// let parameters = strategy.parameters_of([("fast", "5"), ("slow", "20")]).unwrap();
/// let bound = strategy.bind(&parameters).unwrap();
/// assert_eq!(bound.first(), 19);
///
/// let prices: Vec<f64> = (0..100).map(|bar| 100.0 + f64::from(bar % 40 - 20).abs()).collect();
/// let columns = Columns {
///     time: (0..100).map(|bar| bar * 60_000).collect(),
///     open: prices.clone(),
///     high: prices.clone(),
///     low: prices.clone(),
///     close: prices,
///     volume: vec![1.0; 100],
/// };
/// let bars = Bars::new(columns, TickGrid::of_digits(0).unwrap(), Some(60_000)).unwrap();
/// let signals = bound.evaluate(&bars, &Cache::new(1 << 20));
/// assert_eq!(signals.enter_long.unwrap().iter_ones().collect::<Vec<_>>(), [28, 68]);
/// ```
#[derive(Debug, Clone)]
pub struct Strategy {
    id: String,
    title: String,
    about: String,
    source: String,
    family: Family,
    timeframes: Timeframes,
    parameters: Vec<Parameter>,
    constraints: Vec<(String, Expr)>,
    lets: Vec<String>,
    rules: Vec<(&'static str, String)>,
    pub(crate) program: Program,
    parts: [Option<Expr>; Part::ALL.len()],
    /// Parameters whose value 0 takes the stop or the target away.
    brackets: Vec<(Part, usize)>,
}

impl Strategy {
    /// Parses and checks a definition.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its field and the place in the field's text.
    pub fn parse(definition: &Definition<'_>) -> Result<Self, Vec<DefinitionError>> {
        let locate = |fault: Fault| {
            let text = text_of(definition, &fault.field);
            DefinitionError { at: Position::of(text, fault.offset), field: fault.field, message: fault.message }
        };
        Self::parse_faults(definition).map_err(|faults| faults.into_iter().map(locate).collect())
    }

    /// Reads a definition in TOML, as [`crate::definition`] shows.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place in `text`.
    pub fn from_toml(text: &str) -> Result<Self, Vec<DefinitionError>> {
        definition::from_toml(text)
    }

    /// Reads a definition in JSON: an object with the same fields as in TOML.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place in `text`.
    pub fn from_json(text: &str) -> Result<Self, Vec<DefinitionError>> {
        definition::from_json(text)
    }

    pub(crate) fn parse_faults(definition: &Definition<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = check_texts(definition);
        let mut parameters = Vec::new();
        for (place, parameter) in definition.parameters.iter().enumerate() {
            let path = format!("parameters[{place}]");
            match Parameter::parse(parameter, &path) {
                Ok(parsed) if parameters.iter().any(|known: &Parameter| known.name == parsed.name) => {
                    faults.push(Fault::new(format!("{path}.name"), format!("{} is a parameter already", parsed.name)));
                }
                Ok(parsed) => parameters.push(parsed),
                Err(fault) => faults.push(fault),
            }
        }
        // Expressions over a parameter that was refused would only add errors that follow from it.
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut strategy = Self {
            id: definition.id.to_owned(),
            title: definition.title.to_owned(),
            about: definition.about.to_owned(),
            source: definition.source.to_owned(),
            family: definition.family,
            timeframes: definition.timeframes,
            parameters,
            constraints: Vec::new(),
            lets: definition.lets.iter().map(|text| (*text).to_owned()).collect(),
            rules: Vec::new(),
            program: Program::default(),
            parts: [const { None }; Part::ALL.len()],
            brackets: Vec::new(),
        };
        strategy.parse_expressions(definition, &mut faults);
        if faults.is_empty() {
            strategy.check_use(&mut faults);
        }
        if faults.is_empty() {
            strategy.check_defaults(&mut faults);
        }
        if faults.is_empty() { Ok(strategy) } else { Err(faults) }
    }

    fn parse_expressions(&mut self, definition: &Definition<'_>, faults: &mut Vec<Fault>) {
        let at = |field: &str, refusal: Refusal| Fault {
            field: field.to_owned(),
            offset: refusal.offset,
            message: refusal.message,
        };
        let mut nodes = 0;
        let brackets = self.add_brackets(definition);
        let constant =
            |parameter: &Parameter| Variable { name: parameter.name.clone(), ty: Type::constant(parameter.base()) };
        self.program.variables = self.parameters.iter().map(constant).collect();
        for (place, text) in definition.constraints.iter().enumerate() {
            match parse::expression(text, &self.program, &mut nodes) {
                Ok(expr) if expr.ty == Type::constant(Base::Bool) => self.constraints.push(((*text).to_owned(), expr)),
                Ok(_) => faults.push(Fault::new(
                    format!("constraints[{place}]"),
                    "this must be a condition over parameters alone",
                )),
                Err(refusal) => faults.push(at(&format!("constraints[{place}]"), refusal)),
            }
        }
        for (place, text) in definition.lets.iter().enumerate() {
            if let Err(refusal) = parse::binding(text, &mut self.program, &mut nodes) {
                faults.push(at(&format!("lets[{place}]"), refusal));
                break;
            }
        }
        // Parts that use a name whose binding was refused would only add errors that follow from it.
        if !faults.is_empty() {
            return;
        }
        for (part, name) in Part::ALL {
            let text = part.of(definition).map(str::to_owned).or_else(|| {
                brackets
                    .iter()
                    .find(|(bracket, _)| *bracket == part)
                    .map(|(_, name)| format!("{name} * ta.atr({BRACKET_LENGTH})"))
            });
            let Some(text) = text else { continue };
            match parse::expression(&text, &self.program, &mut nodes)
                .and_then(|expr| check_part(part, &expr).map(|()| expr))
            {
                Ok(expr) => {
                    self.parts[part as usize] = Some(expr);
                    self.rules.push((name, text));
                }
                Err(refusal) => faults.push(at(name, refusal)),
            }
        }
    }

    /// Adds a parameter for a stop and a target that the definition does not have itself.
    fn add_brackets(&mut self, definition: &Definition<'_>) -> Vec<(Part, &'static str)> {
        if definition.stop_level_long.is_some() || definition.stop_level_short.is_some() {
            return Vec::new();
        }
        let brackets = [
            (Part::Stop, "stop_atr", "average ranges from the entry to a stop, 0 for none"),
            (Part::Target, "target_atr", "average ranges from the entry to a target, 0 for none"),
        ];
        let mut added = Vec::new();
        for (part, name, about) in brackets {
            let is_taken = self.parameters.iter().any(|parameter| parameter.name == name);
            if part.of(definition).is_none() && !is_taken {
                self.brackets.push((part, self.parameters.len()));
                self.parameters.push(Parameter {
                    name: name.to_owned(),
                    about: about.to_owned(),
                    range: ParameterRange::Float { default: 0.0, min: 0.0, max: 10.0, step: 0.1 },
                    optional: true,
                });
                added.push((part, name));
            }
        }
        added
    }

    /// Refuses names that nothing uses, because a parameter without an effect would mislead.
    fn check_use(&self, faults: &mut Vec<Fault>) {
        let mut used = vec![false; self.program.variables.len()];
        let bindings = self.program.bindings.iter().map(|binding| &binding.value);
        let constraints = self.constraints.iter().map(|(_, expr)| expr);
        for expr in bindings.chain(self.parts.iter().flatten()).chain(constraints) {
            expr.visit(&mut |expr| {
                if let Node::Variable(place) = expr.node {
                    used[place] = true;
                }
            });
        }
        for (place, parameter) in self.parameters.iter().enumerate().filter(|(place, _)| !used[*place]) {
            let message = format!("{} is used in no expression; use it or leave it out", parameter.name);
            faults.push(Fault::new(format!("parameters[{place}]"), message));
        }
        for (place, binding) in self.program.bindings.iter().enumerate() {
            if !used[binding.targets.clone()].iter().any(|used| *used) {
                let names: Vec<_> =
                    self.program.variables[binding.targets.clone()].iter().map(|name| name.name.as_str()).collect();
                let message = format!("{} is used in no expression; use it or leave it out", names.join(", "));
                faults.push(Fault::new(format!("lets[{place}]"), message));
            }
        }
    }

    fn check_defaults(&self, faults: &mut Vec<Fault>) {
        match self.bind(&self.defaults()) {
            Ok(_) => {}
            Err(BindError::Constraints(broken)) => {
                let texts = self.constraints.iter().map(|(text, _)| text);
                for (place, text) in texts.enumerate().filter(|(_, text)| broken.contains(text)) {
                    let message = format!("the default values do not fulfil {text}");
                    faults.push(Fault::new(format!("constraints[{place}]"), message));
                }
            }
            Err(BindError::Expression { field, error }) => {
                faults.push(Fault {
                    field,
                    offset: error.offset,
                    message: format!("with the default values, {}", error.message),
                });
            }
        }
    }

    /// Lower-case letters, digits and hyphens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A few words for lists.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// One sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The author of the rule, and the work that describes it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The kind of rule.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The bars on which the rule makes sense.
    #[must_use]
    pub fn timeframes(&self) -> Timeframes {
        self.timeframes
    }

    /// The values that may be varied, in the order of [`Parameters::values`]. The optional brackets come last.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Conditions over the parameters that must hold, as they are written.
    pub fn constraints(&self) -> impl Iterator<Item = &str> {
        self.constraints.iter().map(|(text, _)| text.as_str())
    }

    /// The bindings as they are written, in order.
    pub fn lets(&self) -> impl Iterator<Item = &str> {
        self.lets.iter().map(String::as_str)
    }

    /// The rules as they are written, each with its name, such as `enter_long`. The optional brackets are among them.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.rules.iter().map(|(name, text)| (*name, text.as_str()))
    }

    /// True if the strategy goes long.
    #[must_use]
    pub fn goes_long(&self) -> bool {
        self.part(Part::EnterLong).is_some()
    }

    /// True if the strategy goes short.
    #[must_use]
    pub fn goes_short(&self) -> bool {
        self.part(Part::EnterShort).is_some()
    }

    /// The names of the functions that the rules use, in the order in which they are first used. The optional brackets are left out.
    #[must_use]
    pub fn indicators(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut add = |expr: &Expr| {
            if let Node::Call(operator, _) = &expr.node
                && operator.keeps_state()
                && !names.contains(&operator.name)
            {
                names.push(operator.name);
            }
        };
        self.program.bindings.iter().for_each(|binding| binding.value.visit(&mut add));
        let is_bracket = |part| self.brackets.iter().any(|(bracket, _)| *bracket == part);
        let own = Part::ALL.iter().filter(|(part, _)| !is_bracket(*part));
        own.filter_map(|(part, _)| self.part(*part)).for_each(|expr| expr.visit(&mut add));
        names
    }

    pub(crate) fn part(&self, part: Part) -> Option<&Expr> {
        self.parts[part as usize].as_ref()
    }

    /// The parameter that can take this part away.
    pub(crate) fn bracket(&self, part: Part) -> Option<&str> {
        let (_, place) = self.brackets.iter().find(|(bracket, _)| *bracket == part)?;
        Some(&self.parameters[*place].name)
    }

    /// The part, unless its parameter takes it away.
    pub(crate) fn part_with(&self, part: Part, parameters: &Parameters) -> Option<&Expr> {
        let bracket = self.brackets.iter().find(|(bracket, _)| *bracket == part);
        // A parameter of 0 is exactly 0.
        if bracket.is_some_and(|(_, place)| parameters.values[*place] <= 0.0) { None } else { self.part(part) }
    }

    /// True for parameters that only size a bracket which these values take away.
    pub(crate) fn is_taken_away(&self, place: usize, parameters: &Parameters) -> bool {
        self.brackets.iter().any(|(_, bracket)| *bracket == place) && parameters.values[place] <= 0.0
    }

    /// The default of every parameter.
    #[must_use]
    pub fn defaults(&self) -> Parameters {
        Parameters { values: self.parameters.iter().map(Parameter::default).collect() }
    }

    /// Parameters from values by name, as texts. Parameters without a value have their defaults.
    ///
    /// # Errors
    /// Every name that is not a parameter, and every value that the parameter does not take.
    pub fn parameters_of<'a>(
        &self,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Parameters, Vec<ParameterError>> {
        let mut parameters = self.defaults();
        let mut errors = Vec::new();
        for (name, text) in values {
            let Some(place) = self.parameters.iter().position(|parameter| parameter.name == name) else {
                let hint = nearest(name, self.parameters.iter().map(|parameter| parameter.name.as_str()));
                let message = format!("{} has no such parameter{hint}", self.id);
                errors.push(ParameterError { name: name.to_owned(), message });
                continue;
            };
            match self.parameters[place].parse_value(text) {
                Ok(value) => parameters.values[place] = value,
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(parameters) } else { Err(errors) }
    }

    /// Parameters from values in the order of [`Self::parameters`]: a number, or the place of a choice's option.
    ///
    /// # Errors
    /// When there is not one value per parameter, and for every value that its parameter does not take.
    pub fn parameters_from(&self, values: &[f64]) -> Result<Parameters, Vec<ParameterError>> {
        if values.len() != self.parameters.len() {
            let message = format!("{} values are given for {} parameters", values.len(), self.parameters.len());
            return Err(vec![ParameterError { name: self.id.clone(), message }]);
        }
        let checks = self.parameters.iter().zip(values).map(|(parameter, value)| parameter.check(*value));
        let errors: Vec<_> = checks.filter_map(Result::err).collect();
        if errors.is_empty() { Ok(Parameters { values: values.to_vec() }) } else { Err(errors) }
    }

    /// True if the values fulfil all constraints; quicker than [`Self::bind`].
    #[must_use]
    pub fn allows(&self, parameters: &Parameters) -> bool {
        self.broken(parameters).is_empty()
    }

    fn broken(&self, parameters: &Parameters) -> Vec<String> {
        if self.constraints.is_empty() {
            return Vec::new();
        }
        let (mut graph, names) = (Graph::default(), self.names(parameters));
        let holds = |expr: &Expr, graph: &mut Graph| matches!(graph.add(expr, &names), Ok(Operand::Number(holds)) if holds > 0.0);
        let broken = self.constraints.iter().filter(|(_, expr)| !holds(expr, &mut graph));
        broken.map(|(text, _)| text.clone()).collect()
    }

    fn names(&self, parameters: &Parameters) -> Vec<Lowered> {
        let values = self.parameters.iter().zip(&parameters.values);
        let name = |(parameter, value): (&Parameter, &f64)| match &parameter.range {
            ParameterRange::Choice { options, .. } => {
                Lowered::Text(options.get(whole(*value)).cloned().unwrap_or_default())
            }
            ParameterRange::Int { .. } | ParameterRange::Float { .. } => Lowered::Operand(Operand::Number(*value)),
        };
        values.map(name).collect()
    }

    /// The strategy with these values.
    ///
    /// # Errors
    /// Every constraint that they break, or the first expression that they make impossible, such as a length of 0.
    pub fn bind(&self, parameters: &Parameters) -> Result<Bound, BindError> {
        let broken = self.broken(parameters);
        if !broken.is_empty() {
            return Err(BindError::Constraints(broken));
        }
        let mut graph = Graph::default();
        let mut names = self.names(parameters);
        for (place, binding) in self.program.bindings.iter().enumerate() {
            graph.bind(binding, &mut names).map_err(|refusal| BindError::of(format!("lets[{place}]"), refusal))?;
        }
        let mut roots = [None; Part::ALL.len()];
        for (part, name) in Part::ALL {
            let Some(expr) = self.part_with(part, parameters) else { continue };
            let operand = graph.add(expr, &names).map_err(|refusal| BindError::of(name.to_owned(), refusal))?;
            if part == Part::MaxBars {
                check_max_bars(operand, expr).map_err(|refusal| BindError::of(name.to_owned(), refusal))?;
                roots[part as usize] = Some(operand);
            } else {
                roots[part as usize] = Some(graph.series(operand, part.is_condition()));
            }
        }
        Ok(Bound { graph, roots })
    }

    /// The number of bars to load before the first one of interest: [`Bound::warm_up`] of the strategy with these values.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn warm_up(&self, parameters: &Parameters) -> Result<usize, BindError> {
        self.bind(parameters).map(|bound| bound.warm_up())
    }
}
