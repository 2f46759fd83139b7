//! Places for the sign-ins whose bodies are being read. They are few, because a sign-in needs no key to be read, and no address
//! gets all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::net::client_address::Client;
use crate::http::problem::{Code, Problem};
use crate::telemetry::metrics::Shed;

/// The maximum number of sign-ins whose bodies are read at once.
const MAX_SIGN_INS: usize = 32;
/// The maximum number of them from one address, or one /64 of IPv6.
const MAX_SIGN_INS_PER_ADDRESS: usize = 4;

/// The sign-ins whose bodies are being read, by the group of their address. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignIns(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The place of one sign-in, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    sign_ins: SignIns,
    group: IpAddr,
}

impl SignIns {
    /// Takes a place for a sign-in of `client`.
    ///
    /// # Errors
    /// When none is free.
    pub(super) fn begin(&self, client: Client) -> Result<Place, Problem> {
        self.place(client.group()).ok_or_else(|| {
            Shed::Requests.count(1);
            Problem::new(Code::Overloaded, "Too many sign-ins are being sent at once; sign in again after Retry-After.")
        })
    }

    fn place(&self, group: IpAddr) -> Option<Place> {
        let mut open = self.open();
        let of_address = open.get(&group).copied().unwrap_or_default();
        if of_address >= MAX_SIGN_INS_PER_ADDRESS || open.values().sum::<usize>() >= MAX_SIGN_INS {
            return None;
        }
        open.insert(group, of_address + 1);
        Some(Place { sign_ins: self.clone(), group })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sign_ins.open();
        if let Some(count) = open.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_gets_all_places_and_all_together_get_no_more() {
        let sign_ins = SignIns::default();
        let take = |address: u8| sign_ins.place(IpAddr::from([203, 0, 113, address]));
        let mut places: Vec<Place> = (0..4).map(|_| take(1).unwrap()).collect();
        assert!(take(1).is_none());
        for address in 2..=8 {
            places.extend((0..4).map(|_| take(address).unwrap()));
        }
        assert!(take(9).is_none(), "all places are taken");
        drop(places.pop());
        assert!(take(9).is_some(), "a place that was given back can be taken");
        drop(places);
        assert!(sign_ins.open().is_empty(), "nothing is remembered of an address");
    }
}
