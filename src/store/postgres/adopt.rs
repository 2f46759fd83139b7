//! Adoption of a `market_data_candles` that others made: it is used as it is if it can hold every candle exactly and
//! once.
//!
//! A table that cannot is refused, with everything that is wrong with it at once. Repairs that lose nothing go into one
//! statement to run. If a repair could lose or misread something, the table is searched, and the refusal says which
//! rows are in the way and how to see them.

use std::fmt::Write as _;

use sqlx::{Executor as _, FromRow, PgConnection};

use super::exact_volume;
use crate::store::StoreError;
use crate::store::error::sql_state;

/// Sets the maximum time of one search through the table.
const LOOK_TIMEOUT: &str = "set statement_timeout = '2s'";

/// The content of a column that we read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Text,
    Time,
    Price,
    Volume,
}

const COLUMNS: [(&str, Content); 8] = [
    ("symbol", Content::Text),
    ("timeframe", Content::Text),
    ("timestamp", Content::Time),
    ("open", Content::Price),
    ("high", Content::Price),
    ("low", Content::Price),
    ("close", Content::Price),
    ("volume", Content::Volume),
];

impl Content {
    /// The type that holds every value exactly.
    fn right_type(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Time => "timestamp with time zone",
            Self::Price => "numeric",
            Self::Volume => "bigint",
        }
    }

    fn fits(self, found: &str) -> bool {
        found == self.right_type() || (self == Self::Text && found == "character varying")
    }
}

/// A column as the database describes it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, FromRow)]
struct AdoptedColumn {
    name: String,
    r#type: String,
    /// The type without precision or length.
    base_type: String,
    category: String,
    not_null: bool,
    must_be_given: bool,
    is_generated: bool,
    in_primary_key: bool,
    /// The sequence that the column owns, if any.
    sequence: Option<String>,
    /// True if its collation treats different texts as equal.
    is_blind: bool,
    dependents: Option<String>,
}

/// The keys that the table has.
#[derive(Debug, FromRow)]
struct AdoptedKeys {
    has_key: bool,
    deferrable: Vec<String>,
}

/// PostgreSQL's category of texts (documentation, "pg_type").
const TEXTS: &str = "S";

/// Refuses a table that cannot hold every candle exactly and once.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    const KIND: &str = "select relkind in ('r', 'p') from pg_class where oid = to_regclass('market_data_candles')";
    let Some(is_table) = sqlx::query_scalar::<_, bool>(KIND).fetch_optional(&mut *connection).await? else {
        return Ok(());
    };
    if !is_table {
        return Err(StoreError::misconfigured(
            "market_data_candles exists in the database and is not a table (perhaps a view), so candles cannot be \
             stored in it; rename it",
        ));
    }
    let found =
        sqlx::query_as::<_, AdoptedColumn>(include_str!("sql/adopted_columns.sql")).fetch_all(&mut *connection).await?;
    let key: AdoptedKeys = sqlx::query_as(include_str!("sql/adopted_key.sql")).fetch_one(&mut *connection).await?;
    let fits = |column: &AdoptedColumn| match content(&column.name) {
        Some(content) => content.fits(&column.r#type) && column.not_null && !column.is_generated && !column.is_blind,
        None => !column.must_be_given,
    };
    let is_complete = COLUMNS.iter().all(|(name, _)| found.iter().any(|column| column.name == *name));
    if key.has_key && key.deferrable.is_empty() && is_complete && found.iter().all(fits) {
        return Ok(());
    }
    connection.execute(LOOK_TIMEOUT).await?;
    let mut report = MisfitReport {
        connection,
        found: &found,
        is_patient: true,
        misfits: vec![],
        actions: vec![],
        questions: vec![],
        dependents: vec![],
    };
    report.describe(&key).await?;
    Err(StoreError::misconfigured(report.text()))
}

fn content(name: &str) -> Option<Content> {
    COLUMNS.iter().find(|(column, _)| *column == name).map(|(_, content)| *content)
}

/// Everything that is wrong with a table.
struct MisfitReport<'a> {
    connection: &'a mut PgConnection,
    found: &'a [AdoptedColumn],
    /// True as long as no search has taken too long. After that, no other search is made.
    is_patient: bool,
    misfits: Vec<String>,
    /// Parts of the statement for the repairs that lose nothing.
    actions: Vec<String>,
    /// Decisions that the operator has to make first.
    questions: Vec<String>,
    /// Objects that keep types of columns from being changed.
    dependents: Vec<String>,
}

/// The result of a search for rows.
enum RowSearch {
    Nothing,
    Rows { count: i64, example: String },
    TookTooLong,
}

impl MisfitReport<'_> {
    async fn describe(&mut self, key: &AdoptedKeys) -> sqlx::Result<()> {
        let found = self.found;
        for (name, content) in COLUMNS {
            match found.iter().find(|column| column.name == name) {
                Some(column) => self.column(column, content).await?,
                None => self.missing(name, content).await?,
            }
        }
        for column in found.iter().filter(|column| content(&column.name).is_none() && column.must_be_given) {
            self.unknown(column);
        }
        for constraint in &key.deferrable {
            self.misfits.push(format!("the key {constraint} is deferrable, and \"on conflict\" cannot use such a key"));
            self.actions.push(format!("drop constraint {constraint}"));
        }
        let is_there = |name: &str| found.iter().any(|column| column.name == name);
        if !key.has_key && ["symbol", "timeframe", "timestamp"].into_iter().all(is_there) {
            self.key().await?;
        }
        Ok(())
    }

    async fn column(&mut self, column: &AdoptedColumn, content: Content) -> sqlx::Result<()> {
        let AdoptedColumn { name, r#type, base_type, .. } = column;
        let mut advice_fills_nulls = false;
        if column.is_generated {
            self.misfits.push(format!("{name} is generated"));
            self.actions.push(format!("alter column \"{name}\" drop expression"));
        }
        if !content.fits(r#type) {
            self.misfits.push(format!("{name} is {type}, not {}", content.right_type()));
            self.dependents.extend(column.dependents.clone());
            if content == Content::Volume && exact_volume::is_type(base_type) {
                advice_fills_nulls = self.convert_volume(column).await?;
            } else {
                self.convert(column, content).await?;
            }
        } else if column.is_blind {
            self.misfits.push(format!("the collation of {name} treats different texts as equal"));
            self.dependents.extend(column.dependents.clone());
            self.actions.push(format!("alter column \"{name}\" type text collate \"C\""));
        }
        if !column.not_null {
            self.misfits.push(format!("{name} may be null"));
            if advice_fills_nulls {
                return Ok(());
            }
            let set = format!("alter column \"{name}\" set not null");
            let nulls = format!("\"{name}\" is null");
            let ask = match self.exact_volume() {
                Some((exact, base_type)) if content == Content::Volume && content.fits(r#type) => format!(
                    "{name} is null in some rows, and {exact} may hold the values, as after a change that ended \
                     half-way. To fill {name} from it ({}), run: {};",
                    exact_volume::SUBSTITUTE,
                    exact_volume::fill_volume(&exact, base_type)
                ),
                _ => format!("{name} is null in some rows; give it a value there or delete them, then {}", alter(&set)),
            };
            self.if_nothing(&nulls, set, &ask).await?;
        }
        Ok(())
    }

    /// Decides how a column of another type can be converted.
    async fn convert(&mut self, column: &AdoptedColumn, content: Content) -> sqlx::Result<()> {
        let AdoptedColumn { name, base_type, category, .. } = column;
        let to = |using: &str| format!("alter column \"{name}\" type {} using {using}", content.right_type());
        let is_text = category == TEXTS;
        match (content, &**base_type) {
            (Content::Text, _) => self.actions.push(to(&format!("\"{name}\"::text"))),
            (Content::Time, "timestamp with time zone")
            | (Content::Price, "numeric" | "smallint" | "integer" | "bigint" | "money")
            | (Content::Volume, "smallint" | "integer") => {
                self.actions.push(to(&format!("\"{name}\"::{}", content.right_type())));
            }
            (Content::Time, _) => self.convert_time(column).await?,
            (Content::Price, "real" | "double precision") => {
                let digits = to(&format!("\"{name}\"::text::numeric"));
                // The cast rounds to the digits that the type holds for certain; the text has all the digits that
                // identify the value.
                let artefacts = format!("\"{name}\"::text::numeric is distinct from \"{name}\"::numeric");
                let ask = format!(
                    "{name} is binary and holds prices of more digits than its type holds for certain, such as \
                     1.0850000000000002. To keep all digits, {}; to round these away, {}",
                    alter(&digits),
                    alter(&to(&format!("\"{name}\"::numeric")))
                );
                self.if_nothing(&artefacts, digits, &ask).await?;
            }
            (Content::Price, _) if is_text => {
                let other = format!(
                    r#"coalesce("{name}" !~ '^\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{{1,3}})?\s*$', false)"#
                );
                let ask = format!("{name} holds texts that are not numbers; correct these rows or delete them");
                self.if_nothing(&other, to(&format!("\"{name}\"::numeric")), &ask).await?;
            }
            (Content::Volume, _) if is_text => {
                let other = format!(r#"coalesce("{name}" !~ '^\s*[-+]?[0-9]{{1,18}}\s*$', false)"#);
                let ask = format!("{name} holds texts that are not whole numbers; correct these rows or delete them");
                self.if_nothing(&other, to(&format!("\"{name}\"::bigint")), &ask).await?;
            }
            _ => self.questions.push(format!(
                "{name} holds another kind of value; rename that column and add one of type {} in its place",
                content.right_type()
            )),
        }
        Ok(())
    }

    /// Decides how a volume of a type that may hold fractions can be converted. Returns true if rows are in the way.
    /// The advice then gives every row a volume, also where it is null.
    async fn convert_volume(&mut self, column: &AdoptedColumn) -> sqlx::Result<bool> {
        let AdoptedColumn { name, base_type, .. } = column;
        let value = exact_volume::number(name, base_type);
        let beyond = format!(
            "not ({value} = trunc({value}) and {value} >= -9223372036854775808 and {value} < 9223372036854775808)"
        );
        let exact = exact_volume::free_name(|name| self.find(name).is_some());
        let ask = format!(
            "{name} holds values that bigint would round or cannot hold. To keep them exactly as {exact} beside a \
             rounded {name} ({}), run: {}",
            exact_volume::SUBSTITUTE,
            exact_volume::replace_volume(&exact, base_type)
        );
        self.if_nothing(&beyond, format!("alter column \"{name}\" type bigint using {value}::bigint"), &ask).await
    }

    fn find(&self, name: &str) -> Option<&AdoptedColumn> {
        self.found.iter().find(|column| column.name == name)
    }

    /// The column in which an earlier change has kept exact volumes, and its type.
    fn exact_volume(&self) -> Option<(String, &str)> {
        let taken = exact_volume::taken_names(|name| self.find(name).is_some());
        let with_type = |name: String| self.find(&name).map(|column| (name, &*column.base_type));
        taken.filter_map(with_type).filter(|(_, base_type)| exact_volume::is_type(base_type)).last()
    }

    /// Always asks the operator how to convert a time, because one without a zone could be of any zone.
    async fn convert_time(&mut self, column: &AdoptedColumn) -> sqlx::Result<()> {
        let AdoptedColumn { name, base_type, category, .. } = column;
        let to = |using: &str| alter(&format!("alter column \"{name}\" type timestamp with time zone using {using}"));
        let newest = format!("select max(\"{name}\")::text from market_data_candles");
        let newest =
            self.scalar(&newest).await?.map_or_else(String::new, |newest| format!(" Its newest value is {newest}."));
        let question = match &**base_type {
            "timestamp without time zone" | "date" => format!(
                "{name} has no time zone, and only you know which it is in.{newest} If its times are UTC, {}; for \
                 another zone, name that one instead of UTC",
                to(&format!("\"{name}\"::timestamp at time zone 'UTC'"))
            ),
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => format!(
                "{name} is a number.{newest} If it counts seconds since 1970, {}; if milliseconds, {}; either changes \
                 nothing where a number is not a time",
                to(&format!("to_timestamp(\"{name}\")")),
                to(&format!("to_timestamp(\"{name}\" / 1000.0)"))
            ),
            _ if category == TEXTS => format!(
                "{name} is a text.{newest} If every one has its zone, {}; if none has and all are UTC, {}; either \
                 changes nothing where a text is not a time",
                to(&format!("\"{name}\"::timestamptz")),
                to(&format!("\"{name}\"::timestamp at time zone 'UTC'"))
            ),
            _ => format!(
                "{name} holds another kind of value; rename that column and add one of type timestamp with time zone \
                 in its place"
            ),
        };
        self.questions.push(question);
        Ok(())
    }

    async fn missing(&mut self, name: &str, content: Content) -> sqlx::Result<()> {
        self.misfits.push(format!("the column {name} is missing"));
        let add = format!("add column \"{name}\" {} not null", content.right_type());
        let ask = match self.exact_volume() {
            Some((exact, base_type)) if content == Content::Volume => format!(
                "{name} is missing, and {exact} may hold its values, as after a change that ended half-way. To make \
                 {name} from it ({}), run: {}",
                exact_volume::SUBSTITUTE,
                exact_volume::restore_volume(&exact, base_type)
            ),
            _ => format!(
                "{name} is missing, and the stored rows need a value for it. If the column has another name, run: \
                 alter table market_data_candles rename column \"OTHER\" to \"{name}\"; otherwise add it without \"not \
                 null\", fill it, and set it to not null afterwards; or leave this table alone and rename it"
            ),
        };
        match self.look("true").await? {
            RowSearch::Nothing => self.actions.push(add),
            _ => self.questions.push(ask),
        }
        Ok(())
    }

    /// Reports a column that is not ours and has to be given a value.
    fn unknown(&mut self, column: &AdoptedColumn) {
        let AdoptedColumn { name, base_type, in_primary_key, sequence, .. } = column;
        self.misfits.push(format!("the column {name} must be given a value that candlewick does not know"));
        // Migrations set its sequence to the highest stored value.
        if let Some(sequence) = sequence {
            self.actions.push(format!("alter column \"{name}\" set default nextval('{sequence}')"));
            return;
        }
        match (in_primary_key, &**base_type) {
            (true, "smallint" | "integer" | "bigint") => {
                self.actions.push(format!("alter column \"{name}\" add generated by default as identity"));
            }
            (true, _) => self.questions.push(format!(
                "{name} is part of the primary key; give it a default, run: alter table market_data_candles alter \
                 column \"{name}\" set default VALUE"
            )),
            (false, _) => self.actions.push(format!("alter column \"{name}\" drop not null")),
        }
    }

    async fn key(&mut self) -> sqlx::Result<()> {
        const KEY: &str = "symbol, timeframe, \"timestamp\"";
        self.misfits.push("there is no unique key on (symbol, timeframe, timestamp)".to_owned());
        let repeated = format!("({KEY}) in (select {KEY} from market_data_candles group by {KEY} having count(*) > 1)");
        let add = format!("add unique ({KEY})");
        let ask = format!(
            "some candles are stored more than once, and only you know which of them is right; delete the others, then \
             {}",
            alter(&add)
        );
        self.if_nothing(&repeated, add, &ask).await?;
        Ok(())
    }

    /// Adds `action` to the statement if no row meets `condition`, and otherwise asks the operator about these rows.
    /// Returns true if rows are known to be in the way.
    async fn if_nothing(&mut self, condition: &str, action: String, ask: &str) -> sqlx::Result<bool> {
        let select = format!("select * from market_data_candles where {condition}");
        let ask = ended(ask);
        let look = self.look(condition).await?;
        let is_in_the_way = matches!(look, RowSearch::Rows { .. });
        match look {
            RowSearch::Nothing => self.actions.push(action),
            RowSearch::Rows { count, example } => {
                self.questions.push(format!("{ask} Rows in the way: {count}, such as {example}; see them: {select}"));
            }
            RowSearch::TookTooLong => {
                let seen = "The table could not be looked through within 2 s for rows that are in the way; see them";
                self.questions.push(format!("Perhaps {ask} {seen}: {select}. If there are none, {}", alter(&action)));
            }
        }
        Ok(is_in_the_way)
    }

    /// Searches for rows that meet `condition`.
    async fn look(&mut self, condition: &str) -> sqlx::Result<RowSearch> {
        const CANCELED: &str = "57014";
        if !self.is_patient {
            return Ok(RowSearch::TookTooLong);
        }
        let select = format!("select count(*), min(left(t::text, 200)) from market_data_candles t where {condition}");
        match sqlx::query_as::<_, (i64, Option<String>)>(&select).fetch_one(&mut *self.connection).await {
            Ok((0, _)) => Ok(RowSearch::Nothing),
            Ok((count, example)) => Ok(RowSearch::Rows { count, example: example.unwrap_or_default() }),
            Err(error) if error.as_database_error().and_then(sql_state) == Some(CANCELED) => {
                self.is_patient = false;
                Ok(RowSearch::TookTooLong)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one text, or returns nothing if the database reports an error, a time-out for example.
    async fn scalar(&mut self, select: &str) -> sqlx::Result<Option<String>> {
        if !self.is_patient {
            return Ok(None);
        }
        match sqlx::query_scalar(select).fetch_one(&mut *self.connection).await {
            Ok(found) => Ok(found),
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says what is wrong and what to do, in sentences. The caller capitalises the first one and ends the last one with
    /// a full stop.
    fn text(&self) -> String {
        let Self { misfits, actions, questions, dependents, .. } = self;
        let mut text = format!(
            "the table market_data_candles exists and cannot hold every candle exactly and once: {}.",
            misfits.join("; ")
        );
        if !dependents.is_empty() {
            let dependents = dependents.join(", ");
            let _ =
                write!(text, "\nFirst drop, and afterwards make again, what depends on these columns: {dependents}.");
        }
        if !actions.is_empty() {
            let _ = write!(text, "\nThis mends it without losing anything: {};", alter(&actions.join(", ")));
        }
        for question in questions {
            let _ = write!(text, "\nDecide first: {}", ended(question));
        }
        if text.ends_with('.') {
            text.pop();
        }
        text
    }
}

/// The advice to run a change of the table.
fn alter(actions: &str) -> String {
    format!("run: alter table market_data_candles {actions}")
}

/// Adds a full stop, unless the sentence ends with a statement that is to be pasted.
fn ended(sentence: &str) -> String {
    if sentence.ends_with(';') { sentence.to_owned() } else { format!("{sentence}.") }
}
