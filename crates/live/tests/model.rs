//! Clients that join, lag behind and come back end with what is stored, and see no state after a newer one.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::collections::BTreeMap;

use live::{Cursor, HistoryKind, MAX_ENTRIES, Next, Position, Snapshot, Start, State, Tail};
use proptest::prelude::*;

/// The newest rows of a look that is not a page of the whole tail.
const ROWS: usize = 3;

/// The stored candles: the version of each by its opening time.
type Stored = BTreeMap<i64, u64>;

fn look(stored: &Stored, most: usize) -> Snapshot {
    let newest = stored.iter().rev().take(most);
    let mut states: Vec<_> = newest.map(|(&time, version)| State { time, text: version.to_string().into() }).collect();
    states.reverse();
    let complete_from = if stored.len() < most { i64::MIN } else { states[0].time };
    Snapshot { states, complete_from }
}

/// Takes in what the follower reads.
fn follow(tail: &mut Tail, stored: &Stored) {
    let found = look(stored, ROWS);
    if tail.has_hole_before(&found) {
        tail.take(look(stored, MAX_ENTRIES));
    } else {
        tail.take(found);
    }
}

struct Client {
    cursor: Cursor,
    known: BTreeMap<i64, u64>,
    /// True if stored candles change.
    may_reach_back: bool,
}

impl Client {
    fn new(start: Start, tail: &Tail) -> Self {
        Self { cursor: Cursor::new(start, tail.revision()), known: BTreeMap::new(), may_reach_back: false }
    }

    fn get(&mut self, time: i64, version: u64) {
        let newest = self.known.last_key_value().map_or(i64::MIN, |(&newest, _)| newest);
        let before = self.known.insert(time, version);
        // A client that began with the newest candle gets changes of others that it does not have.
        assert!(before.is_some() || time > newest || self.may_reach_back, "{time} is not new, and came after {newest}");
        assert!(before.is_none_or(|before| before <= version), "an older state of {time} after a newer one");
    }

    /// Gets everything that is pending.
    fn read(&mut self, tail: &Tail, stored: &Stored) {
        match self.cursor.next(tail) {
            Next::Entries(entries) => {
                assert!(entries.is_sorted_by_key(|entry| entry.state.time));
                let states: Vec<_> =
                    entries.iter().map(|entry| (entry.state.time, entry.state.text.parse().unwrap())).collect();
                for (time, version) in states {
                    self.get(time, version);
                }
                self.cursor.sent(tail);
            }
            Next::CatchUp(from) => {
                let page: Vec<_> = stored.range(from..).map(|(&time, &version)| (time, version)).collect();
                for &(time, version) in &page {
                    self.get(time, version);
                }
                self.cursor.caught_up(tail, page.last().map(|&(time, _)| time));
            }
        }
    }
}

/// The opening times that a client gets.
fn times(cursor: &Cursor, tail: &Tail) -> Vec<i64> {
    match cursor.next(tail) {
        Next::Entries(entries) => entries.iter().map(|entry| entry.state.time).collect(),
        Next::CatchUp(from) => panic!("everything from {from} on"),
    }
}

#[test]
fn a_client_whose_newest_candle_is_deleted_gets_what_comes_before_its_time() {
    let mut stored = Stored::from([(0, 1), (1, 1), (99, 1)]);
    let mut tail = Tail::default();
    follow(&mut tail, &stored);
    let mut cursor = Cursor::new(Start::Newest, tail.revision());
    assert_eq!(times(&cursor, &tail), [99]);
    cursor.sent(&tail);
    stored.remove(&99);
    tail.take(look(&stored, MAX_ENTRIES));
    cursor.step_back(&tail);
    cursor.sent(&tail);
    assert_eq!(cursor.newest(), Some(1), "the position that the client has from then on");
    stored.extend([(2, 1), (3, 1)]);
    follow(&mut tail, &stored);
    assert_eq!(times(&cursor, &tail), [2, 3]);
    // One that was away during the deletion.
    let mut back = Cursor::new(Start::From(99), tail.revision());
    back.forget_deleted(-5, 98);
    assert!(times(&back, &tail).is_empty(), "its candle is not among those");
    back.forget_deleted(99, 99);
    assert_eq!(times(&back, &tail), [0, 1, 2, 3]);
}

#[derive(Debug, Clone)]
enum Step {
    /// Stores so many new candles.
    Add(usize),
    /// Changes one of the newest candles.
    Change(usize),
    Look,
    Join,
    /// A client reads.
    Read(usize),
    /// A client comes back with its position.
    Return(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![9 => 1..4usize, 1 => 4..40usize].prop_map(Step::Add),
        4 => (0..2usize).prop_map(Step::Change),
        6 => Just(Step::Look),
        1 => Just(Step::Join),
        6 => (0..4usize).prop_map(Step::Read),
        1 => (0..4usize).prop_map(Step::Return),
    ]
}

/// Steps without changes of stored candles.
fn growth() -> impl Strategy<Value = Step> {
    step().prop_map(|step| if matches!(step, Step::Change(_)) { Step::Look } else { step })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_client_ends_with_what_is_stored(
        first in 0..20usize,
        steps in prop_oneof![prop::collection::vec(step(), 1..80), prop::collection::vec(growth(), 1..80)],
    ) {
        let (mut stored, mut tail, mut version, mut clients) = (Stored::new(), Tail::default(), 0, Vec::<Client>::new());
        let add = |stored: &mut Stored, version: &mut u64, count: usize| {
            for _ in 0..count {
                *version += 1;
                let time = stored.last_key_value().map_or(0, |(time, _)| time + 60_000);
                stored.insert(time, *version);
            }
        };
        add(&mut stored, &mut version, first);
        follow(&mut tail, &stored);
        let may_reach_back = steps.iter().any(|step| matches!(step, Step::Change(_)));
        for step in steps {
            match step {
                Step::Add(count) => add(&mut stored, &mut version, count),
                Step::Change(back) => {
                    if let Some((_, state)) = stored.iter_mut().rev().nth(back) {
                        version += 1;
                        *state = version;
                    }
                }
                Step::Look => follow(&mut tail, &stored),
                Step::Join => {
                    // A stream begins only after a look that began after it.
                    let client = Client { may_reach_back, ..Client::new(Start::Newest, &tail) };
                    follow(&mut tail, &stored);
                    clients.push(client);
                }
                Step::Read(number) => {
                    if let Some(client) = clients.get_mut(number) {
                        client.read(&tail, &stored);
                    }
                }
                Step::Return(number) => {
                    if let Some(client) = clients.get_mut(number).filter(|client| client.cursor.has_begun()) {
                        let newest = client.cursor.newest().unwrap_or(i64::MIN);
                        client.cursor = Cursor::new(Start::From(newest), tail.revision());
                        follow(&mut tail, &stored);
                    }
                }
            }
        }
        follow(&mut tail, &stored);
        prop_assert!(tail.entries().len() <= MAX_ENTRIES);
        for client in &mut clients {
            client.read(&tail, &stored);
            let first = client.known.first_key_value().map_or(i64::MAX, |(&time, _)| time);
            // A client that was away learns of older candles from the record of changes alone.
            prop_assert_eq!(client.known.last_key_value(), stored.range(first..).next_back());
            if !may_reach_back {
                prop_assert!(stored.range(first..).eq(&client.known), "a hole, or an old state");
            }
        }
    }

    #[test]
    fn a_position_is_read_as_it_was_written(
        seconds in prop::collection::vec(prop::option::of(-62_135_596_800_i64..253_402_300_800), 1..33),
        record in any::<i64>(),
    ) {
        let newest: Vec<_> = seconds.into_iter().map(|second| second.map(|second| second * 1000)).collect();
        let position = Position { newest, record };
        let text = position.to_string();
        prop_assert_eq!(Position::parse(&text, position.newest.len()), Some(position.clone()));
        prop_assert_eq!(Position::parse(&text, position.newest.len() + 1), None);
    }

    #[test]
    fn any_text_is_a_position_or_none(text in ".{0,40}|1\\.[0-9a-z.~-]{0,40}", series in 1..4usize) {
        if let Some(position) = Position::parse(&text, series) {
            prop_assert_eq!(position.newest.len(), series);
        }
    }
}

#[test]
fn a_position_has_the_documented_form() {
    let position = Position { newest: vec![Some(1_754_265_660_000), None], record: 1_754_265_675_120 };
    assert_eq!(position.to_string(), "1.t0g01o.-~mdwchlyo");
    for text in ["", "1", "1.", "1.-", "1.-.-", "2.-.-~1", "1.-.-~", "1.+1.-~1", "1.A.-~1", "1.-.zzzzzzzzzzzzz~1"] {
        assert_eq!(Position::parse(text, 2), None, "{text}");
    }
}

#[test]
fn histories_that_are_too_many_become_one_span() {
    let mut tail = Tail::default();
    let cursor = Cursor::new(Start::Newest, tail.revision());
    for number in 0..100 {
        tail.add_history(number, number, if number == 50 { HistoryKind::Deletion } else { HistoryKind::Late });
    }
    let histories: Vec<_> = cursor.next_histories(&tail).collect();
    assert_eq!((histories[0].from, histories[0].to, histories[0].kind), (0, 84, HistoryKind::Deletion));
    assert_eq!(histories.len(), 16);
    assert_eq!(histories.last().map(|history| history.from), Some(99));
}

#[test]
fn a_candle_that_is_gone_is_dropped_and_told_when_it_comes_back() {
    let mut stored: Stored = (0..3).map(|number| (number * 60_000, 1)).collect();
    let mut tail = Tail::default();
    follow(&mut tail, &stored);
    let mut client = Client::new(Start::From(0), &tail);
    client.read(&tail, &stored);
    stored.remove(&120_000);
    follow(&mut tail, &stored);
    assert_eq!(tail.newest(), Some(60_000));
    client.read(&tail, &stored);
    stored.insert(120_000, 2);
    follow(&mut tail, &stored);
    client.read(&tail, &stored);
    assert_eq!(client.known[&120_000], 2);
}
