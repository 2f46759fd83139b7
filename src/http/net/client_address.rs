//! The client of a request and its transport, also behind proxies. Forwarding headers count only if a trusted proxy sent them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

/// The transport between the client and the service, or between the client and the first trusted proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TLS.
    Https,
    /// Plain text, according to a trusted proxy.
    ForwardedHttp,
    /// Plain text to this service. A proxy that is not trusted may be in between.
    Direct,
}

/// The sender of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) transport: Transport,
}

impl Client {
    /// The address by which the client is counted: its IPv4 address, or the /64 of its IPv6 address, because its owner has all
    /// 2^64 addresses in it.
    pub(crate) fn group(&self) -> IpAddr {
        group(self.address)
    }

    /// True if `origin` is that of the host that the request named, with the scheme by which it came.
    pub(crate) fn is_own_origin(&self, headers: &HeaderMap, origin: &HeaderValue) -> bool {
        let scheme: &[u8] = if self.transport == Transport::Https { b"https://" } else { b"http://" };
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        origin.as_bytes().strip_prefix(scheme) == Some(host)
    }
}

/// An IPv4 address, or the /64 of an IPv6 one.
pub(crate) fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The trusted proxies. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Proxies(Arc<ProxyTrust>);

#[derive(Debug)]
struct ProxyTrust {
    trusted: Vec<IpNet>,
    client_header: Option<HeaderName>,
    tls: bool,
    warned: AtomicBool,
}

impl Proxies {
    /// Trusts the proxies in `trusted`, which name the client in `client_header`. `tls` is true if the service itself speaks TLS.
    pub(crate) fn new(trusted: &[IpNet], client_header: &str, tls: bool) -> Self {
        let (trusted, client_header) = (trusted.to_vec(), HeaderName::from_bytes(client_header.as_bytes()).ok());
        Self(Arc::new(ProxyTrust { trusted, client_header, tls, warned: AtomicBool::new(false) }))
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.trusted.iter().any(|range| range.contains(&address))
    }

    /// The client that sent `request`.
    pub(crate) fn client(&self, request: &Request) -> Client {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(Ipv6Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip().to_canonical());
        let headers = request.headers();
        let transport = if self.0.tls { Transport::Https } else { Transport::Direct };
        if !self.trusts(peer) {
            if let Some(header) = &self.0.client_header
                && headers.contains_key(header)
                && !self.0.warned.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    peer = %peer,
                    header = header.as_str(),
                    "a forwarding header from an address that is not in TRUSTED_PROXIES is ignored; add the address if it \
                     is your proxy's (said once)"
                );
            }
            return Client { address: peer, transport };
        }
        let transport = match proto_is_https(headers) {
            Some(true) => Transport::Https,
            Some(false) => Transport::ForwardedHttp,
            None => transport,
        };
        Client { address: self.named_client(peer, headers), transport }
    }

    /// Walks the list from the right and returns the first address that is not a trusted proxy. The client supplied everything
    /// to its left, which can be forged.
    fn named_client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = self.0.client_header.iter().flat_map(|header| headers.get_all(header));
        let named: Vec<&str> = lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).collect();
        let mut client = peer;
        for name in named.into_iter().rev() {
            let Some(address) = parse_address(name.trim()) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// Parses an address as proxies write it, some of them with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// True if every hop in `X-Forwarded-Proto` was TLS; `None` where the header is missing.
fn proto_is_https(headers: &HeaderMap) -> Option<bool> {
    let mut hops = headers
        .get_all("x-forwarded-proto")
        .iter()
        .flat_map(|line| line.to_str().unwrap_or("?").split(','))
        .map(|hop| hop.trim().eq_ignore_ascii_case("https"))
        .peekable();
    hops.peek()?;
    Some(hops.all(|https| https))
}
