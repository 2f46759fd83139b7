//! The proxies' configurations from `deploy/`, run by real proxies on free ports of this machine.
//!
//! What a file marks as yours to change is replaced, and nothing else: host name, certificate, where the service listens.
//! Apart from that only ports, folders and the address listened on differ from what is shipped.

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

use super::wire::Door;

const NGINX: &str = include_str!("../../../deploy/nginx.conf");
const CADDY: &str = include_str!("../../../deploy/Caddyfile");

/// A running proxy, ended with this value.
pub struct Proxy {
    child: Child,
    /// The API over TLS.
    pub tls: Door,
    /// What port 80 would be.
    pub plain: Door,
    pub folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // TERM, because nginx's workers outlive a killed master.
        crate::program::kill(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

/// Both proxies in front of `service`, without those that are not on this machine.
pub async fn start(service: SocketAddr) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for (name, variable) in [("nginx", "TEST_NGINX"), ("Caddy", "TEST_CADDY")] {
        match std::env::var(variable) {
            Ok(program) => proxies.push(Proxy::start(name, &program, service).await),
            Err(_) => println!("not tested through {name}: {variable} is not set; scripts/with-programs sets it"),
        }
    }
    proxies
}

impl Proxy {
    /// What it has logged.
    pub fn log(&self) -> String {
        let files = ["proxy.log", "access.log"].map(|name| fs::read_to_string(self.folder.path().join(name)));
        files.into_iter().flatten().collect()
    }

    /// Starts it, again on other ports where another test has taken one in the meantime.
    async fn start(name: &'static str, program: &str, service: SocketAddr) -> Self {
        const ATTEMPTS: usize = 5;
        let mut log = String::new();
        for _ in 0..ATTEMPTS {
            match Self::try_start(name, program, service).await {
                Ok(proxy) => return proxy,
                Err(said) => log = said,
            }
        }
        panic!("{name} ends at once: {log}");
    }

    /// Or what it logged before it ended.
    async fn try_start(name: &'static str, program: &str, service: SocketAddr) -> Result<Self, String> {
        // nginx's workers are another user.
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
        let certificate = Certificate::create(folder.path());
        let (tls, plain) = (free_port(), free_port());
        let mut command = match name {
            "nginx" => nginx(program, folder.path(), &certificate, service, tls, plain),
            _ => caddy(program, folder.path(), &certificate, service, tls, plain),
        };
        let log = fs::File::create(folder.path().join("proxy.log")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let (tls, plain) = (Door::tls(name, tls, certificate.trusted), Door::plain(name, plain));
        while tls.connect().await.is_err() || plain.connect().await.is_err() {
            if child.try_wait().unwrap().is_some() {
                return Err(fs::read_to_string(folder.path().join("proxy.log")).unwrap());
            }
        }
        Ok(Self { child, tls, plain, folder })
    }
}

fn nginx(
    program: &str,
    folder: &Path,
    certificate: &Certificate,
    service: SocketAddr,
    tls: SocketAddr,
    plain: SocketAddr,
) -> Command {
    let here = folder.display();
    let mut folders = String::from("http {\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(folders, "    {kind}_temp_path {here}/{kind};").unwrap();
    }
    let shipped = "/etc/letsencrypt/live/candles.example.com/";
    let configuration = replace(
        NGINX,
        &[
            ("127.0.0.1:8000", &service.to_string()),
            (&format!("{shipped}fullchain.pem"), &certificate.file.display().to_string()),
            (&format!("{shipped}privkey.pem"), &certificate.key.display().to_string()),
            ("server_name candles.example.com", "server_name localhost"),
            ("    listen [::]:443", "    # "),
            ("    listen [::]:80", "    # "),
            ("listen 443", &format!("listen {tls}")),
            ("listen 80", &format!("listen {plain}")),
            ("/var/log/nginx", &here.to_string()),
            ("/var/www/acme", &format!("{here}/acme")),
            ("http {\n", &folders),
        ],
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-c").arg(file);
    command.arg("-g").arg(format!("daemon off; pid {here}/nginx.pid;"));
    command
}

fn caddy(
    program: &str,
    folder: &Path,
    certificate: &Certificate,
    service: SocketAddr,
    tls: SocketAddr,
    plain: SocketAddr,
) -> Command {
    let file = folder.join("Caddyfile");
    // It listens on every address of the machine otherwise.
    let configuration = replace(CADDY, &[("\n{\n", "\n{\n\tdefault_bind 127.0.0.1\n")]);
    fs::write(&file, configuration).unwrap();
    let files = format!("{} {}", certificate.file.display(), certificate.key.display());
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    command.env("CANDLEWICK_HOST", "localhost").env("CANDLEWICK_TLS", files);
    command.env("CANDLEWICK_UPSTREAM", service.to_string()).env("CANDLEWICK_CADDY_ADMIN", "off");
    command.env("CANDLEWICK_HTTPS_PORT", tls.port().to_string());
    command.env("CANDLEWICK_HTTP_PORT", plain.port().to_string());
    command
}

/// Replaces what a shipped file is certain to hold.
fn replace(shipped: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(shipped.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the shipped file has {from:?}");
        text.replace(from, to)
    })
}

/// A port that was free a moment ago: the proxies have to be told one.
/// Below the ports that Linux gives to outgoing connections, one of which would take it before the proxy does.
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
