//! The host that a request names, and whether a listener is served under it (RFC 9112 section 3.2).

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Version, header};

use crate::http::problem::{Code, Problem};

/// The host that `request` names, in lower case and without its port; `None` only for HTTP/1.0.
///
/// # Errors
/// HTTP/1.1 requires a refusal where there is no `Host`, more than one, or one that is not a host with or without a port.
pub(crate) fn named(request: &Request) -> Result<Option<String>, Problem> {
    const NO_HOST: &str =
        "The Host of the request is not a host name or address with or without a port; send one that is.";
    let problem = |detail| Err(Problem::new(Code::InvalidHost, detail));
    // A request line may name a host, too.
    if request.uri().authority().is_some_and(|authority| host_of(authority).is_none()) {
        return problem(NO_HOST);
    }
    let mut lines = request.headers().get_all(header::HOST).iter();
    let Some(host) = lines.next() else {
        if request.version() < Version::HTTP_11 {
            return Ok(None);
        }
        return problem(
            "The request has no Host, which HTTP/1.1 demands; send one, such as Host: candles.example.com.",
        );
    };
    if lines.next().is_some() {
        return problem("The request names more than one Host; send one.");
    }
    match host.to_str().ok().and_then(|host| host.parse().ok()).as_ref().and_then(host_of) {
        Some(host) => Ok(Some(host)),
        None => problem(NO_HOST),
    }
}

/// The host in `HOST` or `HOST:PORT`, in lower case; `None` for anything more, which programs read in different ways.
pub(crate) fn host_of(authority: &Authority) -> Option<String> {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host)?;
    let has_no_more = matches!(rest, "" | ":") || rest.strip_prefix(':')?.parse::<u16>().is_ok();
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => is_dns_name(host),
    };
    (has_no_more && is_host).then(|| host.to_ascii_lowercase())
}

/// True for a name that DNS can hold, and for an IPv4 address. RFC 3986 allows more, such as commas, which programs read in
/// different ways. Underscores occur in the names of Docker Compose's services.
fn is_dns_name(host: &str) -> bool {
    const MAX_NAME_LENGTH: usize = 253;
    const MAX_LABEL_LENGTH: usize = 63;
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=MAX_LABEL_LENGTH).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
    };
    host.len() <= MAX_NAME_LENGTH && host.split('.').all(is_label)
}

/// The host names under which the second listener is served. A web page that reaches it by DNS rebinding sends the page's own
/// host name, and is refused.
#[derive(Debug, Clone)]
pub(crate) struct AdminHosts {
    names: Vec<String>,
    address: IpAddr,
}

impl AdminHosts {
    /// Accepts `names`, the names of the loopback interface, and the address that the listener is bound to. A listener on all
    /// addresses accepts any address, because rebinding needs a name.
    pub(crate) fn new(names: &[String], address: IpAddr) -> Self {
        Self { names: names.to_vec(), address: address.to_canonical() }
    }

    /// Refuses a request that names another host.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Problem> {
        let host = named(request)?;
        // HTTP/1.0 without Host does not come from a browser.
        if host.is_none_or(|host| self.serve(&host)) {
            return Ok(());
        }
        let detail =
            "This listener is not served under that host name; use its address, or list the name in ADMIN_HOSTS.";
        Err(Problem::new(Code::ForeignHost, detail))
    }

    fn serve(&self, host: &str) -> bool {
        is_loopback(host)
            || self.names.iter().any(|name| name == host)
            || address(host).is_some_and(|address| self.address.is_unspecified() || address == self.address)
    }
}

/// True for a host of [`named`] that is this machine itself. No web page has such a name by DNS rebinding.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// The address in place of a host name.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
