//! Places that clients take, of which nobody gets more than a share.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of places. Clones share them.
#[derive(Debug)]
pub(crate) struct Places<K> {
    max: usize,
    max_of_holder: usize,
    taken: Arc<Mutex<Taken<K>>>,
}

/// The number of taken places, in all and by holder. A holder without a place is not remembered.
#[derive(Debug)]
struct Taken<K> {
    all: usize,
    of_holders: HashMap<K, usize>,
}

/// The reason for which no place was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All places are taken.
    All,
    /// The holder has its share.
    Share,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    holder: Option<K>,
    taken: Arc<Mutex<Taken<K>>>,
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self { max: self.max, max_of_holder: self.max_of_holder, taken: Arc::clone(&self.taken) }
    }
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// `max` places, and each holder gets at most `max_of_holder`.
    pub(crate) fn new(max: usize, max_of_holder: usize) -> Self {
        let taken = Taken { all: 0, of_holders: HashMap::new() };
        Self { max, max_of_holder, taken: Arc::new(Mutex::new(taken)) }
    }

    /// Takes a place for a holder. Without one, no share is counted.
    ///
    /// # Errors
    /// When no place is left, or the holder has its share.
    pub(crate) fn take(&self, holder: Option<K>) -> Result<Place<K>, NoPlace> {
        let mut taken = lock(&self.taken);
        if taken.all >= self.max {
            return Err(NoPlace::All);
        }
        if let Some(holder) = &holder {
            let of_holder = taken.of_holders.get(holder).copied().unwrap_or_default();
            if of_holder >= self.max_of_holder {
                return Err(NoPlace::Share);
            }
            taken.of_holders.insert(holder.clone(), of_holder + 1);
        }
        taken.all += 1;
        Ok(Place { holder, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(holder) = &self.holder
            && let Some(of_holder) = taken.of_holders.get_mut(holder)
        {
            *of_holder -= 1;
            if *of_holder == 0 {
                taken.of_holders.remove(holder);
            }
        }
    }
}

fn lock<K>(taken: &Mutex<Taken<K>>) -> MutexGuard<'_, Taken<K>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_holder_gets_more_than_its_share_and_all_together_get_no_more_than_there_are() {
        let places = Places::new(9, 4);
        let mut held: Vec<_> = (0..4).map(|_| places.take(Some('a')).unwrap()).collect();
        assert_eq!(places.take(Some('a')).unwrap_err(), NoPlace::Share);
        held.extend((0..4).map(|_| places.take(Some('b')).unwrap()));
        held.push(places.take(None).unwrap());
        assert_eq!(places.take(Some('c')).unwrap_err(), NoPlace::All);
        assert_eq!(places.take(None).unwrap_err(), NoPlace::All);
        drop(held.remove(0));
        assert!(places.clone().take(Some('a')).is_ok(), "a place that was given back can be taken");
        drop(held);
        let taken = lock(&places.taken);
        assert_eq!(taken.all, 0);
        assert!(taken.of_holders.is_empty(), "nothing is remembered of a holder");
    }
}
