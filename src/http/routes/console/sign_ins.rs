//! Places for the sign-ins whose bodies are being read. They are few, because a sign-in needs no key to be read, and no address
//! gets all of them.

use std::net::IpAddr;

use crate::http::net::client_address::Client;
use crate::http::problem::{Code, Problem};
use crate::places::{Place, Places};
use crate::telemetry::metrics::Shed;

/// The maximum number of sign-ins whose bodies are read at once.
const MAX_SIGN_INS: usize = 32;
/// The maximum number of them from one address, or one /64 of IPv6.
const MAX_SIGN_INS_PER_ADDRESS: usize = 4;

/// The sign-ins whose bodies are being read, by the group of their address. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SignIns(Places<IpAddr>);

impl Default for SignIns {
    fn default() -> Self {
        Self(Places::new(MAX_SIGN_INS, MAX_SIGN_INS_PER_ADDRESS))
    }
}

impl SignIns {
    /// Takes a place for a sign-in of `client`.
    ///
    /// # Errors
    /// When none is free.
    pub(super) fn begin(&self, client: Client) -> Result<Place<IpAddr>, Problem> {
        self.0.take(Some(client.group())).map_err(|_| {
            Shed::Requests.count(1);
            Problem::new(Code::Overloaded, "Too many sign-ins are being sent at once; sign in again after Retry-After.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_gets_all_places_and_all_together_get_no_more() {
        let sign_ins = SignIns::default();
        let take = |address: u8| sign_ins.0.take(Some(IpAddr::from([203, 0, 113, address]))).ok();
        let mut places: Vec<Place<IpAddr>> = (0..4).map(|_| take(1).unwrap()).collect();
        assert!(take(1).is_none());
        for address in 2..=8 {
            places.extend((0..4).map(|_| take(address).unwrap()));
        }
        assert!(take(9).is_none(), "all places are taken");
        drop(places.pop());
        assert!(take(9).is_some(), "a place that was given back can be taken");
    }
}
