//! The answers about strategies: the list, and a page for each strategy. Each is made once.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use research::{Family, Parameter, ParameterRange, Parameters, Strategy, describe};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use super::numbers::Number;
use super::requests;
use super::{ResearchError, Strategies};
use crate::query::{Encoding, Parameters as QueryParameters};
use candle::{Rule, ValueError};

/// The maximum number of characters to look for.
const MAX_WORDS_CHARS: usize = 100;

/// An answer that does not change while the process runs.
#[derive(Debug, Clone)]
pub(crate) struct StrategyPage {
    pub(crate) body: Bytes,
    /// The weak entity tag over the body.
    pub(crate) etag: String,
    /// The body in other encodings, made when they are first asked for.
    gzip: Arc<OnceLock<Bytes>>,
    zstd: Arc<OnceLock<Bytes>>,
}

impl StrategyPage {
    fn new(body: Vec<u8>) -> Self {
        let etag = format!("W/\"{:032x}\"", xxh3_128(&body));
        Self { body: body.into(), etag, gzip: Arc::default(), zstd: Arc::default() }
    }

    /// The body in an encoding.
    ///
    /// # Errors
    /// When the compression fails.
    pub(crate) fn encoded(&self, encoding: Encoding) -> io::Result<Bytes> {
        let made = match encoding {
            Encoding::Identity => return Ok(self.body.clone()),
            Encoding::Gzip => &self.gzip,
            Encoding::Zstd => &self.zstd,
        };
        if let Some(encoded) = made.get() {
            return Ok(encoded.clone());
        }
        let encoded = Bytes::from(encoding.encode(&self.body)?);
        Ok(made.get_or_init(|| encoded).clone())
    }
}

/// The pages of all strategies, made when they are first asked for.
#[derive(Debug)]
pub(super) struct StrategyPages {
    strategies: Strategies,
    made: OnceLock<Made>,
}

#[derive(Debug)]
struct Made {
    all: StrategyPage,
    strategies: Vec<OfStrategy>,
}

#[derive(Debug)]
struct OfStrategy {
    strategy: &'static Strategy,
    /// The text that a search looks in, in lower case.
    searched: String,
    /// Its element of the list.
    element: Vec<u8>,
    page: StrategyPage,
}

impl StrategyPages {
    pub(super) fn new(strategies: Strategies) -> Self {
        Self { strategies, made: OnceLock::new() }
    }

    /// The list that a query string selects: all, those of a `family`, those with `q` in id, title or description.
    ///
    /// # Errors
    /// When the parameters are invalid.
    pub(super) fn list(&self, query: &str) -> Result<StrategyPage, ResearchError> {
        let mut parameters = QueryParameters::read(query, &["family", "q"]);
        let family = parameters.optional("family", parse_family);
        let words = parameters.optional("q", parse_words);
        parameters.valid(()).map_err(ResearchError::Fields)?;
        let made = self.made();
        if family.is_none() && words.is_none() {
            return Ok(made.all.clone());
        }
        let is_meant = |of: &&OfStrategy| {
            family.is_none_or(|family| family == of.strategy.family())
                && words.as_ref().is_none_or(|words| of.searched.contains(words.as_str()))
        };
        Ok(StrategyPage::new(joined(made.strategies.iter().filter(is_meant))))
    }

    /// The page of one strategy.
    ///
    /// # Errors
    /// When there is no strategy of that id.
    pub(super) fn page(&self, id: &str) -> Result<StrategyPage, ResearchError> {
        let found = self.made().strategies.iter().find(|of| of.strategy.id() == id);
        found.map(|of| of.page.clone()).ok_or_else(|| self.strategies.unknown(id))
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let strategies: Vec<_> = self.strategies.all().map(OfStrategy::of).collect();
            Made { all: StrategyPage::new(joined(strategies.iter())), strategies }
        })
    }
}

impl OfStrategy {
    fn of(strategy: &'static Strategy) -> Self {
        let listed = Listed::of(strategy);
        let searched = format!("{}\n{}\n{}", strategy.id(), strategy.title(), strategy.about()).to_lowercase();
        let element = serde_json::to_vec(&listed).unwrap_or_default();
        let described = describe(strategy);
        let page = serde_json::to_vec(&Described {
            listed,
            warm_up: strategy.warm_up(&strategy.defaults()).unwrap_or_default(),
            rules: described.rules,
            terms: described.terms,
            expressions: Expressions { lets: strategy.lets().collect(), rules: Rules(strategy) },
        });
        Self { strategy, searched, element, page: StrategyPage::new(page.unwrap_or_default()) }
    }
}

fn joined<'a>(of: impl Iterator<Item = &'a OfStrategy>) -> Vec<u8> {
    let mut body = vec![b'['];
    for (place, of) in of.enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&of.element);
    }
    body.push(b']');
    body
}

fn parse_family(text: &str) -> Result<Family, ValueError> {
    let found = Family::ALL.iter().find(|(_, name)| *name == text).map(|(family, _)| *family);
    found.ok_or_else(|| {
        let names = Family::ALL.map(|(_, name)| name).join(", ");
        ValueError::new(Rule::WrongType, format!("must be one of {names}"))
    })
}

fn parse_words(text: &str) -> Result<String, ValueError> {
    if text.chars().count() > MAX_WORDS_CHARS {
        let message = format!("has more than {MAX_WORDS_CHARS} characters; send a word or two");
        return Err(ValueError::new(Rule::TooLong, message));
    }
    Ok(text.to_lowercase())
}

/// A strategy in the list.
#[derive(Debug, Serialize)]
struct Listed {
    id: &'static str,
    title: &'static str,
    family: &'static str,
    sides: &'static str,
    about: &'static str,
    source: &'static str,
    parameters: Vec<ParameterAnswer>,
    constraints: Vec<&'static str>,
    timeframes: &'static str,
    indicators: Vec<&'static str>,
}

impl Listed {
    fn of(strategy: &'static Strategy) -> Self {
        Self {
            id: strategy.id(),
            title: strategy.title(),
            family: strategy.family().name(),
            sides: match (strategy.goes_long(), strategy.goes_short()) {
                (true, true) => "long_short",
                (false, true) => "short",
                _ => "long",
            },
            about: strategy.about(),
            source: strategy.source(),
            parameters: strategy.parameters().iter().map(ParameterAnswer::of).collect(),
            constraints: strategy.constraints().collect(),
            timeframes: strategy.timeframes().name(),
            indicators: strategy.indicators(),
        }
    }
}

/// A strategy by itself.
#[derive(Debug, Serialize)]
struct Described {
    #[serde(flatten)]
    listed: Listed,
    /// The number of candles to read before the first one to trade, with the defaults.
    warm_up: usize,
    /// The rules in words, a sentence each.
    rules: Vec<String>,
    /// The meanings of the names in the rules.
    terms: Vec<String>,
    expressions: Expressions,
}

#[derive(Debug, Serialize)]
struct Expressions {
    lets: Vec<&'static str>,
    rules: Rules,
}

/// The rules as they are written, by their names.
#[derive(Debug)]
struct Rules(&'static Strategy);

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.rules())
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Bound {
    Number(Number),
    Text(&'static str),
}

#[derive(Debug, Serialize)]
struct ParameterAnswer {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    default: Bound,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Number>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    options: &'static [String],
    about: &'static str,
}

impl ParameterAnswer {
    fn of(parameter: &'static Parameter) -> Self {
        let (name, about) = (parameter.name.as_str(), parameter.about.as_str());
        let numbers = |kind, default, [min, max, step]: [f64; 3]| Self {
            name,
            kind,
            default: Bound::Number(Number(default)),
            min: Some(Number(min)),
            max: Some(Number(max)),
            step: Some(Number(step)),
            options: &[],
            about,
        };
        match &parameter.range {
            #[expect(clippy::cast_precision_loss, reason = "bounds of parameters are below 2^53")]
            ParameterRange::Int { min, max, step, .. } => {
                numbers("int", parameter.default(), [min, max, step].map(|number| *number as f64))
            }
            ParameterRange::Float { min, max, step, .. } => numbers("float", parameter.default(), [*min, *max, *step]),
            ParameterRange::Choice { default, options } => Self {
                name,
                kind: "choice",
                default: Bound::Text(options.get(*default).map_or("", String::as_str)),
                min: None,
                max: None,
                step: None,
                options,
                about,
            },
        }
    }
}

/// The Pine script of a strategy with the parameters and settings in a query string.
///
/// # Errors
/// When there is no such strategy, or else with everything that is wrong with the query.
pub(super) fn pine(known: &Strategies, id: &str, query: &str) -> Result<String, ResearchError> {
    let strategy = known.find(id)?;
    let (parameters, settings) = parse_pine(strategy, query)?;
    let remark = "Equal trades need equal candles.";
    Ok(research::pine::script(strategy, &parameters, &settings, &[remark])?)
}

fn parse_pine(strategy: &'static Strategy, query: &str) -> Result<(Parameters, research::Settings), ResearchError> {
    let own: Vec<&str> = strategy.parameters().iter().map(|parameter| parameter.name.as_str()).collect();
    let known: Vec<&str> =
        own.iter().copied().chain(requests::setting_names().filter(|name| !own.contains(name))).collect();
    let mut read = QueryParameters::read(query, &known);
    let mut values = |names: &[&'static str]| -> Vec<(&'static str, String)> {
        let text = |name: &&'static str| {
            read.optional(name, |text| Ok::<_, ValueError>(text.to_owned())).map(|text| (*name, text))
        };
        names.iter().filter_map(text).collect()
    };
    let given = values(&own);
    // A parameter of a strategy of the user's own hides the setting of its name.
    let settings: Vec<&'static str> = requests::setting_names().filter(|name| !own.contains(name)).collect();
    let settings = values(&settings);
    let mut faults = super::body::Faults::from(read.refusal());
    let place = vec!["query".into()];
    let parameters = requests::parameters_of(strategy, &given, &place, &mut faults);
    let parameters = parameters.and_then(|parameters| requests::bindable(strategy, parameters, &place, &mut faults));
    let value_of = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
    let settings = requests::settings_of_query(value_of, &mut faults);
    match parameters {
        Some(parameters) if faults.is_empty() => Ok((parameters, settings)),
        _ => Err(faults.refusal()),
    }
}
