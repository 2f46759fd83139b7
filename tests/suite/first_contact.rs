//! Servers that refuse the service: the lines in the log, and when the service ends. The intervals of the retries and
//! the end after a minute are tested in src/first_contact.rs.

use std::time::Duration;

use candlewick::app::AppError;
use candlewick::errors::sentence;
use candlewick::store::StoreError;
use sqlx::Executor;
use url::Url;

use crate::faults::database_server::DatabaseServer;
use crate::harness::{Environment, PgDatabase, Service, eventually, leave_out, plain_server, run};
use crate::postgres::{prepare, scalar};
use crate::program::{Serving, folder, output, program};

/// An address on which the server refuses the service, the server's message, and the remedy.
struct Refused {
    url: String,
    state: &'static str,
    remedy: &'static str,
}

/// A database, and addresses of it that a real server refuses.
async fn refused_addresses(database: &PgDatabase) -> Vec<Refused> {
    let login = database.login();
    database.execute(&format!("create role {login} nologin password 'right'")).await;
    let url = |change: &dyn Fn(&mut Url)| database.url_with(|url| change(url));
    vec![
        Refused {
            url: url(&|url| url.set_password(Some("geheim")).unwrap()),
            state: "28P01",
            remedy: "is percent-encoded, as # is %23",
        },
        Refused {
            url: url(&|url| {
                url.set_username(&login).unwrap();
                url.set_password(Some("right")).unwrap();
            }),
            state: "28000",
            remedy: "correct the login",
        },
        Refused {
            url: url(&|url| url.set_path("candlewick_test_geheim_not_there")),
            state: "3D000",
            remedy: "create the database candlewick_test_geheim_not_there there",
        },
    ]
}

#[test]
fn a_refused_login_is_reported_with_its_cause_and_remedy() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        for Refused { url, state, remedy } in refused_addresses(&database).await {
            let Err(StoreError::Denied(cause)) = prepare(&url, true).await else { panic!("{state}") };
            let said = cause.to_string();
            let parsed = Url::parse(&url).unwrap();
            let place = format!("{}:{} says: ", parsed.host_str().unwrap(), parsed.port().unwrap());
            assert!(
                said.starts_with(&place) && said.contains(&format!("({state})")) && said.contains(remedy),
                "{said}"
            );
            assert!(said.contains("DATABASE_URL"), "{said}");
            assert!(state == "3D000" || !said.contains("geheim"), "{said}");
            // Commands that do not wait report it at once.
            let place = folder();
            for command in ["migrate", "check"] {
                let (code, printed, errors) =
                    output(program(place.path(), &[("DATABASE_URL", &url), ("PORT", "0")]).arg(command));
                let said = printed + &errors;
                assert!(code == 2 && said.contains(remedy), "{command}: {said}");
                assert!(state == "3D000" || !said.contains("geheim"), "{said}");
            }
        }
    });
}

#[test]
fn a_service_refused_for_a_minute_exits_with_the_remedy() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        for Refused { url, state, remedy } in refused_addresses(&database).await {
            let mut config = Environment::new(&url).config();
            assert_eq!(config.database.refusal_patience, Duration::from_mins(1));
            config.database.refusal_patience = Duration::ZERO;
            let (mut service, _) = Service::launch_with(&config);
            let error = service.end().await.unwrap_err();
            assert!(matches!(error, AppError::Store(StoreError::Misconfigured(_))), "{state}: {error:?}");
            let said = sentence(&error);
            assert!(said.contains("waiting does not change that") && said.contains(remedy), "{said}");
        }
    });
}

#[test]
fn a_refused_service_retries_and_serves_once_admitted() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let wrong_password = refused_addresses(&database).await.swap_remove(0);
        let place = folder();
        let mut serving = Serving::start(place.path(), &[("PORT", "0"), ("DATABASE_URL", &wrong_password.url)]);
        let line = serving.first_line_with("not ready");
        assert!(line.contains("WARN") && line.contains("28P01") && line.contains("percent-encoded"), "{line}");
        assert!(!line.contains("geheim"), "{line}");
        serving.signal("TERM");
        assert_eq!(serving.end().0, Some(0));

        // The database is created while the service waits for it.
        let name = format!("{}_late", database.name);
        let url = database.url_with(|url| url.set_path(&name));
        let late = PgDatabase { server: database.server.clone(), workers: Vec::new(), name, url };
        let mut serving = Serving::start(place.path(), &[("PORT", "0"), ("DATABASE_URL", &late.url)]);
        assert!(serving.first_line_with("not ready").contains("3D000"));
        database.execute(&format!("create database {} template template0", late.name)).await;
        serving.is_ready();
        serving.signal("TERM");
        assert_eq!(serving.end().0, Some(0));
    });
}

#[test]
fn an_unreachable_server_is_reported_with_what_to_check() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let unavailable = async |url: &str| match prepare(url, true).await {
            Err(StoreError::Unavailable(cause)) => cause.to_string(),
            other => panic!("{url}: {other:?}"),
        };
        let said = unavailable(&format!("postgres://u:geheim@{nobody}/db")).await;
        assert_eq!(
            said,
            format!("{nobody} refuses connections; start the server, or correct host and port in DATABASE_URL")
        );
        // Where the machine's name server does not answer either, the timeout error names the host.
        let said = unavailable("postgres://u:geheim@no-such-host.invalid/db").await;
        assert!(
            said.contains("no-such-host.invalid") && said.contains("DATABASE_URL") && !said.contains("geheim"),
            "{said}"
        );
        assert!(said.contains("cannot be looked up") || said.contains("does not answer within 3 s"), "{said}");
        let said = unavailable("postgres://u:geheim@localhost/db?host=/no/such/folder").await;
        assert!(said.contains("nothing listens on the socket of port 5432 in /no/such/folder"), "{said}");
        if scalar(&database, "select current_setting('ssl')").await == "on" {
            let said = unavailable(&database.url_with(|url| url.set_query(Some("sslmode=verify-full")))).await;
            assert!(said.contains("TLS with") && said.contains("sslrootcert"), "{said}");
        }
    });
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    /// Of X.509 version 1, as Citus makes one. The server's own user has to own the key.
    const MAKE: &str = "copy (select) to program 'exec 2>&1 >/dev/null; cat; \
        openssl req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr && \
        openssl x509 -req -in server.csr -signkey server.key -out server.crt && chmod 600 server.key'";
    run(async {
        let server = match DatabaseServer::start(&std::env::temp_dir(), &[]) {
            Ok(server) => server,
            Err(reason) => return leave_out(&reason),
        };
        let mut connection = server.connect().await;
        for statement in [MAKE, "alter system set ssl = on", "select pg_reload_conf()"] {
            connection.execute(statement).await.unwrap();
        }
        let tls = format!("{}?sslmode=require", server.url);
        let mut said = String::new();
        eventually(async || match prepare(&tls, false).await {
            Err(StoreError::Misconfigured(cause)) => {
                said = cause.to_string();
                true
            }
            // The server has not read its settings again yet.
            other => {
                assert!(matches!(other, Err(StoreError::Unavailable(_))), "{other:?}");
                false
            }
        })
        .await;
        assert!(said.contains("UnsupportedCertVersion") && said.contains("sslmode=disable to DATABASE_URL"), "{said}");
        let place = folder();
        let (code, _, errors) = output(&mut program(place.path(), &[("DATABASE_URL", &tls), ("PORT", "0")]));
        assert!(code == 2 && errors.contains("a certificate that cannot be used"), "{errors}");
    });
}

#[test]
fn a_database_url_truncated_by_its_password_stops_the_start() {
    let place = folder();
    for url in [
        "postgres://trader:12#geheim@db.example.com/candles",
        "postgres://trader:12/geheim@db.example.com/candles",
        "postgres://trader:12?geheim@db.example.com/candles",
        "postgres://trader:ge#heim@db.example.com/candles",
    ] {
        for command in ["serve", "migrate", "check"] {
            let (code, printed, errors) =
                output(program(place.path(), &[("DATABASE_URL", url), ("PORT", "0")]).arg(command));
            let said = printed + &errors;
            assert!(code == 2 && said.contains("percent-encode"), "{command}: {said}");
            assert!(!said.contains("geheim") && !said.contains("heim@"), "{said}");
        }
    }
}
