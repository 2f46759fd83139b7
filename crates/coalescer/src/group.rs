//! The batches that are written together.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use candle::{Batch, Key, Written};

use crate::entry::Entry;
use crate::states::{Relation, is_of_states, relate, stored_with};

/// Batches that are written together, each with the tickets of those that wait for it.
///
/// A batch of forming candles may carry riders: other waiting states of the same candles, which need not be written if it
/// is. A rider is answered with its batch and never written.
#[derive(Debug)]
pub struct Group<T> {
    members: Vec<Member<T>>,
}

/// A batch to be written.
#[derive(Debug)]
struct Member<T> {
    entry: Entry<T>,
    riders: Vec<Entry<T>>,
}

impl<T> Group<T> {
    /// True if there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The batches to write, in the order in which they count.
    #[must_use]
    pub fn batches(&self) -> impl ExactSizeIterator<Item = &Arc<Batch>> {
        self.members.iter().map(|member| &member.entry.batch)
    }

    /// The tickets of all who wait for this group, riders included.
    pub fn tickets(&self) -> impl Iterator<Item = &T> {
        self.members.iter().flat_map(Member::entries).map(|entry| &entry.ticket)
    }

    /// The time by which the writing has to begin, so that it begins in time for everybody.
    #[must_use]
    pub fn write_by(&self) -> Option<Instant> {
        self.members.iter().flat_map(Member::entries).map(|entry| entry.write_by).min()
    }

    /// True if a batch may still be written at the time `now`.
    #[must_use]
    pub fn has_time(&self, now: Instant) -> bool {
        self.members.iter().flat_map(Member::entries).any(|entry| !entry.is_overdue(now))
    }

    /// Takes out the batches that may no longer be written at the time `now`, and returns their tickets. The newest rider
    /// takes the place of such a batch.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        let is_anybody_overdue = self.members.iter().flat_map(Member::entries).any(|entry| entry.is_overdue(now));
        if !is_anybody_overdue {
            return Vec::new();
        }
        let mut expired = Vec::new();
        for mut member in mem::take(&mut self.members) {
            expired.extend(member.riders.extract_if(.., |rider| rider.is_overdue(now)).map(|rider| rider.ticket));
            if !member.entry.is_overdue(now) {
                self.members.push(member);
                continue;
            }
            expired.push(member.entry.ticket);
            let (group, others) = Assembly::of_riders(member.riders);
            self.members.extend(group.members);
            // Riders that do not make each other unnecessary cannot be in one statement.
            expired.extend(others.into_iter().map(|other| other.ticket));
        }
        expired
    }

    /// Splits a group after a candle of it was refused, so that in the end only the batch of that candle fails. A
    /// group is split by poster first, so that a poster of refused candles delays nobody else; then in halves; and at
    /// last a single batch is split from its riders, because riders have candles of their own.
    ///
    /// # Errors
    /// The group itself, if one batch without riders is left.
    pub fn split(mut self) -> Result<Vec<Self>, Self> {
        if let [first, _, ..] = self.members.as_slice() {
            let poster = Arc::clone(&first.entry.poster);
            let (of_first, of_others): (Vec<_>, Vec<_>) =
                self.members.into_iter().partition(|member| member.entry.poster == poster);
            return Ok(if of_others.is_empty() { halves(of_first) } else { by_poster(of_first, of_others) });
        }
        let mut riders = self.members.first_mut().map(|member| mem::take(&mut member.riders)).unwrap_or_default();
        if riders.is_empty() {
            return Err(self);
        }
        let mut parts = vec![self];
        while !riders.is_empty() {
            let (part, others) = Assembly::of_riders(riders);
            parts.push(part);
            riders = others;
        }
        Ok(parts)
    }

    /// True if all batches are of one poster.
    #[must_use]
    pub fn is_of_one_poster(&self) -> bool {
        self.members.windows(2).all(|pair| pair[0].entry.poster == pair[1].entry.poster)
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry<T>> {
        self.members.into_iter().flat_map(Member::into_entries)
    }

    /// Everybody's ticket with the candles that their batch changed, given those that each of [`Self::batches`] changed.
    pub fn answers(self, written: Vec<Written>) -> impl Iterator<Item = (T, Written)> {
        self.members.into_iter().zip(written).flat_map(|(Member { entry, riders }, written)| {
            let changed_by = |rider: &Entry<T>| Written {
                closed: Vec::new(),
                forming: stored_with(&rider.batch, &entry.batch, &written.forming),
            };
            let mut answers = Vec::with_capacity(1 + riders.len());
            for rider in riders {
                let changed = changed_by(&rider);
                answers.push((rider.ticket, changed));
            }
            answers.push((entry.ticket, written));
            answers
        })
    }

    /// The tickets of all who wait for this group.
    pub fn into_tickets(self) -> impl Iterator<Item = T> {
        self.into_entries().map(|entry| entry.ticket)
    }
}

fn halves<T>(mut members: Vec<Member<T>>) -> Vec<Group<T>> {
    let later = members.split_off(members.len() / 2);
    vec![Group { members }, Group { members: later }]
}

fn by_poster<T>(first: Vec<Member<T>>, mut others: Vec<Member<T>>) -> Vec<Group<T>> {
    let mut parts = vec![Group { members: first }];
    while let Some(poster) = others.first().map(|member| Arc::clone(&member.entry.poster)) {
        let (members, rest) = others.into_iter().partition(|member| member.entry.poster == poster);
        parts.push(Group { members });
        others = rest;
    }
    parts
}

impl<T> Member<T> {
    fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        std::iter::once(&self.entry).chain(&self.riders)
    }

    fn into_entries(self) -> impl Iterator<Item = Entry<T>> {
        std::iter::once(self.entry).chain(self.riders)
    }
}

/// Puts a group together.
#[derive(Debug)]
pub(crate) struct Assembly<T> {
    members: Vec<Member<T>>,
    /// The number of candles that are written.
    candles: usize,
    max_candles: usize,
    /// True if the group is written as one batch.
    one_batch: bool,
    claims: HashMap<Key, Claim>,
}

/// The use that a group makes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Batches hold a closed candle of this key. The candle of the first batch counts, as if they were written one after
    /// the other.
    Closed,
    /// The member at this position, whose candles are all forming, holds a state of this key.
    State(usize),
    /// No other batch may touch the key: whether a forming candle counts depends on what is stored when its turn comes.
    Exclusive,
}

/// The outcome of offering a batch to a group.
#[derive(Debug)]
pub(crate) enum Offer<T> {
    /// The group has it. Holds the number of candles by which the group has grown.
    Taken(usize),
    /// It has to wait for a later group, because its changes could not be distinguished from those of an earlier
    /// batch.
    Passed(Entry<T>),
    /// There is no room for it.
    Full(Entry<T>),
}

impl<T> Offer<T> {
    /// The batch, if the group did not take it.
    fn left(self) -> Option<Entry<T>> {
        match self {
            Self::Taken(_) => None,
            Self::Passed(entry) | Self::Full(entry) => Some(entry),
        }
    }
}

impl<T> Assembly<T> {
    pub(crate) fn new(max_candles: usize, one_batch: bool) -> Self {
        Self { members: Vec::new(), candles: 0, max_candles, one_batch, claims: HashMap::new() }
    }

    /// Puts states of the same candles into a group, as far as they can be in one, and returns the others.
    fn of_riders(riders: Vec<Entry<T>>) -> (Group<T>, Vec<Entry<T>>) {
        let mut group = Self::new(usize::MAX, true);
        let others = riders.into_iter().filter_map(|rider| group.offer(rider).left()).collect();
        (group.finish(), others)
    }

    pub(crate) fn finish(self) -> Group<T> {
        Group { members: self.members }
    }

    /// Offers a batch. After it was passed over, later batches that share a key with it are passed over, too, so that none
    /// overtakes it.
    pub(crate) fn offer(&mut self, entry: Entry<T>) -> Offer<T> {
        let batch = Arc::clone(&entry.batch);
        let entry = match self.board(entry) {
            Ok(()) => return Offer::Taken(0),
            Err(entry) => entry,
        };
        let is_free = if self.one_batch { self.is_distinguishable(&batch) } else { true };
        if !is_free {
            self.claim(&batch, Claim::Exclusive, Claim::Exclusive);
            return Offer::Passed(entry);
        }
        if !self.members.is_empty() && self.candles + batch.len() > self.max_candles {
            return Offer::Full(entry);
        }
        let state = if is_of_states(&batch) { Claim::State(self.members.len()) } else { Claim::Exclusive };
        self.claim(&batch, Claim::Closed, state);
        self.candles += batch.len();
        self.members.push(Member { entry, riders: Vec::new() });
        Offer::Taken(batch.len())
    }

    /// Lets a batch of states ride with the member that holds states of the same candles, or the member with it.
    fn board(&mut self, entry: Entry<T>) -> Result<(), Entry<T>> {
        let key = entry.batch.forming().first().map(|forming| &forming.candle.key);
        let Some(&Claim::State(position)) = key.and_then(|key| self.claims.get(key)) else { return Err(entry) };
        let member = &mut self.members[position];
        // A key of the member may have been claimed by a batch that was passed over since.
        let is_untouched = |key| self.claims.get(key) == Some(&Claim::State(position));
        if !entry.batch.keys().all(is_untouched) {
            return Err(entry);
        }
        match relate(&entry.batch, &member.entry.batch) {
            Relation::Unnecessary => member.riders.push(entry),
            Relation::Decisive => {
                let overtaken = mem::replace(&mut member.entry, entry);
                member.riders.push(overtaken);
            }
            Relation::Unrelated => return Err(entry),
        }
        Ok(())
    }

    /// True if the changes of `batch` can be distinguished from those of the other members after all were written as one.
    fn is_distinguishable(&self, batch: &Batch) -> bool {
        let mut closed = batch.closed().iter();
        let mut forming = batch.forming().iter();
        closed.all(|candle| matches!(self.claims.get(&candle.key), None | Some(Claim::Closed)))
            && forming.all(|forming| !self.claims.contains_key(&forming.candle.key))
    }

    fn claim(&mut self, batch: &Batch, closed: Claim, forming: Claim) {
        // Where batches are written one after the other, claims only decide who may ride.
        if self.one_batch {
            self.claims.extend(batch.closed().iter().map(|candle| (candle.key.clone(), closed)));
        }
        self.claims.extend(batch.forming().iter().map(|state| (state.candle.key.clone(), forming)));
    }
}
