//! Variables that are set and do not name a setting.

use std::fs;

use crate::program::{Serving, folder, output, program};

const PRODUCTION: [(&str, &str); 5] = [
    ("ENVIRONMENT", "production"),
    ("DATABASE_URL", "sqlite://x.db"),
    ("MT5_API_KEY", "key-0123456789abcdef"),
    ("INTERNAL_API_TOKEN", "token-0123456789abcdef"),
    ("PORT", "0"),
];

#[test]
fn a_misspelt_name_is_a_warning_at_the_start() {
    let folder = folder();
    fs::write(folder.path().join(".env"), "PROT=8080\nPOSTGRES_PASSWORD=x\nDB_URL=sqlite://other.db\n").unwrap();
    let variables = [("DATABSE_URL", "sqlite://geheim.db"), ("PORT", "0"), ("RUST_LOG", "debug")];
    let mut serving = Serving::start(folder.path(), &variables);
    serving.is_ready();
    serving.signal("TERM");
    let (_, printed) = serving.end();
    for sentence in [
        "PROT in .env is not a setting of candlewick and is ignored; PORT was probably meant",
        "DATABSE_URL is not a setting of candlewick and is ignored; DATABASE_URL was probably meant",
        "DB_URL in .env is not a setting of candlewick and is ignored; the setting is called DATABASE_URL",
        "RUST_LOG is not a setting of candlewick and is ignored; the setting is called LOG_LEVEL",
    ] {
        let line =
            printed.lines().find(|line| line.contains(sentence)).unwrap_or_else(|| panic!("{sentence}: {printed}"));
        assert!(line.contains("WARN"), "{line}");
    }
    assert!(!printed.contains("POSTGRES_PASSWORD") && !printed.contains("geheim"), "{printed}");
    assert_eq!(printed.matches("is not a setting").count(), 4, "{printed}");
    let (code, printed, errors) = output(program(folder.path(), &[("DATABASE_URI", "x")]).arg("migrate"));
    assert!(code == 0 && printed.contains("DATABASE_URL was probably meant"), "{printed}{errors}");
}

#[test]
fn a_name_one_edit_from_a_security_setting_stops_the_start() {
    let folder = folder();
    for (name, meant) in [
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("TRUSTED_PROXIS", "TRUSTED_PROXIES"),
        ("TLS_CRET", "TLS_CERT"),
        ("CLIENT_IP_HEADERS", "CLIENT_IP_HEADER"),
    ] {
        let (code, printed, errors) = output(&mut program(folder.path(), &[&PRODUCTION[..], &[(name, "x")]].concat()));
        assert_eq!(code, 2, "{name}: {printed}{errors}");
        assert!(errors.contains(&format!("{name} is not a setting of candlewick and nearly {meant}")), "{errors}");
    }
    for command in ["serve", "migrate", "check"] {
        let misspelt = [("PORT", "0"), ("ENVIROMENT", "production")];
        let (code, printed, errors) = output(program(folder.path(), &misspelt).arg(command));
        assert!(code == 2 && (printed + &errors).contains("nearly ENVIRONMENT"), "{command}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was made");
    // Beside the correct name, the misspelt one is a leftover.
    let both = [&PRODUCTION[..], &[("ALLOWED_HOST", "x"), ("ALLOWED_HOSTS", "127.0.0.1")]].concat();
    let mut serving = Serving::start(folder.path(), &both);
    serving.is_ready();
    assert!(serving.printed.contains("ALLOWED_HOSTS was probably meant"), "{}", serving.printed);
}

#[test]
fn a_start_that_fails_reports_the_misspelt_name_that_explains_it() {
    let folder = folder();
    let misspelt = PRODUCTION.map(|(name, value)| (if name == "DATABASE_URL" { "DATABSE_URL" } else { name }, value));
    for command in ["serve", "migrate"] {
        let (code, _, errors) = output(program(folder.path(), &misspelt).arg(command));
        assert_eq!(code, 2, "{errors}");
        assert!(errors.contains("DATABASE_URL is missing, and production needs one"), "{errors}");
        assert!(
            errors.contains("DATABSE_URL is not a setting of candlewick and is ignored; DATABASE_URL was"),
            "{errors}"
        );
    }
    let (code, printed, errors) = output(&mut program(folder.path(), &[("PROT", "9999"), ("BIND_ADDR", "192.0.2.1")]));
    assert!(code == 1 && errors.contains("Cannot listen on 192.0.2.1:8000"), "{errors}");
    assert!(printed.contains("PORT was probably meant"), "{printed}");
}

#[test]
fn variables_of_platforms_are_ignored() {
    let folder = folder();
    let platform = [
        ("PATH", "/usr/bin"),
        ("HOME", "/root"),
        ("HOSTNAME", "candlewick-7d9f"),
        ("HOST", "candlewick-7d9f"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("CANDLEWICK_PORT", "tcp://10.0.0.7:8000"),
        ("CANDLEWICK_PORT_8000_TCP_PORT", "8000"),
        ("SSL_CERT_FILE", "/etc/ssl/cert.pem"),
        ("POSTGRES_URL", "postgres://elsewhere/db"),
        ("RAILWAY_ENVIRONMENT", "production"),
        ("NODE_ENV", "production"),
    ];
    let mut serving = Serving::start(folder.path(), &[&PRODUCTION[..], &platform].concat());
    serving.is_ready();
    assert!(!serving.printed.contains("is not a setting"), "{}", serving.printed);
}
