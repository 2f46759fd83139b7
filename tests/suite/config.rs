//! The environment: what is read, what is refused, what is documented.

use std::collections::HashMap;

use candlewick::config::{Config, Environment, LogFormat, VARIABLES, Variables};

fn variables(set: &[(&str, &str)]) -> Variables {
    let set: HashMap<String, String> =
        set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Variables::from_lookup(|name| Ok(set.get(name).cloned()))
}

fn production(change: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let mut set = vec![
        ("ENVIRONMENT", "production"),
        ("DATABASE_URL", "postgres://u:hidden-password@db.example.com/candles"),
        ("MT5_API_KEY", "ingest-key-0123456789"),
        ("INTERNAL_API_TOKEN", "read-token-0123456789"),
    ];
    set.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    set.extend(change);
    Config::read(&variables(&set)).map_err(|problems| problems.0)
}

#[test]
fn the_example_file_lists_every_variable_with_its_default_and_nothing_else() {
    let example = include_str!("../../.env.example");
    let listed: Vec<(String, String)> = example
        .lines()
        .filter_map(|line| {
            let (name, value) = line.trim_start_matches(['#', ' ']).split_once('=')?;
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
                .then(|| (name.to_owned(), value.to_owned()))
        })
        .collect();
    let expected: Vec<(String, String)> = VARIABLES
        .iter()
        .map(|variable| {
            let default = if variable.default == "generated" { "" } else { variable.default };
            (variable.name.to_owned(), default.to_owned())
        })
        .collect();
    assert_eq!(listed, expected);
    for variable in VARIABLES {
        assert!(example.contains(variable.meaning), "{}", variable.name);
    }
    let readme = include_str!("../../README.md");
    for variable in VARIABLES {
        let rows = readme.lines().filter(|line| line.starts_with("| `"));
        let named = rows.filter_map(|row| row.split('|').nth(1)).any(|names| names.contains(&format!("`{}`", variable.name)));
        assert!(named, "{} in the README", variable.name);
    }
}

#[test]
fn the_example_file_as_it_is_means_the_defaults() {
    let lines = dotenvy::from_read_iter(include_str!("../../.env.example").as_bytes());
    assert_eq!(lines.count(), 0, "every line is a comment until somebody changes it");
}

#[test]
fn defaults_are_those_that_are_documented() {
    let config = production(&[]).unwrap();
    assert_eq!(
        (config.environment, config.log.format, config.docs_enabled),
        (Environment::Production, LogFormat::Json, false)
    );
    let config = production(&[("ENVIRONMENT", "staging")]).unwrap();
    assert_eq!((config.log.format, config.docs_enabled), (LogFormat::Text, true));
    let documented: Vec<(&str, &str)> = VARIABLES
        .iter()
        .filter(|variable| !variable.secret)
        .map(|variable| (variable.name, variable.default))
        .collect();
    let keys = [("MT5_API_KEY", "k"), ("INTERNAL_API_TOKEN", "t")];
    let stated = Config::read(&variables(&[&documented[..], &keys].concat())).unwrap();
    assert_eq!(format!("{stated:?}"), format!("{:?}", Config::read(&variables(&keys)).unwrap()));
    assert_eq!(stated.database.url.expose(), "sqlite://candlewick.db");
    // What is set to nothing is not set, as compose files do.
    assert!(Config::read(&variables(&[&keys[..], &[("PORT", ""), ("DATABASE_URL", " ")]].concat())).is_ok());
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    for (name, value) in [
        ("PORT", "65536"),
        ("PORT", "http"),
        ("BIND_ADDR", "localhost"),
        ("BIND_ADDR", "0.0.0.0:80"),
        ("ENVIRONMENT", "prod"),
        ("MAX_BATCH", "0"),
        ("MAX_BATCH", "-1"),
        ("MAX_BATCH", "1e3"),
        ("MAX_BODY_BYTES", "4MB"),
        ("MAX_LIMIT", "0"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_FORMAT", "xml"),
        ("MIGRATE_ON_START", "yes"),
        ("DOCS_ENABLED", "1"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("DATABASE_URL", "mysql://u:p@h/d"),
        ("MT5_API_KEY", "tooshort"),
        ("MT5_API_KEY", "ingest-key-0123456789,"),
        ("MT5_API_KEY", "ingest key 0123456789"),
        ("MT5_API_KEY", "na me:ingest-key-0123456789"),
        ("MT5_API_KEY", "a:ingest-key-0123456789,b:ingest-key-0123456789"),
        ("MT5_API_KEY", "a:ingest-key-0123456789,a:other-key-0123456789"),
        ("MT5_API_KEY", "schlüssel-0123456789"),
        ("MT5_API_KEY", "read-token-0123456789"),
    ] {
        let problems = production(&[(name, value)]).expect_err(value);
        assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
        assert!(problems[0].contains(name), "{problems:?}");
        assert!(!problems[0].contains("0123456789"), "{problems:?}");
    }
}

#[test]
fn several_keys_are_named_for_the_log() {
    let config = production(&[(
        "MT5_API_KEY",
        "london:ingest-key-0123456789, other-key-0123456789 ,tokyo:third-key-0123456789",
    )])
    .unwrap();
    let names: Vec<&str> = config.ingest_keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["london", "key-2", "tokyo"]);
    assert_eq!(config.ingest_keys[1].secret.expose(), "other-key-0123456789");
}

#[test]
fn secrets_may_stand_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "key-from-a-file-0123\n").unwrap();
    let path = file.to_str().unwrap();
    let config = production(&[("MT5_API_KEY", ""), ("MT5_API_KEY_FILE", path)]).unwrap();
    assert_eq!(config.ingest_keys[0].secret.expose(), "key-from-a-file-0123");
    let problems = production(&[("MT5_API_KEY_FILE", path)]).unwrap_err();
    assert_eq!(
        problems,
        [
            "MT5_API_KEY and MT5_API_KEY_FILE are both set; keep one of them.",
            "MT5_API_KEY is missing, and production needs one."
        ]
    );
    let problems = production(&[("MT5_API_KEY", ""), ("MT5_API_KEY_FILE", "/no/such/file")]).unwrap_err();
    assert!(problems[0].starts_with("MT5_API_KEY_FILE names a file that cannot be read"), "{problems:?}");
    std::fs::write(&file, " \n").unwrap();
    let problems = production(&[("MT5_API_KEY", ""), ("MT5_API_KEY_FILE", path)]).unwrap_err();
    assert_eq!(problems[0], "MT5_API_KEY_FILE names a file that is empty.");
    assert!(production(&[("PORT_FILE", path)]).is_ok(), "only secrets");
}

#[test]
fn secrets_are_never_shown() {
    let config = production(&[]).unwrap();
    let shown = format!("{config:?}");
    for secret in ["hidden-password", "ingest-key", "read-token"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let set = variables(&[("MT5_API_KEY", "ingest-key-0123456789")]);
    assert!(!format!("{set:?}").contains("ingest-key"));
}
