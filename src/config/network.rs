//! The settings of the network: addresses, access, rate limits, TLS and Sentry.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use secrecy::SecretString;
use url::Url;

use super::environment::Environment;
use super::reader::Reader;

/// The origins, hosts and proxies from which requests are accepted.
#[derive(Debug, Clone)]
pub struct Access {
    /// Origins whose pages may call the API, as browsers write them: `https://chart.example.com`.
    pub origins: Vec<String>,
    /// Host names that are served, in lower case and without a port. All names are served if the list is empty.
    pub hosts: Vec<String>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which trusted proxies name the client, in lower case.
    pub client_ip_header: String,
    /// True if requests that reached a trusted proxy over plain HTTP are refused.
    pub https_only: bool,
}

/// The rate limits of requests.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// The limit of each ingest key.
    pub ingest: RateLimit,
    /// The limit of each read token.
    pub query: RateLimit,
    /// The limit of each research key.
    pub research: RateLimit,
    /// The limit of each client address for requests without a valid key.
    pub anonymous: RateLimit,
}

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// No limit.
    Off,
    /// A number of times in each period.
    Per {
        /// The number of times.
        times: NonZeroU32,
        /// The length of the period.
        period: Duration,
    },
}

/// The PEM files of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Reader<'_> {
    pub(super) fn address(&mut self) -> SocketAddr {
        let port_setting = self.variables.label("PORT").into_owned();
        let address = self.parsed("BIND_ADDR", IpAddr::from([127, 0, 0, 1]), |text| {
            text.parse()
                .map_err(|_| format!("must be an IP address, such as 0.0.0.0; the port goes into {port_setting}"))
        });
        let port = self
            .parsed("PORT", 8000, |text| text.parse().map_err(|_| "must be a whole number from 0 to 65535".to_owned()));
        SocketAddr::new(address, port)
    }

    pub(super) fn access(&mut self, environment: Environment) -> Access {
        Access {
            origins: self.list("ALLOWED_ORIGINS", origin),
            hosts: self.list("ALLOWED_HOSTS", host),
            trusted_proxies: self.list("TRUSTED_PROXIES", network),
            client_ip_header: self.parsed("CLIENT_IP_HEADER", "x-forwarded-for".to_owned(), header_name),
            https_only: environment != Environment::Development,
        }
    }

    pub(super) fn rate_limits(&mut self) -> RateLimits {
        let mut limit = |name, per_second| self.parsed(name, RateLimit::per_second(per_second), rate_limit);
        RateLimits {
            ingest: limit("RATE_LIMIT_INGEST", 200),
            query: limit("RATE_LIMIT_QUERY", 200),
            research: limit("RATE_LIMIT_RESEARCH", 20),
            anonymous: limit("RATE_LIMIT_ANONYMOUS", 10),
        }
    }

    pub(super) fn admin(&mut self) -> Option<SocketAddr> {
        self.parsed("ADMIN_ADDR", None, |text| {
            let address = text.parse().map(Some);
            address.map_err(|_| "must be an IP address and a port, such as 127.0.0.1:9100".to_owned())
        })
    }

    pub(super) fn admin_hosts(&mut self) -> Vec<String> {
        self.list("ADMIN_HOSTS", host)
    }

    pub(super) fn tls(&mut self) -> Option<TlsFiles> {
        match (self.variables.get("TLS_CERT"), self.variables.get("TLS_KEY")) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
            (None, None) => None,
            _ => {
                self.problems.push("TLS_CERT and TLS_KEY belong together; set both or neither.".to_owned());
                self.faulty.extend(["TLS_CERT", "TLS_KEY"]);
                None
            }
        }
    }

    pub(super) fn sentry_dsn(&mut self) -> Option<SecretString> {
        self.parsed("SENTRY_DSN", None, |text| match text.parse::<sentry::types::Dsn>() {
            Ok(_) => Ok(Some(SecretString::from(text))),
            // Without the error, which may quote the DSN.
            Err(_) => Err("is not a DSN; copy it from the project's settings, under Client Keys".to_owned()),
        })
    }
}

impl RateLimit {
    fn per_second(times: u32) -> Self {
        NonZeroU32::new(times).map_or(Self::Off, |times| Self::Per { times, period: Duration::from_secs(1) })
    }
}

fn rate_limit(text: &str) -> Result<RateLimit, String> {
    if text == "off" {
        return Ok(RateLimit::Off);
    }
    let parse = || {
        let (times, unit) = text.split_once('/')?;
        let period = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            _ => return None,
        };
        // Bursts may be twice as large, and must be countable too.
        let times = times.trim().parse::<NonZeroU32>().ok().filter(|times| times.get() <= 1_000_000)?;
        Some(RateLimit::Per { times, period })
    };
    parse().ok_or_else(|| "must be off, or a number from 1 to 1000000 a second or minute, such as 200/s or 30/m".into())
}

/// Accepts an origin only as browsers write it (RFC 6454, section 6.2), because origins are compared byte by byte.
fn origin(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("is a wildcard, and any page on the web could then call; list the origins".into());
    }
    let written = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .map(|url| url.origin().ascii_serialization());
    match written {
        Some(origin) if origin == text => Ok(origin),
        Some(origin) if text.strip_prefix(&*origin).is_some_and(|rest| rest == "/") => {
            Err(format!("ends in a slash, which browsers do not send; write {origin}"))
        }
        Some(origin) => Err(format!("is not how browsers send it; write {origin}")),
        None => Err("is not an origin; write scheme and host, such as https://chart.example.com".into()),
    }
}

fn host(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("is a wildcard, and no host is named like that; list the names".into());
    }
    let problem = || "is not a host name; write it without scheme and port, such as api.example.com".to_owned();
    let parsed = url::Host::parse(text).map_err(|_| problem())?;
    let written = parsed.to_string();
    if written.eq_ignore_ascii_case(text) { Ok(written) } else { Err(problem()) }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| "is neither an IP address nor a range such as 10.0.0.0/8".to_owned())?;
    // Mapped to IPv4, because addresses are compared within their own family.
    if let IpNet::V6(mapped) = network
        && let Some(address) = mapped.addr().to_ipv4_mapped()
    {
        let prefix = mapped.prefix_len().checked_sub(96).and_then(|length| Ipv4Net::new(address, length).ok());
        return prefix
            .map(IpNet::V4)
            .ok_or_else(|| "is not a range of IPv4 addresses; write it as 10.0.0.0/8".to_owned());
    }
    Ok(network)
}

fn header_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if name == "forwarded" {
        return Err("is not supported, because it holds more than addresses; use x-forwarded-for or x-real-ip".into());
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(token) { Ok(name) } else { Err("is not the name of a header, such as x-real-ip".into()) }
}
