//! Keys and certificates that change while the service runs, and signals that change nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::harness::{KEY, TOKEN, run, send};
use crate::program::{Serving, folder, program};

const OLD: &str = "old-ingest-key-0123456789";
const NEW: &str = "new-ingest-key-0123456789";

/// A production service that reads its keys from files.
struct Files {
    folder: tempfile::TempDir,
    serving: Serving,
}

impl Files {
    fn start() -> Self {
        let folder = folder();
        let (keys, tokens) = (folder.path().join("keys"), folder.path().join("tokens"));
        std::fs::write(&keys, format!("london:{OLD}\n")).unwrap();
        std::fs::write(&tokens, format!("chart:{TOKEN}\n")).unwrap();
        let mut serving = Serving::start(
            folder.path(),
            &[
                ("ENVIRONMENT", "production"),
                ("LOG_FORMAT", "text"),
                ("DATABASE_URL", "sqlite://test.db"),
                ("PORT", "0"),
                ("MT5_API_KEY_FILE", keys.to_str().unwrap()),
                ("INTERNAL_API_TOKEN_FILE", tokens.to_str().unwrap()),
            ],
        );
        serving.is_ready();
        Self { folder, serving }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, requests a reload and returns the log's text about it.
    fn reload(&mut self, name: &str, text: &str, said: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.serving.signal("HUP");
        self.serving.line_with(said)
    }

    async fn status_of(&self, key: &str) -> u16 {
        let url = format!("{}/api/v1/series", self.serving.url);
        send(reqwest::Client::new().request(Method::GET, url).bearer_auth(key)).await.status.as_u16()
    }
}

#[test]
fn sighup_reloads_keys_and_logs_only_their_names() {
    run(async {
        let mut files = Files::start();
        assert!(files.serving.printed.contains("london"), "{}", files.serving.printed);
        assert_eq!((files.status_of(OLD).await, files.status_of(NEW).await), (200, 401));
        let said = files.reload("keys", &format!("london:{OLD},london-new:{NEW}"), "the keys were read again");
        assert!(said.contains("london, london-new") && said.contains("chart"), "{said}");
        assert_eq!((files.status_of(OLD).await, files.status_of(NEW).await), (200, 200));
        files.reload("keys", &format!("london-new:{NEW}"), "the keys were read again");
        assert_eq!(
            (files.status_of(OLD).await, files.status_of(NEW).await, files.status_of(TOKEN).await),
            (401, 200, 200)
        );
        // An unusable value changes nothing, and the message does not quote it.
        for (text, problem) in [
            ("short", "entry 1 is shorter than 16"),
            ("", "names a file that is empty"),
            ("secret-half.of-a-key:and-its-other-half", "entry 1 has a dot before its colon"),
            (TOKEN, "must not share a key"),
        ] {
            let said = files.reload("keys", text, "the old ones still count");
            assert!(said.contains(problem), "{said}");
            assert_eq!((files.status_of(OLD).await, files.status_of(NEW).await), (401, 200));
        }
        std::fs::remove_file(files.path("keys")).unwrap();
        files.serving.signal("HUP");
        files.serving.line_with("names a file that cannot be read");
        assert_eq!(files.status_of(NEW).await, 200);
        files.reload("keys", &format!("paris:{OLD}"), "the keys were read again");
        assert_eq!((files.status_of(OLD).await, files.status_of(NEW).await), (200, 401));
        files.serving.signal("TERM");
        let (code, printed) = files.serving.end();
        assert_eq!(code, Some(0), "{printed}");
        for secret in [OLD, NEW, TOKEN, "secret-half", "other-half"] {
            assert!(!printed.contains(secret), "{secret} in {printed}");
        }
    });
}

#[test]
fn sighup_reloads_the_certificate() {
    let folder = folder();
    let write = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    };
    write();
    let variables = [
        ("PORT", "0"),
        ("TLS_CERT", "cert.pem"),
        ("TLS_KEY", "key.pem"),
        ("MT5_API_KEY", KEY),
        ("INTERNAL_API_TOKEN", TOKEN),
    ];
    let mut serving = Serving::start(folder.path(), &variables);
    serving.is_ready();
    for _ in 0..3 {
        write();
        serving.signal("HUP");
        serving.line_with("the certificate was renewed");
    }
    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    serving.signal("HUP");
    serving.line_with("the old one still serves");
}

#[test]
fn unhandled_signals_are_ignored() {
    run(async {
        let mut files = Files::start();
        for signal in ["USR1", "USR2", "PIPE"] {
            files.serving.signal(signal);
        }
        // Signals of different kinds arrive in any order, so HUP might overtake the others; each is sent twice.
        for signal in ["USR1", "USR2", "PIPE", "HUP"] {
            files.serving.signal(signal);
        }
        files.serving.line_with("the keys were read again");
        assert_eq!(files.status_of(OLD).await, 200);
        files.serving.signal("QUIT");
        let (code, printed) = files.serving.end();
        assert!(code == Some(0) && printed.contains("stopped"), "{printed}");
    });
}

#[test]
fn closing_the_terminal_stops_the_service() {
    let folder = folder();
    // `script` gives the program a terminal of its own, which closes with it.
    let path = folder.path().join("terminal.sh");
    let log = folder.path().join("log");
    let binary = program(folder.path(), &[]).get_program().to_str().unwrap().to_owned();
    std::fs::write(&path, format!("exec {binary} >{}\n", log.display())).unwrap();
    let mut terminal = Command::new("script")
        .args(["--quiet", "--command", &format!("sh {}", path.display()), "/dev/null"])
        .current_dir(folder.path())
        .env_clear()
        .envs([("PORT", "0"), ("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&log, "ready");
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    wait_for(&log, "stopped");
}

/// Returns once the file at `path` holds `text`.
fn wait_for(path: &Path, text: &str) {
    let start = Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|log| log.contains(text)) {
        assert!(start.elapsed() < Duration::from_mins(1), "{text} is never said");
        std::thread::sleep(Duration::from_millis(10));
    }
}
