//! The batches that wait, in a lane for each poster.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use candle::Batch;

use crate::entry::{Entry, Poster, Size};
use crate::group::{Assembly, Group, Offer};

/// The maximum number of batches of one poster that a group passes over, because each is examined again for the next group.
const MAX_PASSED_OVER_BATCHES: usize = 64;

/// The bounds of a queue and of its groups.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum number of candles in a group of several batches. A larger batch is a group of its own.
    pub group_candles: usize,
    /// The maximum size of all waiting batches together. One batch may wait whatever its size.
    pub waiting: Size,
    /// True if a group is written as one batch, in which no forming candle may occur twice. False if its batches are
    /// written one after the other.
    pub one_batch: bool,
}

/// Batches that wait to be written, each with the ticket `T` of its poster.
#[derive(Debug)]
pub struct Queue<T> {
    limits: Limits,
    /// The lanes of the posters that have a waiting batch.
    lanes: VecDeque<Lane<T>>,
    waiting: Size,
}

/// The waiting batches of one poster, in the order in which they have to be written.
#[derive(Debug)]
struct Lane<T> {
    poster: Poster,
    entries: VecDeque<Entry<T>>,
    size: Size,
}

impl<T> Queue<T> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, lanes: VecDeque::new(), waiting: Size::default() }
    }

    /// True if no batch waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// The size of all waiting batches.
    #[must_use]
    pub fn waiting(&self) -> Size {
        self.waiting
    }

    /// Adds a batch that has to be written by `write_by`, and returns the tickets of the batches for which there is no room
    /// any more. They are the newest ones of the poster whose batches take the most room, so a poster that fills the queue
    /// keeps nobody else out.
    #[must_use = "these batches are not in the queue"]
    pub fn push(&mut self, poster: &Poster, batch: Arc<Batch>, write_by: Instant, ticket: T) -> Vec<T> {
        let size = Size::of(&batch);
        self.insert(Entry { poster: Arc::clone(poster), batch, size, write_by, ticket });
        let mut refused = Vec::new();
        while self.is_overfull()
            && let Some(ticket) = self.drop_newest_of_largest()
        {
            refused.push(ticket);
        }
        refused
    }

    /// Puts the batches of a group back that was not written. They keep their places in their lanes.
    pub fn put_back(&mut self, group: Group<T>) {
        group.into_entries().for_each(|entry| self.insert(entry));
    }

    fn insert(&mut self, entry: Entry<T>) {
        let position = self.lanes.iter().position(|lane| lane.poster == entry.poster).unwrap_or_else(|| {
            let poster = Arc::clone(&entry.poster);
            self.lanes.push_back(Lane { poster, entries: VecDeque::new(), size: Size::default() });
            self.lanes.len() - 1
        });
        self.waiting = self.waiting.plus(entry.size);
        self.lanes[position].insert(entry);
    }

    /// Takes out the batches that may no longer be written at the time `now`, and returns their tickets.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        for lane in &mut self.lanes {
            while lane.entries.front().is_some_and(|entry| entry.write_by <= now)
                && let Some(entry) = lane.take(0)
            {
                expired.push(entry.ticket);
            }
        }
        self.forget_empty_lanes();
        expired
    }

    /// Takes the batches of the next group. Each lane gives its share of the group first, and then as much as there is
    /// room for. The lanes take turns in being first, so that a batch as large as a group has its turn, too.
    pub fn take(&mut self) -> Group<T> {
        let mut group = Assembly::new(self.limits.group_candles, self.limits.one_batch);
        let share = self.limits.group_candles / self.lanes.len().max(1);
        let mut visits = vec![Visit::default(); self.lanes.len()];
        for allowance in [share, usize::MAX] {
            for (lane, visit) in self.lanes.iter_mut().zip(&mut visits) {
                lane.fill(&mut group, visit, allowance);
            }
        }
        // A lane that got nothing, because the group was full, is the first one next time.
        let next = visits.iter().position(|visit| visit.given == 0).unwrap_or(1);
        self.lanes.rotate_left(next.min(self.lanes.len()));
        self.forget_empty_lanes();
        group.finish()
    }

    fn is_overfull(&self) -> bool {
        let Size { candles, bytes } = self.limits.waiting;
        self.waiting.candles > candles || self.waiting.bytes > bytes
    }

    /// Returns `None` if only one batch waits.
    fn drop_newest_of_largest(&mut self) -> Option<T> {
        if self.lanes.iter().map(|lane| lane.entries.len()).sum::<usize>() < 2 {
            return None;
        }
        let limit = self.limits.waiting;
        let product = |size: usize, limit: usize| size as u128 * limit as u128;
        let share =
            |lane: &&mut Lane<T>| product(lane.size.candles, limit.bytes).max(product(lane.size.bytes, limit.candles));
        let largest = self.lanes.iter_mut().max_by_key(share)?;
        let dropped = largest.take(largest.entries.len().checked_sub(1)?)?;
        self.forget_empty_lanes();
        Some(dropped.ticket)
    }

    fn forget_empty_lanes(&mut self) {
        self.lanes.retain(|lane| !lane.entries.is_empty());
        self.waiting = self.lanes.iter().fold(Size::default(), |sum, lane| sum.plus(lane.size));
    }
}

/// A group's passage through a lane.
#[derive(Debug, Clone, Default)]
struct Visit {
    /// The number of candles that the lane has given.
    given: usize,
    /// The number of batches at the lane's front that were passed over.
    passed_over: usize,
}

impl<T> Lane<T> {
    /// Adds an entry behind all that have to be written no later.
    fn insert(&mut self, entry: Entry<T>) {
        let behind = self.entries.iter().rposition(|other| other.write_by <= entry.write_by);
        self.put(behind.map_or(0, |position| position + 1), entry);
    }

    fn take(&mut self, position: usize) -> Option<Entry<T>> {
        let entry = self.entries.remove(position)?;
        self.size = self.size.minus(entry.size);
        Some(entry)
    }

    fn put(&mut self, position: usize, entry: Entry<T>) {
        self.size = self.size.plus(entry.size);
        self.entries.insert(position, entry);
    }

    /// Gives entries to `group` until they hold `allowance` candles, at least one of them.
    fn fill(&mut self, group: &mut Assembly<T>, visit: &mut Visit, allowance: usize) {
        while visit.passed_over < MAX_PASSED_OVER_BATCHES
            && let Some(next) = self.entries.get(visit.passed_over)
            && (visit.given == 0 || visit.given.saturating_add(next.batch.len()) <= allowance)
            && let Some(entry) = self.take(visit.passed_over)
        {
            match group.offer(entry) {
                Offer::Taken(candles) => visit.given += candles,
                Offer::Passed(entry) => {
                    self.put(visit.passed_over, entry);
                    visit.passed_over += 1;
                }
                Offer::Full(entry) => {
                    self.put(visit.passed_over, entry);
                    return;
                }
            }
        }
    }
}
