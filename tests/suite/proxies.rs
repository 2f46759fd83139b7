//! The proxies' configurations from `deploy/`, run by real proxies on free ports of this machine.
//!
//! The values that a file marks as yours to change are replaced: host name, certificate, the service's address. Apart
//! from them, only ports, folders and the listen address differ from the shipped file.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::abuse::wire::Door;
use crate::harness::program_of;
use crate::program::output;

const NGINX: &str = include_str!("../../deploy/nginx.conf");
const CADDY: &str = include_str!("../../deploy/Caddyfile");

/// A running proxy, ended when this value is dropped.
pub struct Proxy {
    child: Child,
    /// The way to the API over TLS.
    pub tls: Door,
    /// The listener that stands for port 80.
    pub plain: Door,
    pub folder: TempDir,
    settings: Settings,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // TERM, because nginx's workers outlive a killed master.
        crate::program::kill(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

/// Both proxies in front of `service`, except those that this machine lacks.
pub async fn start(service: SocketAddr) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for name in ["nginx", "Caddy"] {
        proxies.extend(Proxy::start(name, service).await);
    }
    proxies
}

impl Proxy {
    /// Its log.
    pub fn log(&self) -> String {
        let files = ["proxy.log", "access.log"].map(|name| fs::read_to_string(self.folder.path().join(name)));
        files.into_iter().flatten().collect()
    }

    /// The file with its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.settings.certificate.file.clone()
    }

    /// Sends new requests to `service`, without a restart.
    pub fn lead_to(&self, service: SocketAddr) {
        self.settings.write(service);
        let (code, _, said) = output(&mut self.settings.reload(service));
        assert_eq!(code, 0, "{said}");
    }

    /// Starts the proxy of this name if this machine has it.
    pub async fn start(name: &'static str, service: SocketAddr) -> Option<Self> {
        Self::start_for(name, service, None).await
    }

    /// Starts it with the console open to one address alone, and tries other ports if another test has taken one in the
    /// meantime.
    pub async fn start_for(
        name: &'static str,
        service: SocketAddr,
        console_from: Option<&'static str>,
    ) -> Option<Self> {
        const ATTEMPTS: usize = 5;
        let variable = format!("TEST_{}", name.to_uppercase());
        let program = program_of(&variable)?;
        let mut log = String::new();
        for _ in 0..ATTEMPTS {
            match Self::try_start(name, &program, service, console_from).await {
                Ok(proxy) => return Some(proxy),
                Err(said) => log = said,
            }
        }
        panic!("{name} ends at once: {log}");
    }

    /// Or its log, if it ended before it was ready.
    async fn try_start(
        name: &'static str,
        program: &str,
        service: SocketAddr,
        console_from: Option<&'static str>,
    ) -> Result<Self, String> {
        // nginx's workers run as another user.
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
        let settings = Settings {
            name,
            program: program.to_owned(),
            folder: folder.path().to_owned(),
            certificate: Certificate::create(folder.path()),
            tls: free_port(),
            plain: free_port(),
            admin: free_port(),
            console_from,
        };
        settings.write(service);
        let log = fs::File::create(folder.path().join("proxy.log")).unwrap();
        let mut child = settings.run(service).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let tls = Door::tls(name, settings.tls, settings.certificate.trusted.clone());
        let plain = Door::plain(name, settings.plain);
        while tls.connect().await.is_err() || plain.connect().await.is_err() {
            if child.try_wait().unwrap().is_some() {
                return Err(fs::read_to_string(folder.path().join("proxy.log")).unwrap());
            }
        }
        Ok(Self { child, tls, plain, folder, settings })
    }
}

/// The settings of a proxy.
struct Settings {
    name: &'static str,
    program: String,
    folder: PathBuf,
    certificate: Certificate,
    tls: SocketAddr,
    plain: SocketAddr,
    /// The address of Caddy's admin API.
    admin: SocketAddr,
    /// The address that may open the console; all if `None`.
    console_from: Option<&'static str>,
}

impl Settings {
    /// Writes its configuration, with `service` as its upstream.
    fn write(&self, service: SocketAddr) {
        let (file, text) = match self.name {
            "nginx" => ("nginx.conf", self.nginx_conf()),
            // Otherwise it listens on every address of the machine.
            _ => ("Caddyfile", replace(CADDY, &[("\n{\n", "\n{\n\tdefault_bind 127.0.0.1\n")])),
        };
        fs::write(self.folder.join(file), text).unwrap();
        fs::write(self.folder.join("upstream.conf"), format!("server {service};\n")).unwrap();
    }

    fn nginx_conf(&self) -> String {
        let here = self.folder.display();
        let mut folders = String::from("http {\n");
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(folders, "    {kind}_temp_path {here}/{kind};").unwrap();
        }
        let shipped = "/etc/letsencrypt/live/candles.example.com/";
        let console = self.console_from.map_or("default 1;".to_owned(), |from| format!("default 0; {from} 1;"));
        replace(
            NGINX,
            &[
                ("/etc/candlewick/upstream.conf;", &format!("{here}/upstream.conf;")),
                (&format!("{shipped}fullchain.pem"), &self.certificate.file.display().to_string()),
                (&format!("{shipped}privkey.pem"), &self.certificate.key.display().to_string()),
                ("server_name candles.example.com", "server_name localhost"),
                ("    listen [::]:443", "    # "),
                ("    listen [::]:80", "    # "),
                ("listen 443", &format!("listen {}", self.tls)),
                ("listen 80", &format!("listen {}", self.plain)),
                ("default 1;", &console),
                ("/var/log/nginx", &here.to_string()),
                ("/var/www/acme", &format!("{here}/acme")),
                ("http {\n", &folders),
            ],
        )
    }

    fn run(&self, service: SocketAddr) -> Command {
        match self.name {
            "nginx" => self.nginx("daemon off;"),
            _ => self.caddy(service, &["run"]),
        }
    }

    fn reload(&self, service: SocketAddr) -> Command {
        match self.name {
            "nginx" => {
                let mut command = self.nginx("");
                command.args(["-s", "reload"]);
                command
            }
            _ => self.caddy(service, &["reload", "--address", &self.admin.to_string()]),
        }
    }

    fn nginx(&self, directives: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-e").arg("stderr").arg("-c").arg(self.folder.join("nginx.conf"));
        command.arg("-g").arg(format!("{directives} pid {}/nginx.pid;", self.folder.display()));
        command
    }

    fn caddy(&self, service: SocketAddr, arguments: &[&str]) -> Command {
        let files = format!("{} {}", self.certificate.file.display(), self.certificate.key.display());
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--adapter", "caddyfile", "--config"]).arg(self.folder.join("Caddyfile"));
        command.env("HOME", &self.folder).env("XDG_DATA_HOME", &self.folder).env("XDG_CONFIG_HOME", &self.folder);
        command.env("CANDLEWICK_HOST", "localhost").env("CANDLEWICK_TLS", files);
        command.env("CANDLEWICK_UPSTREAM", service.to_string());
        if let Some(from) = self.console_from {
            command.env("CANDLEWICK_CONSOLE_FROM", from);
        }
        command.env("CANDLEWICK_CADDY_ADMIN", self.admin.to_string());
        command.env("CANDLEWICK_HTTPS_PORT", self.tls.port().to_string());
        command.env("CANDLEWICK_HTTP_PORT", self.plain.port().to_string());
        command
    }
}

/// Replaces texts that a shipped file must contain.
fn replace(shipped: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(shipped.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the shipped file has {from:?}");
        text.replace(from, to)
    })
}

/// A port that was free a moment ago, because the proxies need a fixed one. It is below the ports that Linux uses for
/// outgoing connections, one of which could take it before the proxy does.
fn free_port() -> SocketAddr {
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + u16::from_ne_bytes(random) % 12_000));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A certificate for localhost that only this test trusts.
struct Certificate {
    file: PathBuf,
    key: PathBuf,
    trusted: RootCertStore,
}

impl Certificate {
    fn create(folder: &Path) -> Self {
        let (file, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&file).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(&file).unwrap()).unwrap();
        Self { file, key, trusted }
    }
}
