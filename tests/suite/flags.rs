//! Flags of the command line, and their precedence over the environment and `.env`.

use std::fs;
use std::path::Path;

use crate::harness::{PgDatabase, plain_server, run};
use crate::program::{Serving, folder, output, program};

const KEYS: [(&str, &str); 2] =
    [("MT5_API_KEY", "key-0123456789abcdef"), ("INTERNAL_API_TOKEN", "token-0123456789abcdef")];

/// The output of a command that does not start.
fn refused(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (code, printed, errors) = output(program(folder, variables).args(arguments));
    assert_eq!(code, 2, "{arguments:?}: {printed}{errors}");
    printed + &errors
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_dotenv() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "PORT=1\nBIND_ADDR=192.0.2.1\nDATABASE_URL=sqlite://dotenv.db\n").unwrap();
    // Without the word serve, and with it.
    for arguments in [&["--port", "0"][..], &["serve", "--port=0"]] {
        let variables = [("PORT", "1"), ("BIND_ADDR", "127.0.0.1")];
        let mut serving = Serving::with_arguments(folder.path(), arguments, &variables);
        serving.is_ready();
        assert!(folder.path().join("dotenv.db").exists());
    }
    for (arguments, variables, used) in [
        (&["--database-url", "sqlite://flag.db"][..], &[("DATABASE_URL", "sqlite://environment.db")][..], "flag.db"),
        (&[], &[("DATABASE_URL", "sqlite://environment.db")], "environment.db"),
        // A secret's file is another way to set it.
        (&["--database-url", "sqlite://flag2.db"], &[("DATABASE_URL_FILE", "/no/such/file")], "flag2.db"),
    ] {
        let variables = [variables, &[("BIND_ADDR", "127.0.0.1")]].concat();
        let mut serving = Serving::with_arguments(folder.path(), &[&["--port", "0"], arguments].concat(), &variables);
        serving.is_ready();
        assert!(folder.path().join(used).exists(), "{used}");
    }
    // A file of a source is not read if a source of higher precedence sets the value.
    fs::write(folder.path().join(".env"), "DATABASE_URL_FILE=/no/such/file\n").unwrap();
    let variables = [("DATABASE_URL", "sqlite://environment2.db"), ("PORT", "0")];
    Serving::start(folder.path(), &variables).is_ready();
    assert!(folder.path().join("environment2.db").exists());
}

#[test]
fn an_error_names_the_flag_or_variable_at_fault() {
    let folder = folder();
    let value = |name: &str| if name.contains("port") || name == "PORT" { "80000" } else { "nonsense" };
    for (flag, variable, problem) in [
        ("--port", "PORT", "must be a whole number from 0 to 65535"),
        ("--bind", "BIND_ADDR", "must be an IP address"),
        ("--database-url", "DATABASE_URL", "must start with sqlite:// or postgres://"),
        ("--environment", "ENVIRONMENT", "must be one of: development, staging, production"),
    ] {
        let said = refused(folder.path(), &[flag, value(flag)], &KEYS);
        assert!(said.contains(&format!("{flag} {problem}")) && !said.contains(&format!("{variable} must")), "{said}");
        let said = refused(folder.path(), &[], &[&KEYS[..], &[(variable, value(variable))]].concat());
        assert!(said.contains(&format!("{variable} {problem}")) && !said.contains(flag), "{said}");
        fs::write(folder.path().join(".env"), format!("{variable}={}\n", value(variable))).unwrap();
        let said = refused(folder.path(), &[], &KEYS);
        assert!(said.contains(&format!("{variable} in .env {problem}")), "{said}");
        fs::remove_file(folder.path().join(".env")).unwrap();
        let said = refused(folder.path(), &[flag, ""], &KEYS);
        assert!(said.contains(&format!("{flag} has no value; give it one, or leave it out")), "{said}");
    }
    let said = refused(folder.path(), &["--database-url", "postgres://h:6543/d", "--port", "0"], &KEYS);
    assert!(said.contains("--database-url names port 6543"), "{said}");
    let said = refused(folder.path(), &["--environment", "production"], &[]);
    assert!(said.contains("DATABASE_URL is missing") && said.contains("MT5_API_KEY is missing"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, errors) = output(program(folder.path(), &KEYS).args(["--port", &port]));
    assert!(code == 1 && errors.contains("or set BIND_ADDR and --port to one of this machine"), "{errors}");
}

#[test]
fn flags_of_one_command_are_refused_by_others() {
    let folder = folder();
    for arguments in [
        &["--port", "0", "migrate"][..],
        &["migrate", "--port", "0"],
        &["keygen", "--database-url", "sqlite://x.db"],
        &["openapi", "--environment", "production"],
        &["healthcheck", "--database-url", "sqlite://x.db"],
        &["serve", "--prot", "0"],
    ] {
        refused(folder.path(), arguments, &[]);
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn migrate_accepts_the_database_flag() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let place = folder();
        let variables = [("DATABASE_URL", "sqlite://unused.db")];
        let arguments = ["migrate", "--environment", "production", "--database-url", &database.url];
        let (code, printed, errors) = output(program(place.path(), &variables).args(arguments));
        assert!(code == 0 && printed.contains("The tables are up to date.\n"), "{printed}{errors}");
        assert!(printed.contains("--database-url holds a password"), "{printed}");
        database.execute("select from market_data_candles").await;
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
    });
}

#[test]
fn a_password_on_the_command_line_is_a_warning_and_never_shown() {
    let folder = folder();
    let url = "postgres://trader:geheim-123@127.0.0.1:9/candles";
    let mut serving = Serving::with_arguments(folder.path(), &["--port", "0", "--database-url", url], &KEYS);
    let warning = serving.first_line_with("holds a password");
    assert!(warning.contains("list of processes") && warning.contains("DATABASE_URL_FILE"), "{warning}");
    serving.first_line_with("not ready");
    serving.signal("TERM");
    let (code, printed) = serving.end();
    assert!(code == Some(0) && !printed.contains("geheim"), "{printed}");
    // In the environment only its owner and root can read it.
    let serving = Serving::start(folder.path(), &[&KEYS[..], &[("PORT", "0"), ("DATABASE_URL", url)]].concat());
    assert!(!serving.printed.contains("holds a password"), "{}", serving.printed);
    drop(serving);
    for arguments in [&["serve", url][..], &[url], &["migrate", "--databse-url", url], &["check", "--port", "0", url]] {
        assert!(!refused(folder.path(), arguments, &[]).contains("geheim"), "{arguments:?}");
    }
    let (_, help, _) = output(program(folder.path(), &[]).args(["serve", "--help"]));
    assert!(help.contains("list of processes") && help.contains("DATABASE_URL_FILE"), "{help}");
    for flag in ["--port", "--bind", "--database-url", "--environment"] {
        assert!(help.contains(flag), "{help}");
    }
}

#[test]
fn dotenv_is_not_read_where_a_flag_says_production() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "DATABASE_URL=sqlite://x.db\nMT5_API_KEY=key-0123456789abcdef\n").unwrap();
    let said = refused(folder.path(), &["--environment", "production"], &[]);
    assert!(said.contains("DATABASE_URL is missing") && said.contains("MT5_API_KEY is missing"), "{said}");
    // A flag overrides the environment.
    let mut serving = Serving::with_arguments(
        folder.path(),
        &["--environment", "development", "--port", "0"],
        &[("ENVIRONMENT", "staging")],
    );
    serving.is_ready();
}

#[test]
fn flags_still_apply_after_a_reload() {
    let folder = folder();
    let (keys, tokens) = (folder.path().join("keys"), folder.path().join("tokens"));
    fs::write(&keys, "key-0123456789abcdef").unwrap();
    fs::write(&tokens, "token-0123456789abcdef").unwrap();
    let arguments = ["--environment", "production", "--database-url", "sqlite://x.db", "--port", "0"];
    let variables =
        [("MT5_API_KEY_FILE", keys.to_str().unwrap()), ("INTERNAL_API_TOKEN_FILE", tokens.to_str().unwrap())];
    let mut serving = Serving::with_arguments(folder.path(), &arguments, &variables);
    serving.is_ready();
    // Development, the default without the flag, would accept it.
    fs::write(&keys, "short").unwrap();
    serving.signal("HUP");
    assert!(serving.line_with("the old ones still count").contains("MT5_API_KEY: entry 1 is shorter than 16"));
    fs::write(&keys, "other-key-0123456789abcdef").unwrap();
    serving.signal("HUP");
    serving.line_with("the keys were read again");
}
