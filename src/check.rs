//! The command `check`: examines the settings with the source of each, the database, and the addresses to listen on, as
//! a start would find them, and changes nothing.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::join;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{ApiKey, Config, Environment, Examined, Source, VARIABLES, Variable, Variables};
use crate::errors;
use crate::healthcheck::{ask, own_url};
use crate::http::middleware::shared_limits;
use crate::http::net::{listener, tls};
use crate::research::{self, Strategies};
use crate::store::{Finding, Findings, Severity, Store};

/// The maximum time for inspecting the database.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time to wait for an answer of the program that occupies an address.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A report for people, and the highest severity in it.
pub(crate) struct CheckReport {
    pub(crate) report: String,
    pub(crate) severity: Severity,
}

/// Checks everything, in little more than [`DATABASE_TIMEOUT`] at most.
pub(crate) async fn check(variables: &Variables, clock: &Clock) -> CheckReport {
    let examined = Config::examine(variables);
    let (database, limits, addresses) =
        join!(database(&examined, clock), shared_limits(&examined), addresses(&examined));
    let sections = [
        ("Settings", settings(variables, &examined)),
        ("Database", database),
        ("Shared limits", limits),
        ("This machine", addresses),
    ];

    let mut report = format!("candlewick {}: would a start succeed? Nothing is changed.\n", env!("CARGO_PKG_VERSION"));
    write_settings(&mut report, variables, &examined);
    for (heading, findings) in sections.iter().filter(|(_, findings)| !findings.0.is_empty()) {
        write_findings(&mut report, heading, findings);
    }
    let all = || sections.iter().flat_map(|(_, findings)| &findings.0);
    let count = |severity| all().filter(|finding| finding.severity == severity).count();
    let severity = sections.iter().map(|(_, findings)| findings.worst()).max().unwrap_or(Severity::Fine);
    let result = match severity {
        Severity::Fine => "No problem was found: candlewick serve would start.".to_owned(),
        Severity::Warning => "candlewick serve would start; see what is marked \"warning\".".to_owned(),
        Severity::Unavailable => {
            "Something does not work now and may recover by itself; see what is marked \"failed\".".to_owned()
        }
        Severity::MustChange => {
            let number = count(Severity::MustChange);
            let things = if number == 1 { "1 thing must".to_owned() } else { format!("{number} things must") };
            format!("{things} be changed before candlewick serve works; see what is marked \"wrong\".")
        }
    };
    let _ = write!(report, "\n{result}");
    CheckReport { report, severity }
}

/// Reports problems with the settings, and names that are not settings.
fn settings(variables: &Variables, examined: &Examined) -> Findings {
    let mut findings = Findings::default();
    for problem in &examined.problems {
        findings.must_change("setting", problem);
    }
    for warning in &examined.config.warnings {
        findings.warn("setting", warning);
    }
    if !variables.ignored().is_empty() {
        let names = variables.ignored().join(", ");
        findings.fine(".env", format!("holds names that are not settings, perhaps for other programs: {names}"));
    }
    let research = &examined.config.research;
    let mut watched = None;
    match Strategies::read(research.strategies_dir.as_deref()) {
        Ok(strategies) => match research::watched_signals(research.signals.as_deref(), &strategies) {
            Ok(signals) => watched = signals,
            Err(error) => findings.must_change("signals", error.to_string()),
        },
        Err(error) => findings.must_change("strategies", error.to_string()),
    }
    if findings.0.is_empty() {
        findings.fine("setting", "each value can be used, and no name looks misspelt");
    }
    match watched {
        Some(signals) if research.threads == 0 => {
            findings.warn("signals", format!("{signals}, but not by this replica, because RESEARCH_THREADS is 0"));
        }
        Some(signals) => findings.fine("signals", signals),
        None => {}
    }
    findings
}

async fn database(examined: &Examined, clock: &Clock) -> Findings {
    let mut findings = Findings::default();
    let config = &examined.config.database;
    if examined.faulty.contains("DATABASE_URL") {
        findings.warn("address", format!("not looked at, because {} cannot be used", config.setting));
        return findings;
    }
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => {
            findings.fail("address", &error);
            return findings;
        }
    };
    if timeout(DATABASE_TIMEOUT, store.inspect(config.migrate_on_start, clock, &mut findings)).await.is_err() {
        let seconds = DATABASE_TIMEOUT.as_secs();
        findings.add("database", Severity::Unavailable, format!("it did not answer everything within {seconds} s"));
    }
    findings
}

/// Asks the Redis server as a request would. A start does not need it, so what fails here is a warning.
async fn shared_limits(examined: &Examined) -> Findings {
    let mut findings = Findings::default();
    if let Some(config) = &examined.config.shared_limits {
        match shared_limits::test(config).await {
            Ok(()) => findings.fine("redis", "it decides in time, so replicas share their rate limits"),
            Err(error) => findings.warn(
                "redis",
                format!(
                    "it does not decide ({}); until it does, each replica limits requests alone",
                    errors::chain(&error).to_string().escape_debug()
                ),
            ),
        }
    }
    findings
}

async fn addresses(examined: &Examined) -> Findings {
    let mut findings = Findings::default();
    let Examined { config, faulty, .. } = examined;
    let is_usable = |names: [&str; 2]| !names.iter().any(|name| faulty.contains(name));
    let mut with_tls = false;
    if let Some(files) = &config.tls {
        with_tls = true;
        match tls::load(files) {
            Ok(_) => findings.fine("certificate", "TLS_CERT and TLS_KEY can be used, so HTTPS is served"),
            Err(error) => findings.must_change("certificate", errors::chain(&error).to_string()),
        }
    }
    if is_usable(["BIND_ADDR", "PORT"]) {
        look_at_address(&mut findings, "port", config.listen, &config.listen_setting, with_tls).await;
    }
    if let Some(admin) = config.admin {
        look_at_address(&mut findings, "admin port", admin, "ADMIN_ADDR", false).await;
    }
    findings
}

async fn look_at_address(
    findings: &mut Findings,
    subject: &'static str,
    address: SocketAddr,
    setting: &str,
    with_tls: bool,
) {
    match listener::listen(address) {
        Ok(_) if address.port() == 0 => findings.fine(subject, format!("any free one of {}", address.ip())),
        Ok(_) => findings.fine(subject, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if is_served(address, with_tls).await {
                findings.warn(
                    subject,
                    format!("a service on {address} answers as candlewick does; a second one cannot listen there"),
                );
            } else {
                let text = format!("another program listens on {address}; stop it, or change {setting}");
                findings.add(subject, Severity::Unavailable, text);
            }
        }
        Err(error) => {
            findings.must_change(subject, format!("{address} cannot be listened on ({error}); change {setting}"));
        }
    }
}

/// True if a service answers there as this one does.
async fn is_served(address: SocketAddr, with_tls: bool) -> bool {
    let url = own_url((address, with_tls)) + "/health/live";
    ask(url, ANSWER_TIMEOUT).await.is_ok_and(|status| status.is_success())
}

/// Writes each setting with the value in force and its source.
fn write_settings(report: &mut String, variables: &Variables, examined: &Examined) {
    /// The maximum width of the column of values.
    const MAX_COLUMN_CHARS: usize = 40;
    let rows = VARIABLES.map(|variable| {
        let source = variables.source(variable.name);
        (variable.name, value(&variable, variables, &examined.config), source)
    });
    let names = width(rows.iter().map(|(name, ..)| *name));
    let values = width(rows.iter().map(|(_, value, _)| &**value)).min(MAX_COLUMN_CHARS);
    report.push_str("\nSettings in force\n");
    for (name, value, source) in &rows {
        let _ = writeln!(report, "  {name:names$}  {value:values$}  {source}");
    }
}

/// The width of the widest text, in characters.
fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default()
}

/// The value in force, as far as it may be shown.
fn value(variable: &Variable, variables: &Variables, config: &Config) -> String {
    let is_set = *variables.source(variable.name) != Source::Default;
    // The address of a file has no password.
    let is_file = variable.name == "DATABASE_URL" && config.database.sqlite_file().is_some();
    match variable.name {
        "MT5_API_KEY" => keys(is_set, &config.ingest_keys, config),
        "INTERNAL_API_TOKEN" => keys(is_set, &config.read_tokens, config),
        "MAINTENANCE_KEY" if is_set => keys(is_set, &config.maintenance_keys, config),
        "RESEARCH_API_KEY" => keys(is_set, &config.research_keys, config),
        "RESEARCH_THREADS" if !is_set => "all cores but one".to_owned(),
        "DATABASE_URL" if is_set && !is_file => "set, see below".to_owned(),
        _ if is_set && variable.secret && !is_file => "set".to_owned(),
        name => {
            let value = variables.get(name).unwrap_or(variable.default_in(config.environment));
            if value.is_empty() { "none".to_owned() } else { value.escape_debug().to_string() }
        }
    }
}

/// Shows keys by their names alone.
fn keys(are_set: bool, keys: &[ApiKey], config: &Config) -> String {
    let names = || keys.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ");
    let file = || config.database.key_file();
    match (keys, are_set) {
        ([], true) => "set".to_owned(),
        (_, true) => format!("set: {}", names()),
        ([key, ..], false) if key.generated => format!("generated, in {}", file().display()),
        _ if config.environment == Environment::Development => {
            format!("serve generates it in {}", file().display())
        }
        _ => "none".to_owned(),
    }
}

fn write_findings(report: &mut String, heading: &str, findings: &Findings) {
    let _ = write!(report, "\n{heading}\n");
    let subjects = width(findings.0.iter().map(|finding| finding.subject));
    for Finding { subject, severity, text } in &findings.0 {
        let mark = match severity {
            Severity::Fine => "ok",
            Severity::Warning => "warning",
            Severity::Unavailable => "failed",
            Severity::MustChange => "wrong",
        };
        let indent = " ".repeat(subjects + 13);
        let text = text.trim_end().replace('\n', &format!("\n{indent}"));
        let _ = writeln!(report, "  {mark:7}  {subject:subjects$}  {text}");
    }
}
