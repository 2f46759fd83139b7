//! The environment: the variables that are read, the values that are refused, and the documentation of both.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use candlewick::config::{Config, Environment, LogFormat, RateLimit, VARIABLES, Variables};
use secrecy::ExposeSecret as _;

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
    let page = include_str!("../../docs/operations/settings.md");
    for variable in VARIABLES {
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let named =
            rows.filter_map(|row| row.split('|').nth(1)).any(|names| names.contains(&format!("`{}`", variable.name)));
        assert!(named, "{} in docs/operations/settings.md", variable.name);
    }
}

#[test]
fn the_unedited_example_file_sets_the_defaults() {
    let lines = dotenvy::from_read_iter(include_str!("../../.env.example").as_bytes());
    assert_eq!(lines.count(), 0, "every line of the unedited file is a comment");
}

#[test]
fn defaults_match_the_documentation() {
    let config = production(&[]).unwrap();
    assert_eq!(
        (config.environment, config.log.format, config.docs_enabled, config.console_enabled),
        (Environment::Production, LogFormat::Json, false, false)
    );
    let config = production(&[("ENVIRONMENT", "staging")]).unwrap();
    assert_eq!((config.log.format, config.docs_enabled, config.console_enabled), (LogFormat::Text, true, false));
    let documented: Vec<(&str, &str)> = VARIABLES
        .iter()
        .filter(|variable| !variable.secret)
        .map(|variable| (variable.name, variable.default))
        .collect();
    let keys = [("MT5_API_KEY", "k"), ("INTERNAL_API_TOKEN", "t")];
    let stated = Config::read(&variables(&[&documented[..], &keys].concat())).unwrap();
    assert_eq!(format!("{stated:?}"), format!("{:?}", Config::read(&variables(&keys)).unwrap()));
    assert_eq!(stated.database.url.expose_secret(), "sqlite://candlewick.db");
    for environment in [Environment::Staging, Environment::Production] {
        let mut defaults: Vec<(&str, &str)> =
            VARIABLES.iter().map(|variable| (variable.name, variable.default_in(environment))).collect();
        defaults.retain(|(name, default)| *name != "ENVIRONMENT" && !default.is_empty());
        let stated = production(&[&defaults[..], &[("ENVIRONMENT", environment.name())]].concat()).unwrap();
        let unset = production(&[("ENVIRONMENT", environment.name())]).unwrap();
        assert_eq!(format!("{stated:?}"), format!("{unset:?}"));
    }
    // An empty value counts as unset, because compose files pass empty values.
    assert!(Config::read(&variables(&[&keys[..], &[("PORT", ""), ("DATABASE_URL", " ")]].concat())).is_ok());
}

#[test]
fn invalid_values_are_refused() {
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
        ("MAX_BATCH", "100001"),
        ("MAX_BATCH", "18446744073709551616"),
        ("MAX_BODY_BYTES", "16777217"),
        ("MAX_BODY_BYTES", "1023"),
        ("MAX_LIMIT", "100001"),
        ("MAX_EXPORTS", "0"),
        ("MAX_EXPORTS", "17"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_FORMAT", "xml"),
        ("MIGRATE_ON_START", "yes"),
        ("DOCS_ENABLED", "1"),
        ("CONSOLE_ENABLED", "on"),
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
        "london:ingest-key-0123456789, other-key-0123456789 ,tokyo:third-key-0123456789,osaka:key:with:colons-0123",
    )])
    .unwrap();
    let names: Vec<&str> = config.ingest_keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["london", "key-2", "tokyo", "osaka"]);
    assert_eq!(config.ingest_keys[3].secret.expose_secret(), "key:with:colons-0123");
    assert_eq!(config.ingest_keys[1].secret.expose_secret(), "other-key-0123456789");
}

#[test]
fn an_invalid_key_name_is_refused_without_being_quoted() {
    let long = format!("{}:ingest-key-0123456789", "n".repeat(33));
    for (entry, said) in [
        ("half.of-a-secret:ingest-key-0123456789", "has a dot before its colon"),
        ("half/of+a=secret:ingest-key-0123456789", "has before its colon something other than a name"),
        (":ingest-key-0123456789", "has before its colon something other than a name"),
        ("hälfte:ingest-key-0123456789", "has before its colon something other than a name"),
        (&*long, "has before its colon something other than a name"),
        ("half:", "is empty"),
        ("half:secret", "is shorter than 16 characters"),
        ("half:fifteen-bytes-0", "is shorter than 16 characters"),
        ("half: ingest-key-0123456789", "holds a blank"),
    ] {
        for variable in ["MT5_API_KEY", "INTERNAL_API_TOKEN"] {
            let problems = production(&[(variable, &format!("first:first-key-0123456789,{entry}"))]).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(problem.starts_with(&format!("{variable}: entry 2 {said}")), "{entry}: {problem}");
            for part in ["half", "secret", "0123456789", "hälfte", "nnn"] {
                assert!(!problem.contains(part), "{part} in {problem}");
            }
        }
    }
    let widest = format!("{}:ingest-key-012345", "A-_9".repeat(8));
    assert_eq!(production(&[("MT5_API_KEY", &widest)]).unwrap().ingest_keys[0].name.len(), 32);
}

#[test]
fn quotes_around_a_key_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for (value, place) in [
        (r#""some-key-0123456789""#, ""),
        ("' some-key-0123456789 '", ""),
        (r#""a:some-key-0123456789,b:other-key-0123456789""#, ""),
        ("'a:some-key-0123456789', b:other-key-0123456789", ": entry 1"),
        (r#"a:some-key-0123456789,b:"other-key-0123456789""#, ": entry 2"),
    ] {
        std::fs::write(&file, format!("{value}\n")).unwrap();
        for variable in ["MT5_API_KEY", "INTERNAL_API_TOKEN"] {
            let path = (format!("{variable}_FILE"), file.to_str().unwrap());
            for set in [vec![(variable, value)], vec![(variable, ""), (&*path.0, path.1)]] {
                let problems = production(&set).unwrap_err();
                let [problem] = problems.as_slice() else { panic!("{problems:?}") };
                assert!(problem.starts_with(&format!("{variable}{place} has quotes around it")), "{problem}");
                assert!(!problem.contains("0123456789"), "{problem}");
            }
        }
    }
    // Quotes inside of a key belong to it.
    production(&[("MT5_API_KEY", r#"some"key'0123456789"#)]).unwrap();
}

#[test]
fn development_takes_short_keys_and_warns_of_them() {
    let keys = [("MT5_API_KEY", "short,long:ingest-key-0123456789"), ("INTERNAL_API_TOKEN", "t")];
    let config = Config::read(&variables(&keys)).unwrap();
    let [first, second] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert!(first.starts_with("MT5_API_KEY: entry 1 is shorter than 16 characters"), "{first}");
    assert!(second.starts_with("INTERNAL_API_TOKEN: entry 1"), "{second}");
    assert!(production(&[]).unwrap().warnings.is_empty());
    let named = [("MT5_API_KEY", "half:secret"), ("INTERNAL_API_TOKEN", "t")];
    assert!(
        Config::read(&variables(&named)).unwrap_err().0[0].contains("is shorter than 16"),
        "half would be logged as a name"
    );
    let dotted = [("MT5_API_KEY", "a.b:short"), ("INTERNAL_API_TOKEN", "t")];
    assert!(
        Config::read(&variables(&dotted)).unwrap_err().0[0].contains("has a dot"),
        "the rule for names applies in every environment"
    );
}

#[test]
fn secrets_can_be_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "key-from-a-file-0123\n").unwrap();
    let path = file.to_str().unwrap();
    let config = production(&[("MT5_API_KEY", ""), ("MT5_API_KEY_FILE", path)]).unwrap();
    assert_eq!(config.ingest_keys[0].secret.expose_secret(), "key-from-a-file-0123");
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
    assert!(production(&[("PORT_FILE", path)]).is_ok(), "only secrets can be in files");
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

#[test]
fn network_settings_are_read() {
    let config = production(&[
        ("ADMIN_ADDR", "127.0.0.1:9100"),
        ("ADMIN_HOSTS", "candlewick, Metrics.Example.com"),
        ("ALLOWED_ORIGINS", "https://chart.example.com, http://localhost:3000,"),
        ("ALLOWED_HOSTS", "API.example.com,[::1]"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1, ::1, ::ffff:192.0.2.1, ::ffff:198.51.100.0/120"),
        ("CLIENT_IP_HEADER", "CF-Connecting-IP"),
        ("RATE_LIMIT_INGEST", "30/m"),
        ("RATE_LIMIT_QUERY", "off"),
        ("TLS_CERT", "/etc/cert.pem"),
        ("TLS_KEY", "/etc/key.pem"),
        ("SENTRY_DSN", "https://hidden-key@sentry.example.com/42"),
        ("RATE_LIMIT_REDIS_URL", "rediss://login:hidden@redis.example.com:6380/2"),
    ])
    .unwrap();
    assert_eq!(config.admin, Some("127.0.0.1:9100".parse().unwrap()));
    assert_eq!(config.admin_hosts, ["candlewick", "metrics.example.com"]);
    assert_eq!(config.access.origins, ["https://chart.example.com", "http://localhost:3000"]);
    assert_eq!(config.access.hosts, ["api.example.com", "[::1]"]);
    let proxies: Vec<String> = config.access.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "127.0.0.1/32", "::1/128", "192.0.2.1/32", "198.51.100.0/24"]);
    assert_eq!(config.access.client_ip_header, "cf-connecting-ip");
    assert!(config.access.https_only);
    let per = |times, seconds| RateLimit::Per {
        times: NonZeroU32::new(times).unwrap(),
        period: Duration::from_secs(seconds),
    };
    let limits = config.rate_limits;
    assert_eq!((limits.ingest, limits.query, limits.anonymous), (per(30, 60), RateLimit::Off, per(10, 1)));
    assert_eq!(config.tls.as_ref().unwrap().cert.to_str(), Some("/etc/cert.pem"));
    assert!(config.sentry_dsn.is_some() && config.shared_limits.is_some());
    assert!(!format!("{config:?}").contains("hidden"), "{config:?}");

    let development = Config::read(&variables(&[("MT5_API_KEY", "k"), ("INTERNAL_API_TOKEN", "t")])).unwrap();
    assert!(!development.access.https_only && development.admin.is_none() && development.tls.is_none());
    assert_eq!(development.access.client_ip_header, "x-forwarded-for");
    assert_eq!((development.rate_limits.ingest, development.rate_limits.query), (per(200, 1), per(200, 1)));
}

#[test]
fn unsafe_or_meaningless_network_settings_stop_the_start() {
    for (name, value, said) in [
        ("ALLOWED_ORIGINS", "*", "is a wildcard"),
        ("ALLOWED_ORIGINS", "https://*.example.com", "is a wildcard"),
        ("ALLOWED_ORIGINS", "null", "is not an origin"),
        ("ALLOWED_ORIGINS", "chart.example.com", "is not an origin"),
        ("ALLOWED_ORIGINS", "https://chart.example.com/", "write https://chart.example.com"),
        ("ALLOWED_ORIGINS", "https://Chart.example.com:443/app", "write https://chart.example.com"),
        ("ALLOWED_HOSTS", "https://api.example.com", "is not a host name"),
        ("ALLOWED_HOSTS", "api.example.com:8000", "without scheme and port"),
        ("ADMIN_HOSTS", "candlewick:9000", "without scheme and port"),
        ("ADMIN_HOSTS", "*", "is a wildcard"),
        ("ALLOWED_HOSTS", "*.example.com", "is a wildcard"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "is neither an IP address nor a range"),
        ("TRUSTED_PROXIES", "proxy", "is neither an IP address nor a range"),
        ("TRUSTED_PROXIES", "::ffff:10.0.0.0/90", "is not a range of IPv4 addresses"),
        ("CLIENT_IP_HEADER", "Forwarded", "is not supported"),
        ("CLIENT_IP_HEADER", "x forwarded", "is not the name of a header"),
        ("RATE_LIMIT_INGEST", "200", "must be off, or a number"),
        ("RATE_LIMIT_QUERY", "0/s", "must be off, or a number"),
        ("RATE_LIMIT_ANONYMOUS", "10/h", "must be off, or a number"),
        ("RATE_LIMIT_ANONYMOUS", "-1/s", "must be off, or a number"),
        ("ADMIN_ADDR", "9100", "must be an IP address and a port"),
        ("TLS_CERT", "cert.pem", "TLS_CERT and TLS_KEY belong together"),
        ("SENTRY_DSN", "https://sentry.example.com/hidden", "is not a DSN"),
        ("RATE_LIMIT_REDIS_URL", "hidden.example.com:6379", "must be the URL of a Redis server"),
        ("RATE_LIMIT_REDIS_URL", "https://:hidden@redis.example.com", "must be the URL of a Redis server"),
        ("RATE_LIMIT_REDIS_URL", "redis://:hidden@redis.example.com/first", "write it as redis://HOST:PORT/0"),
        ("RATE_LIMIT_REDIS_URL", "redis://:hidden@0.0.0.0", "write it as redis://HOST:PORT/0"),
        ("RATE_LIMIT_REDIS_URL", "redis://:hid#den@redis.example.com", "write a # of a password as %23"),
        ("RATE_LIMIT_REDIS_URL", "rediss://:hidden@redis.example.com#insecure", "write a # of a password as %23"),
    ] {
        let problems = production(&[(name, value)]).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].contains(said) && problems[0].contains(name),
            "{value}: {problems:?}"
        );
        assert!(!problems[0].contains("hidden") && !problems[0].contains("hid#den"), "{problems:?}");
    }
}
