//! Who sent a request and over what, also behind proxies: what a header says of it is believed from trusted ones alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// What carried a request to us, or to the proxy that the client spoke to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TLS.
    Https,
    /// Plain text, as a trusted proxy says.
    ForwardedHttp,
    /// Plain text up to here. A proxy that is not trusted may stand before it.
    Direct,
}

/// The sender of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) transport: Transport,
}

impl Client {
    /// The address by which the client is counted. Whoever has one IPv6 address has the 2^64 beside it.
    pub(crate) fn group(&self) -> IpAddr {
        group(self.address)
    }
}

/// An IPv4 address, or the /64 of an IPv6 one.
pub(crate) fn group(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Proxies whose word is believed. Clones share it.
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
    /// Believes `trusted`, which name the client in `client_header`; `tls` says whether we speak TLS ourselves.
    pub(crate) fn new(trusted: &[IpNet], client_header: &str, tls: bool) -> Self {
        let (trusted, client_header) = (trusted.to_vec(), HeaderName::from_bytes(client_header.as_bytes()).ok());
        Self(Arc::new(ProxyTrust { trusted, client_header, tls, warned: AtomicBool::new(false) }))
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.trusted.iter().any(|range| range.contains(&address))
    }

    /// Who sent `request`.
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

    /// Walks from the last address named, which our own proxy wrote, to the first that no trusted proxy has: what stands
    /// before it is the client's own word.
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

/// An address as proxies write it, some with the port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Whether every hop that `X-Forwarded-Proto` tells of was TLS; `None` where it tells nothing.
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
