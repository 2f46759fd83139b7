//! Definitions from trees of values that know their places.

use std::borrow::Cow;

use super::{Definition, DefinitionError, Family, Fault, ParameterDefinition, RangeDefinition, Timeframes, json, toml};
use crate::{Strategy, expr::Position, nearest::nearest};

/// A value of a file, and its place.
#[derive(Debug)]
pub(super) struct Located<'a> {
    /// Bytes from the start of the file.
    pub(super) offset: usize,
    pub(super) datum: Datum<'a>,
}

#[derive(Debug)]
pub(super) enum Datum<'a> {
    /// A text. `inside` is the place of its first character, if the file holds the text without escapes.
    Text {
        text: Cow<'a, str>,
        inside: Option<usize>,
    },
    Int(i64),
    Float(f64),
    List(Vec<Located<'a>>),
    /// Keys with their own places, in the file's order.
    Table(Vec<(Cow<'a, str>, usize, Located<'a>)>),
    /// A value of a kind that no field takes. Holds the kind's name.
    Other(&'static str),
}

impl Datum<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a text",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads a strategy from TOML.
pub(crate) fn from_toml(text: &str) -> Result<Strategy, Vec<DefinitionError>> {
    strategy(text, toml::parse(text))
}

/// Reads a strategy from JSON.
pub(crate) fn from_json(text: &str) -> Result<Strategy, Vec<DefinitionError>> {
    strategy(text, json::parse(text))
}

fn strategy(text: &str, root: Result<Located<'_>, (usize, String)>) -> Result<Strategy, Vec<DefinitionError>> {
    let error = |field: &str, offset, message| DefinitionError {
        field: field.to_owned(),
        at: Position::of(text, offset),
        message,
    };
    let root = root.map_err(|(offset, message)| vec![error("", offset, message)])?;
    let mut reader = Reader { places: Vec::new(), errors: Vec::new() };
    let strategy = reader.definition(&root);
    let locate = |fault: Fault| {
        let (offset, inside) = reader.place(&fault.field).unwrap_or((root.offset, None));
        error(&fault.field, inside.map_or(offset, |inside| inside + fault.offset), fault.message)
    };
    match strategy {
        Some(Ok(strategy)) if reader.errors.is_empty() => Ok(strategy),
        other => {
            let faults = other.and_then(Result::err).unwrap_or_default();
            let mut errors: Vec<DefinitionError> = faults.into_iter().map(locate).collect();
            errors.extend(reader.errors.into_iter().map(|(field, offset, message)| error(&field, offset, message)));
            errors.sort_by_key(|error| error.at);
            Err(errors)
        }
    }
}

struct Reader {
    /// Fields with the places of their values and, for texts, of the first character.
    places: Vec<(String, usize, Option<usize>)>,
    errors: Vec<(String, usize, String)>,
}

impl Reader {
    /// The place of a field, or of the nearest field around it.
    fn place(&self, field: &str) -> Option<(usize, Option<usize>)> {
        let known = self.places.iter().filter(|(known, ..)| field.starts_with(known.as_str()));
        let (name, offset, inside) = known.max_by_key(|(known, ..)| known.len())?;
        Some((*offset, inside.filter(|_| name == field)))
    }

    fn refuse(&mut self, field: &str, offset: usize, message: impl Into<String>) {
        self.errors.push((field.to_owned(), offset, message.into()));
    }

    /// `None` if a field is missing or of a wrong kind, which is in `errors`.
    fn definition(&mut self, root: &Located<'_>) -> Option<Result<Strategy, Vec<Fault>>> {
        const FIELDS: [&str; 18] = [
            "id",
            "title",
            "family",
            "about",
            "source",
            "timeframes",
            "parameters",
            "constraints",
            "lets",
            "enter_long",
            "exit_long",
            "enter_short",
            "exit_short",
            "stop",
            "target",
            "stop_level_long",
            "stop_level_short",
            "max_bars",
        ];
        let table = self.table("", root, &FIELDS)?;
        let text = |reader: &mut Self, field: &str| table.text(reader, field);
        let optional = [
            "enter_long",
            "exit_long",
            "enter_short",
            "exit_short",
            "stop",
            "target",
            "stop_level_long",
            "stop_level_short",
            "max_bars",
        ]
        .map(|field| text(self, field));
        let [id, title, about, source] =
            ["id", "title", "about", "source"].map(|field| table.required_text(self, field));
        let family = table.one_of(self, "family", &Family::ALL, None);
        let timeframes = table.one_of(self, "timeframes", &Timeframes::ALL, Some(Timeframes::Any));
        let constraints = table.texts(self, "constraints");
        let lets = table.texts(self, "lets");
        let parameters = self.parameters(&table);
        let options: Vec<Vec<&str>> = parameters.iter().map(Parameter::options).collect();
        let parameters: Vec<_> =
            parameters.iter().zip(&options).map(|(parameter, options)| parameter.definition(options)).collect();
        let [enter_long, exit_long, enter_short, exit_short, stop, target, stop_level_long, stop_level_short, max_bars] =
            optional;
        let definition = Definition {
            id: id?,
            title: title?,
            family: family?,
            about: about?,
            source: source?,
            timeframes: timeframes?,
            parameters: &parameters,
            constraints: &constraints,
            lets: &lets,
            enter_long,
            exit_long,
            enter_short,
            exit_short,
            stop,
            target,
            stop_level_long,
            stop_level_short,
            max_bars,
        };
        // Expressions over parameters that could not be read would only add errors that follow from these.
        self.errors.is_empty().then(|| Strategy::parse_faults(&definition))
    }

    /// The fields of a table. Unknown and repeated ones are refused.
    fn table<'t, 'a>(&mut self, path: &str, value: &'t Located<'a>, known: &[&str]) -> Option<Fields<'t, 'a>> {
        let Datum::Table(entries) = &value.datum else {
            self.refuse(path, value.offset, format!("this must be a table, but it is {}", value.datum.kind()));
            return None;
        };
        let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
        for (place, (key, offset, value)) in entries.iter().enumerate() {
            let field = format!("{prefix}{key}");
            if !known.contains(&key.as_ref()) {
                let hint = nearest(key, known.iter().copied());
                self.refuse("", *offset, format!("{field} is not a field{hint}"));
            }
            if entries[..place].iter().any(|(earlier, ..)| earlier == key) {
                self.refuse("", *offset, format!("{field} is given twice"));
            }
            let inside = if let Datum::Text { inside, .. } = value.datum { inside } else { None };
            self.places.push((field, value.offset, inside));
        }
        Some(Fields { prefix, offset: value.offset, entries })
    }

    fn parameters<'t>(&mut self, table: &Fields<'t, '_>) -> Vec<Parameter<'t>> {
        let Some(value) = table.get("parameters") else { return Vec::new() };
        let Datum::List(items) = &value.datum else {
            self.refuse("parameters", value.offset, "this must be a list of tables");
            return Vec::new();
        };
        let items = items.iter().enumerate();
        items.filter_map(|(place, item)| self.parameter(&format!("parameters[{place}]"), item)).collect()
    }

    fn parameter<'t>(&mut self, path: &str, item: &'t Located<'_>) -> Option<Parameter<'t>> {
        const FIELDS: [&str; 8] = ["name", "type", "about", "default", "min", "max", "step", "options"];
        self.places.push((path.to_owned(), item.offset, None));
        let fields = self.table(path, item, &FIELDS)?;
        let (name, about) = (fields.required_text(self, "name"), fields.required_text(self, "about"));
        let kind = fields.one_of(self, "type", &[(0, "int"), (1, "float"), (2, "choice")], None)?;
        let superfluous: &[&str] = if kind == 2 { &["min", "max", "step"] } else { &["options"] };
        for field in superfluous {
            if let Some(value) = fields.get(field) {
                self.refuse(&fields.name(field), value.offset, "this type of parameter does not have it; leave it out");
            }
        }
        let values = match kind {
            0 => {
                let [default, min, max] = ["default", "min", "max"].map(|field| fields.int(self, field, None));
                Values::Int { default: default?, min: min?, max: max?, step: fields.int(self, "step", Some(1))? }
            }
            1 => {
                let [default, min, max, step] =
                    ["default", "min", "max", "step"].map(|field| fields.float(self, field));
                Values::Float { default: default?, min: min?, max: max?, step: step? }
            }
            _ => Values::Choice {
                default: fields.required_text(self, "default")?,
                options: fields.texts(self, "options"),
            },
        };
        Some(Parameter { name: name?, about: about?, values })
    }
}

struct Parameter<'t> {
    name: &'t str,
    about: &'t str,
    values: Values<'t>,
}

enum Values<'t> {
    Int { default: i64, min: i64, max: i64, step: i64 },
    Float { default: f64, min: f64, max: f64, step: f64 },
    Choice { default: &'t str, options: Vec<&'t str> },
}

impl<'t> Parameter<'t> {
    fn options(&self) -> Vec<&'t str> {
        match &self.values {
            Values::Choice { options, .. } => options.clone(),
            Values::Int { .. } | Values::Float { .. } => Vec::new(),
        }
    }

    fn definition<'a>(&self, options: &'a [&'t str]) -> ParameterDefinition<'a>
    where
        't: 'a,
    {
        let range = match self.values {
            Values::Int { default, min, max, step } => RangeDefinition::Int { default, min, max, step },
            Values::Float { default, min, max, step } => RangeDefinition::Float { default, min, max, step },
            Values::Choice { default, .. } => RangeDefinition::Choice { default, options },
        };
        ParameterDefinition { name: self.name, about: self.about, range }
    }
}

struct Fields<'t, 'a> {
    prefix: String,
    offset: usize,
    entries: &'t [(Cow<'a, str>, usize, Located<'a>)],
}

impl<'t, 'a> Fields<'t, 'a> {
    fn get(&self, field: &str) -> Option<&'t Located<'a>> {
        self.entries.iter().find(|(key, ..)| key == field).map(|(_, _, value)| value)
    }

    fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    fn missing(&self, reader: &mut Reader, field: &str) {
        reader.refuse("", self.offset, format!("{} is missing", self.name(field)));
    }

    fn wrong(&self, reader: &mut Reader, field: &str, value: &Located<'_>, wanted: &str) {
        reader.refuse(
            &self.name(field),
            value.offset,
            format!("this must be {wanted}, but it is {}", value.datum.kind()),
        );
    }

    fn text(&self, reader: &mut Reader, field: &str) -> Option<&'t str> {
        let value = self.get(field)?;
        if let Datum::Text { text, .. } = &value.datum {
            return Some(text);
        }
        self.wrong(reader, field, value, "a text");
        None
    }

    fn required_text(&self, reader: &mut Reader, field: &str) -> Option<&'t str> {
        if self.get(field).is_none() {
            self.missing(reader, field);
        }
        self.text(reader, field)
    }

    fn texts(&self, reader: &mut Reader, field: &str) -> Vec<&'t str> {
        let Some(value) = self.get(field) else { return Vec::new() };
        let Datum::List(items) = &value.datum else {
            self.wrong(reader, field, value, "a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let name = format!("{}[{place}]", self.name(field));
            match &item.datum {
                Datum::Text { text, inside } => {
                    texts.push(text.as_ref());
                    reader.places.push((name, item.offset, *inside));
                }
                other => reader.refuse(&name, item.offset, format!("this must be a text, but it is {}", other.kind())),
            }
        }
        texts
    }

    fn int(&self, reader: &mut Reader, field: &str, default: Option<i64>) -> Option<i64> {
        match self.get(field) {
            Some(Located { datum: Datum::Int(number), .. }) => return Some(*number),
            Some(value) => self.wrong(reader, field, value, "a whole number"),
            None if default.is_some() => return default,
            None => self.missing(reader, field),
        }
        None
    }

    fn float(&self, reader: &mut Reader, field: &str) -> Option<f64> {
        match self.get(field) {
            Some(Located { datum: Datum::Float(number), .. }) => return Some(*number),
            Some(Located { datum: Datum::Int(number), .. }) => return Some(crate::number::real_time(*number)),
            Some(value) => self.wrong(reader, field, value, "a number"),
            None => self.missing(reader, field),
        }
        None
    }

    fn one_of<T: Copy>(&self, reader: &mut Reader, field: &str, known: &[(T, &str)], default: Option<T>) -> Option<T> {
        let Some(value) = self.get(field) else {
            if default.is_none() {
                self.missing(reader, field);
            }
            return default;
        };
        let text = self.text(reader, field)?;
        let found = known.iter().find(|(_, name)| *name == text).map(|(value, _)| *value);
        if found.is_none() {
            let names: Vec<_> = known.iter().map(|(_, name)| *name).collect();
            reader.refuse(&self.name(field), value.offset, format!("{text:?} is not one of {}", names.join(", ")));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"id = "my-cross"
title = "My crossing"
family = "trend"
about = "Follows two averages."
source = "notes"
constraints = ["fast < slow"]
lets = [
    "f = ta.ema(close, fast)",
    "s = ta.ema(close, slow)",
]
enter_long = "ta.crossover(f, s)"
enter_short = "ta.crossunder(f, s)"

[[parameters]]
name = "fast"
type = "int"
default = 10
min = 2
max = 50
about = "bars of the fast average"

[[parameters]]
name = "slow"
type = "int"
default = 30
min = 3
max = 200
step = 1
about = "bars of the slow average"
"#;

    const JSON: &str = r#"{
  "id": "my-cross", "title": "My crossing", "family": "trend", "about": "Follows two averages.", "source": "notes",
  "constraints": ["fast < slow"],
  "lets": ["f = ta.ema(close, fast)", "s = ta.ema(close, slow)"],
  "enter_long": "ta.crossover(f, s)",
  "enter_short": "ta.crossunder(f, s)",
  "parameters": [
    {"name": "fast", "type": "int", "default": 10, "min": 2, "max": 50, "about": "bars of the fast average"},
    {"name": "slow", "type": "int", "default": 30, "min": 3, "max": 200, "about": "bars of the slow average"}
  ]
}"#;

    #[test]
    fn both_formats_make_one_strategy() {
        let (toml, json) = (from_toml(TOML).unwrap(), from_json(JSON).unwrap());
        assert_eq!(format!("{toml:?}"), format!("{json:?}"));
        assert_eq!(toml.parameters().len(), 4);
        assert_eq!(toml.family(), Family::Trend);
    }

    #[test]
    fn refusals_name_field_line_and_column() {
        for (old, new, expected) in [
            ("ta.crossover(f, s)", "ta.crossover(f, z)", "line 11, column 31: enter_long: nothing is called z"),
            (
                "s = ta.ema(close, slow)",
                "s = ta.emma(close, slow)",
                "line 9, column 10: lets[1]: there is no function ta.emma; did you mean ta.ema?",
            ),
            (
                "fast < slow",
                "fast > slow",
                "line 6, column 17: constraints[0]: the default values do not fulfil fast > slow",
            ),
            (
                "fast < slow",
                "close < slow",
                "line 6, column 17: constraints[0]: this must be a condition over parameters alone",
            ),
            ("default = 10", "default = 60", "line 17, column 11: parameters[0].default: 60 is not from 2 to 50"),
            (
                "default = 10",
                "default = \"x\"",
                "line 17, column 11: parameters[0].default: this must be a whole number, but it is a text",
            ),
            ("default = 10\n", "", "line 14, column 1: parameters[0].default is missing"),
            (
                "family = \"trend\"",
                "family = \"fashion\"",
                "line 3, column 10: family: \"fashion\" is not one of trend, mean_reversion",
            ),
            ("title =", "title_ =", "line 1, column 1: title is missing"),
            ("title =", "title_ =", "line 2, column 1: title_ is not a field; did you mean title?"),
            ("id = \"my-cross\"", "id = \"My Cross\"", "line 1, column 7: id: an id has 1 to 64 lower-case letters"),
            (
                "name = \"slow\"",
                "name = \"close\"",
                "line 23, column 9: parameters[1].name: close has a meaning already",
            ),
            (
                "name = \"slow\"",
                "name = \"fast\"",
                "line 23, column 9: parameters[1].name: fast is a parameter already",
            ),
            ("min = 2\n", "min = 2\nstop = 3\n", "line 19, column 1: parameters[0].stop is not a field"),
            ("enter_long = \"ta.crossover(f, s)\"\n", "", "line 8, column 6: lets[0]: "),
            ("enter_short =", "exit_short =", "line 12, column 15: exit_short: without enter_short this has no effect"),
            (
                "ta.crossover(f, s)",
                "f > s ? 1 : 2",
                "line 11, column 15: enter_long: this must be a condition, but it is a series of int",
            ),
            ("title = \"My crossing\"", "title = \"My\" crossing", "line 2, column 14: "),
            ("step = 1", "step = 0", "line 28, column 8: parameters[1].step: 0 is not above 0"),
        ] {
            let text = TOML.replacen(old, new, 1);
            let Err(errors) = from_toml(&text) else {
                assert!(old.starts_with("enter_long"), "{new} is accepted");
                continue;
            };
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert!(errors.iter().any(|error| error.starts_with(expected)), "{new}: {errors:#?}");
        }
    }

    #[test]
    fn refusals_in_json_have_places_too() {
        for (old, new, expected) in [
            ("ta.crossover(f, s)", "ta.crossover(f, z)", "line 5, column 34: enter_long: nothing is called z"),
            (
                "\"min\": 2,",
                "\"min\": 2.5,",
                "line 8, column 59: parameters[0].min: this must be a whole number, but it is a number",
            ),
            ("\"min\": 2,", "\"min\": 2, \"min\": 3,", "line 8, column 69: parameters[0].min is given twice"),
            (
                "\"min\": 2,",
                "\"min\": null,",
                "line 8, column 59: parameters[0].min: this must be a whole number, but it is null",
            ),
            (
                "\"lets\": [",
                "\"lets\": [1, ",
                "line 4, column 12: lets[0]: this must be a text, but it is a whole number",
            ),
            ("\"source\": \"notes\",", "\"source\" \"notes\",", "line 2, column "),
        ] {
            let errors = from_json(&JSON.replacen(old, new, 1)).unwrap_err();
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert!(errors.iter().any(|error| error.starts_with(expected)), "{new}: {errors:#?}");
        }
        assert!(from_json("[]").unwrap_err()[0].to_string().starts_with("line 1, column 1: this must be a table"));
        assert!(from_json("").is_err());
    }

    #[test]
    fn names_that_nothing_uses_are_refused() {
        let text = TOML.replace("fast < slow", "fast < 20").replace("close, slow", "close, 30");
        let errors = from_toml(&text).unwrap_err();
        assert_eq!(
            errors[0].to_string(),
            "line 22, column 1: parameters[1]: slow is used in no expression; use it or leave it out"
        );
    }
}
