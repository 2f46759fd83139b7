//! Finds names that are set but are not a setting's. A misspelt setting would be ignored silently, and perhaps it was
//! to keep strangers out.
//!
//! Only names that were probably meant for this service are reported, because a platform sets hundreds of variables in
//! the environment, and the `.env` of a compose file holds those of other containers.

use super::variables::VARIABLES;

/// A name that is not a setting's, although one was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// The problem with it, and the name that was probably meant.
    pub sentence: String,
    /// True if the service must not start with it, because it would be less secure than its operator believes.
    pub is_refused: bool,
}

/// Settings that decide who may call and how strict the service is. If one of them is not set and a name one edit away
/// from it is, the service does not start. Each has at least eight characters, because a platform may set a name one
/// edit away from a shorter one.
const SECURITY_SETTINGS: &[&str] = &[
    "ENVIRONMENT",
    "ALLOWED_ORIGINS",
    "ALLOWED_HOSTS",
    "TRUSTED_PROXIES",
    "CLIENT_IP_HEADER",
    "TLS_CERT",
    "MT5_API_KEY",
    "INTERNAL_API_TOKEN",
    "MAINTENANCE_KEY",
    "CONSOLE_ENABLED",
    "RESEARCH_API_KEY",
];

/// The minimum length of a setting's name for a name two edits away to count as its misspelling. Two edits of a shorter
/// name lead to names of other programs: `SENTRY_DIST` is two edits from `SENTRY_DSN`.
const MIN_LENGTH_FOR_TWO_EDITS: usize = 13;

/// Other programs' names for our settings, with the form that a value must have to be meant for the setting.
const SIBLINGS: &[(&str, &str, Form)] = &[
    ("CORS_ALLOW_ORIGINS", "ALLOWED_ORIGINS", Form::Any),
    ("CORS_ALLOWED_ORIGINS", "ALLOWED_ORIGINS", Form::Any),
    ("CORS_ORIGINS", "ALLOWED_ORIGINS", Form::Any),
    ("CORS_ORIGIN", "ALLOWED_ORIGINS", Form::Any),
    ("TRUSTED_HOSTS", "ALLOWED_HOSTS", Form::Any),
    ("TRUST_PROXY", "TRUSTED_PROXIES", Form::Any),
    ("TRUSTED_PROXY", "TRUSTED_PROXIES", Form::Any),
    ("FORWARDED_ALLOW_IPS", "TRUSTED_PROXIES", Form::Any),
    ("API_KEY", "MT5_API_KEY", Form::Any),
    ("API_KEYS", "MT5_API_KEY", Form::Any),
    ("INGEST_API_KEY", "MT5_API_KEY", Form::Any),
    ("API_TOKEN", "INTERNAL_API_TOKEN", Form::Any),
    ("INTERNAL_TOKEN", "INTERNAL_API_TOKEN", Form::Any),
    ("RESEARCH_KEY", "RESEARCH_API_KEY", Form::Any),
    ("RESEARCH_TOKEN", "RESEARCH_API_KEY", Form::Any),
    ("RESEARCH_WORKERS", "RESEARCH_THREADS", Form::Any),
    ("RESEARCH_MAX_MEMORY", "RESEARCH_MEMORY", Form::Any),
    ("STRATEGIES_PATH", "STRATEGIES_DIR", Form::Any),
    ("SSL_CERT", "TLS_CERT", Form::Any),
    ("SSL_CERTIFICATE", "TLS_CERT", Form::Any),
    ("SSL_CERTFILE", "TLS_CERT", Form::Any),
    ("TLS_CERTIFICATE", "TLS_CERT", Form::Any),
    ("SSL_KEY", "TLS_KEY", Form::Any),
    ("SSL_KEYFILE", "TLS_KEY", Form::Any),
    ("SSL_PRIVATE_KEY", "TLS_KEY", Form::Any),
    ("TLS_PRIVATE_KEY", "TLS_KEY", Form::Any),
    ("DB_URL", "DATABASE_URL", Form::Any),
    ("DB_URI", "DATABASE_URL", Form::Any),
    ("DATABASE_DSN", "DATABASE_URL", Form::Any),
    ("POSTGRES_URL", "DATABASE_URL", Form::Any),
    ("POSTGRES_DSN", "DATABASE_URL", Form::Any),
    ("POSTGRESQL_URL", "DATABASE_URL", Form::Any),
    ("SQLALCHEMY_DATABASE_URL", "DATABASE_URL", Form::Any),
    ("SUPABASE_DB_URL", "DATABASE_URL", Form::Any),
    ("DB_POOL_SIZE", "DATABASE_MAX_CONNECTIONS", Form::Any),
    ("DATABASE_POOL_SIZE", "DATABASE_MAX_CONNECTIONS", Form::Any),
    ("HOST", "BIND_ADDR", Form::Address),
    ("BIND", "BIND_ADDR", Form::Address),
    ("BIND_HOST", "BIND_ADDR", Form::Address),
    ("BIND_ADDRESS", "BIND_ADDR", Form::Address),
    ("LISTEN_ADDR", "BIND_ADDR", Form::Address),
    ("SERVER_PORT", "PORT", Form::Port),
    ("METRICS_ADDR", "ADMIN_ADDR", Form::Any),
    ("ENV", "ENVIRONMENT", Form::Environment),
    ("APP_ENV", "ENVIRONMENT", Form::Environment),
    ("RUST_LOG", "LOG_LEVEL", Form::Any),
    ("MAX_BODY_SIZE", "MAX_BODY_BYTES", Form::Any),
    ("ENABLE_DOCS", "DOCS_ENABLED", Form::Any),
    ("ENABLE_CONSOLE", "CONSOLE_ENABLED", Form::Any),
    ("RUN_MIGRATIONS", "MIGRATE_ON_START", Form::Any),
];

/// Other programs' names for settings that do not exist here, with advice.
const NO_SUCH_SETTINGS: &[(&str, &str)] = &[
    ("SECRET_KEY", "the console's sessions are signed with the keys themselves, MT5_API_KEY and INTERNAL_API_TOKEN"),
    ("JWT_SECRET", "the console's sessions are signed with the keys themselves, MT5_API_KEY and INTERNAL_API_TOKEN"),
];

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    /// An IP address, with or without a port: shells export a `HOST` that holds a name.
    Address,
    /// Kubernetes sets a `…_PORT` that holds a URL.
    Port,
    /// A shell's own `ENV` holds a path.
    Environment,
}

impl Form {
    fn fits(self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Address => {
                value == "localhost"
                    || value.parse::<std::net::IpAddr>().is_ok()
                    || value.parse::<std::net::SocketAddr>().is_ok()
            }
            Self::Port => value.parse::<u16>().is_ok(),
            Self::Environment => {
                matches!(value, "production" | "prod" | "staging" | "development" | "dev" | "test" | "local")
            }
        }
    }
}

/// The form that a value must have for a name similar to `setting` to count as its misspelling.
fn form_of(setting: &str) -> Form {
    if setting == "PORT" { Form::Port } else { Form::Any }
}

/// True for the name of a setting, or of the variable that names a file with its value.
pub(super) fn is_setting(name: &str) -> bool {
    names().any(|(known, _)| if cfg!(windows) { known.eq_ignore_ascii_case(name) } else { known == name })
}

/// All names under which settings can be given, each with the setting's own name.
fn names() -> impl Iterator<Item = (String, &'static str)> {
    VARIABLES.iter().flat_map(|variable| {
        let file = variable.secret.then(|| (format!("{}_FILE", variable.name), variable.name));
        std::iter::once((variable.name.to_owned(), variable.name)).chain(file)
    })
}

/// Finds the setting that was probably meant by `name`, which is not a setting's and has this value. Messages call it
/// `label`.
pub(super) fn examine(name: &str, value: &str, label: &str, is_set: impl Fn(&str) -> bool) -> Option<Misnamed> {
    let ignored = format!("{label} is not a setting of candlewick and is ignored");
    let warning = |rest: String| Some(Misnamed { sentence: format!("{ignored}; {rest}"), is_refused: false });
    let value = value.trim();
    let upper = name.to_ascii_uppercase();
    if let Some((meant, setting, edits)) = nearest(&upper).filter(|(_, setting, _)| form_of(setting).fits(value)) {
        if edits <= 1 && SECURITY_SETTINGS.contains(&setting) && !is_set(setting) {
            let sentence = format!(
                "{label} is not a setting of candlewick and nearly {meant}, which decides who may call or how strict the \
                 service is; correct the name, or remove it."
            );
            return Some(Misnamed { sentence, is_refused: true });
        }
        return warning(format!("{meant} was probably meant"));
    }
    if let Some((_, advice)) = NO_SUCH_SETTINGS.iter().find(|(known, _)| *known == upper) {
        return warning((*advice).to_owned());
    }
    if let Some(setting) = upper.strip_suffix("_FILE").and_then(setting_named) {
        let advice = if matches!(setting, "TLS_CERT" | "TLS_KEY") {
            format!("{setting} itself is the path of a file")
        } else {
            format!("only secrets are read from files, so set {setting}")
        };
        return warning(advice);
    }
    let prefixed = upper.strip_prefix("CANDLEWICK_").and_then(setting_named).map(|setting| (setting, form_of(setting)));
    let sibling = SIBLINGS.iter().find(|(known, ..)| *known == upper).map(|(_, setting, form)| (*setting, *form));
    // If the setting itself is set, the name belongs to another program.
    let (setting, _) = prefixed.or(sibling).filter(|(setting, form)| form.fits(value) && !is_set(setting))?;
    warning(format!("the setting is called {setting}"))
}

fn setting_named(name: &str) -> Option<&'static str> {
    VARIABLES.iter().map(|variable| variable.name).find(|known| *known == name)
}

/// The known name nearest to `name`, if it is near enough for a misspelling, with its setting and the number of edits
/// between the two (the Damerau–Levenshtein distance).
fn nearest(name: &str) -> Option<(String, &'static str, usize)> {
    let candidates = names().filter_map(|(known, setting)| {
        let max_edits = if known.len() >= MIN_LENGTH_FOR_TWO_EDITS { 2 } else { 1 };
        // The lengths are compared first, because counting edits takes longer.
        let edits =
            (known.len().abs_diff(name.len()) <= max_edits).then(|| strsim::damerau_levenshtein(name, &known))?;
        (edits <= max_edits).then_some((known, setting, edits))
    });
    candidates.min_by_key(|(_, _, edits)| *edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, value: &str) -> Option<Misnamed> {
        examine(name, value, name, |_| false)
    }

    #[test]
    fn a_misspelt_name_is_reported_with_the_probable_setting() {
        for (name, meant) in [
            ("DATABSE_URL", "DATABASE_URL"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("DATBASE_URL_FILE", "DATABASE_URL_FILE"),
            ("PROT", "PORT"),
            ("port", "PORT"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("MAX_LIMITS", "MAX_LIMIT"),
            ("RATE_LIMT_QUERRY", "RATE_LIMIT_QUERY"),
            ("SENTRY_DNS", "SENTRY_DSN"),
        ] {
            let misnamed = found(name, "8080").unwrap_or_else(|| panic!("{name}"));
            assert_eq!(
                (misnamed.sentence, misnamed.is_refused),
                (format!("{name} is not a setting of candlewick and is ignored; {meant} was probably meant"), false)
            );
        }
        assert_eq!(found("PROT", "tcp://10.0.0.1:80"), None, "not a port");
    }

    #[test]
    fn one_edit_from_a_security_setting_stops_the_start_and_two_do_not() {
        for (name, meant) in [
            ("ALLOWED_HOST", "ALLOWED_HOSTS"),
            ("ALOWED_ORIGINS", "ALLOWED_ORIGINS"),
            ("TRUSTED_PROXEIS", "TRUSTED_PROXIES"),
            ("TLS_CERTS", "TLS_CERT"),
            ("INTERNAL_API_TOKEM", "INTERNAL_API_TOKEN"),
            ("MT5_API_KEYS", "MT5_API_KEY"),
            ("MT5_API_KEY_FIL", "MT5_API_KEY_FILE"),
            ("ENVIROMENT", "ENVIRONMENT"),
            ("CLIENT_IP_HEADR", "CLIENT_IP_HEADER"),
            ("allowed_hosts", "ALLOWED_HOSTS"),
        ] {
            let misnamed = found(name, "x").unwrap_or_else(|| panic!("{name}"));
            assert!(misnamed.is_refused && misnamed.sentence.contains(meant), "{misnamed:?}");
            let beside = examine(name, "x", name, |_| true).unwrap();
            assert!(!beside.is_refused, "the setting itself is set too: {beside:?}");
        }
        for name in ["ALOWED_HOST", "TRUSTED_PROXYS", "TLS_KEYS", "SSL_CERT"] {
            assert!(found(name, "x").is_some_and(|misnamed| !misnamed.is_refused), "{name}");
        }
    }

    #[test]
    fn names_of_other_programs_lead_to_the_setting_unless_that_is_set() {
        for (name, value, said) in [
            ("CORS_ALLOW_ORIGINS", "*", "the setting is called ALLOWED_ORIGINS"),
            ("API_KEY", "secret", "the setting is called MT5_API_KEY"),
            ("RUST_LOG", "debug", "the setting is called LOG_LEVEL"),
            ("HOST", "0.0.0.0", "the setting is called BIND_ADDR"),
            ("APP_ENV", "production", "the setting is called ENVIRONMENT"),
            ("CANDLEWICK_PORT", "8080", "the setting is called PORT"),
            ("CANDLEWICK_ALLOWED_HOSTS", "a.example", "the setting is called ALLOWED_HOSTS"),
        ] {
            let misnamed = found(name, value).unwrap_or_else(|| panic!("{name}"));
            assert!(misnamed.sentence.ends_with(said) && !misnamed.is_refused, "{misnamed:?}");
            assert_eq!(examine(name, value, name, |_| true), None, "{name}");
        }
        for (name, said) in [
            ("SECRET_KEY", "sessions are signed with the keys themselves"),
            ("TLS_CERT_FILE", "TLS_CERT itself is the path of a file"),
            ("ALLOWED_HOSTS_FILE", "only secrets are read from files, so set ALLOWED_HOSTS"),
        ] {
            assert!(found(name, "x").unwrap().sentence.contains(said), "{name}");
        }
        for (name, value) in [
            ("HOST", "my-laptop"),
            ("ENV", "/etc/shrc"),
            ("SERVER_PORT", "tcp://10.0.0.1:80"),
            ("CANDLEWICK_PORT", "tcp://10.0.0.1:8000"),
        ] {
            assert_eq!(found(name, value), None, "{name}={value}");
        }
    }

    /// Variables that shells, container engines and hosting platforms set by themselves.
    const OF_PLATFORMS: &[&str] = &[
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PWD",
        "OLDPWD",
        "TERM",
        "LANG",
        "LC_ALL",
        "TZ",
        "HOSTNAME",
        "HOSTTYPE",
        "TMPDIR",
        "EDITOR",
        "PAGER",
        "DISPLAY",
        "MAIL",
        "SHLVL",
        "PS1",
        "IFS",
        "COLUMNS",
        "LINES",
        "LS_COLORS",
        "COLORTERM",
        "XDG_RUNTIME_DIR",
        "XDG_SESSION_ID",
        "DBUS_SESSION_BUS_ADDRESS",
        "SSH_AUTH_SOCK",
        "SSH_CONNECTION",
        "SSH_TTY",
        "SUDO_USER",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "SYSTEMD_EXEC_PID",
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
        "MEMORY_PRESSURE_WATCH",
        "MAINPID",
        "CI",
        "DEBIAN_FRONTEND",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUST_BACKTRACE",
        "LLVM_PROFILE_FILE",
        "NODE_ENV",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "JAVA_HOME",
        "GOPATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "no_proxy",
        "KUBERNETES_PORT",
        "KUBERNETES_PORT_443_TCP",
        "KUBERNETES_PORT_443_TCP_ADDR",
        "KUBERNETES_PORT_443_TCP_PORT",
        "KUBERNETES_PORT_443_TCP_PROTO",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
        "CANDLEWICK_SERVICE_HOST",
        "CANDLEWICK_SERVICE_PORT",
        "CANDLEWICK_PORT_8000_TCP",
        "CANDLEWICK_URL",
        "CANDLEWICK_TOKEN",
        "CANDLEWICK_HOST",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "POSTGRES_DB",
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGPASSWORD",
        "PGDATABASE",
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "FLY_APP_NAME",
        "FLY_REGION",
        "FLY_ALLOC_ID",
        "FLY_PUBLIC_IP",
        "PRIMARY_REGION",
        "RENDER",
        "RENDER_SERVICE_ID",
        "RENDER_EXTERNAL_URL",
        "RAILWAY_ENVIRONMENT",
        "RAILWAY_PUBLIC_DOMAIN",
        "DATABASE_PUBLIC_URL",
        "DATABASE_PRIVATE_URL",
        "DYNO",
        "K_SERVICE",
        "K_REVISION",
        "WEBSITE_HOSTNAME",
        "AWS_REGION",
        "SENTRY_RELEASE",
        "SENTRY_DIST",
        "SENTRY_ENVIRONMENT",
        "BACKUP_DIR",
        "COMPOSE_PROFILES",
        "IMAGE",
    ];

    #[test]
    fn variables_of_platforms_are_ignored() {
        for name in OF_PLATFORMS {
            for value in ["", "1", "/usr/bin", "tcp://10.0.0.1:8000", "db.example.com"] {
                assert_eq!(found(name, value), None, "{name}={value}");
            }
        }
    }

    #[test]
    fn the_tables_hold_names_of_the_right_kind() {
        for setting in SECURITY_SETTINGS {
            assert!(is_setting(setting) && setting.len() >= 8, "{setting}");
        }
        for (sibling, setting, _) in SIBLINGS {
            assert!(is_setting(setting) && !is_setting(sibling), "{sibling}");
            assert!(nearest(sibling).is_none(), "{sibling} is a misspelling already");
        }
        for (name, _) in names() {
            assert!(is_setting(&name), "{name}");
        }
    }

    proptest::proptest! {
        /// One edit of any setting's name is reported with a name that is one edit away.
        #[test]
        fn one_edit_of_any_name_is_found(
            choice in 0..VARIABLES.len(), place in 0..64_usize, letter in "[A-Z0-9_]", edit in 0..4,
        ) {
            let known = VARIABLES[choice].name;
            let place = place % known.len();
            let mut characters: Vec<char> = known.chars().collect();
            let letter = letter.chars().next().unwrap();
            match edit {
                0 => characters.insert(place, letter),
                1 => drop(characters.remove(place)),
                2 => characters[place] = letter,
                _ if place + 1 < characters.len() => characters.swap(place, place + 1),
                _ => {}
            }
            let name: String = characters.into_iter().collect();
            if !is_setting(&name) {
                let (meant, _, edits) = nearest(&name).unwrap();
                proptest::prop_assert_eq!(edits, 1, "{} for {}", meant, name);
                proptest::prop_assert!(found(&name, "8080").is_some());
            }
        }

        /// Names unlike any setting's are ignored, whatever their value.
        #[test]
        fn names_far_from_all_settings_are_ignored(name in "[A-Z]{3,8}_(SERVICE|REGION|VERSION|BUILD)_[A-Z]{4,12}", value in ".*") {
            proptest::prop_assert_eq!(found(&name, &value), None);
        }
    }
}
