//! The queue against a model of it: what is answered, in which order, and how fairly.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle::{
    Batch, BatchBuilder, Candle, Closing, Key, Ohlc, Phase, Price, Symbol, Timeframe, Timestamp, Volume, Written,
};
use coalescer::{Group, Limits, Poster, Queue, Size};
use proptest::prelude::*;

/// A candle of a batch: its hour, its volume, the digits of its price, and its phase.
type Posted = (i64, i64, usize, Phase);

/// The phase of a candle that a terminal sends without saying whether it is complete.
const FORMING: Phase = Phase::Forming(Closing::Undecided);

fn batch(candles: &[Posted]) -> Arc<Batch> {
    let mut builder = BatchBuilder::default();
    for (index, (hour, volume, digits, phase)) in candles.iter().enumerate() {
        let price = Price::parse(&format!("1.{}", "0".repeat(*digits + 1))).unwrap();
        let candle = Candle {
            key: Key::new(Symbol::parse("S").unwrap(), Timeframe::H1, Timestamp::from_seconds(hour * 3600).unwrap())
                .unwrap(),
            ohlc: Ohlc::new([price; 4]).unwrap(),
            volume: Volume::parse(&volume.to_string()).unwrap(),
        };
        builder.push(index, candle, (*phase).into());
    }
    Arc::new(builder.build().batch)
}

/// The tables, by opening time.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tables {
    closed: BTreeMap<Timestamp, Candle>,
    forming: BTreeMap<Timestamp, (Candle, Option<Closing>)>,
}

impl Tables {
    /// Stores a batch as the databases do: a closed candle is stored once, a forming one replaces a state of no more volume
    /// unless a closed one has its key.
    fn write(&mut self, batch: &Batch) -> Written {
        let mut written = Written::default();
        for (position, candle) in batch.closed().iter().enumerate() {
            if let Entry::Vacant(place) = self.closed.entry(candle.key.time()) {
                place.insert(candle.clone());
                written.closed.push(position);
            }
        }
        for (position, forming) in batch.forming().iter().enumerate() {
            let (time, candle) = (forming.candle.key.time(), &forming.candle);
            let stored = self.forming.get(&time).cloned();
            let is_newer = stored.as_ref().is_none_or(|(stored, _)| stored.volume <= candle.volume);
            if is_newer && !self.closed.contains_key(&time) {
                let decided = Some(forming.closing).filter(|closing| *closing != Closing::Undecided);
                self.forming.insert(time, (candle.clone(), decided.or(stored.and_then(|(_, closing)| closing))));
                written.forming.push(position);
            }
        }
        written
    }

    /// Keeps the times of states that were not stored, as posters ask for after their answer.
    fn keep_times(&mut self, batch: &Batch, written: &Written) {
        for (position, forming) in batch.forming().iter().enumerate() {
            if let Some((_, closing)) = self.forming.get_mut(&forming.candle.key.time())
                && forming.closes_at().is_some()
                && !written.forming.contains(&position)
            {
                *closing = Some(forming.closing);
            }
        }
    }

    /// Stores a group as one statement does, which reads the tables as they were before it.
    fn write_as_one(&mut self, group: &Group<usize>) -> Vec<Written> {
        let (merged, origins) = Batch::merge(group.batches().map(|batch| &**batch));
        let keys: BTreeSet<_> = merged.keys().map(Key::time).collect();
        assert_eq!(keys.len(), merged.len(), "no candle occurs twice in one statement");
        origins.divide(&self.write(&merged), group.batches().len())
    }
}

/// Every forming state with the digits that it was posted with, which equality of prices leaves out.
fn shown(tables: &Tables) -> String {
    format!("{tables:?}")
}

#[derive(Debug, Clone)]
enum Step {
    Push { poster: usize, candles: Vec<Posted> },
    Write,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few keys and volumes, so that states collide; mostly single forming candles, as terminals send them.
    let ended = Timestamp::from_seconds(7200).unwrap();
    let phase = || {
        prop_oneof![
            6 => Just(FORMING),
            1 => Just(Phase::Forming(Closing::Never)),
            1 => Just(Phase::Forming(Closing::Ended(ended))),
        ]
    };
    let candle = (0..4_i64, 0..4_i64, 0..2_usize, prop_oneof![3 => phase(), 1 => Just(Phase::Closed)]);
    let push = (
        0..3_usize,
        prop_oneof![
            3 => prop::collection::vec((0..2_i64, 0..3_i64, 0..3_usize, phase()), 1..3),
            1 => prop::collection::vec(candle, 1..5),
        ],
    );
    let push = push.prop_map(|(poster, candles)| Step::Push { poster, candles });
    prop::collection::vec(prop_oneof![4 => push, 1 => Just(Step::Write)], 1..60)
}

fn poster(number: impl Display) -> Poster {
    format!("poster {number}").into()
}

const ROOMY: Size = Size { candles: 100_000, bytes: usize::MAX };

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// Every batch is answered once, with what it changed when the batches of a group are written one after the other and
    /// the riders right after theirs; and the tables hold what that order leads to, though riders are never written.
    #[test]
    fn answers_are_those_of_a_serial_order(steps in steps(), one_batch: bool) {
        let mut queue = Queue::new(Limits { group_candles: 10, waiting: ROOMY, one_batch });
        let (mut stored, mut serial) = (Tables::default(), Tables::default());
        let (mut batches, mut answered) = (Vec::new(), BTreeMap::new());
        let write_by = Instant::now();
        let last = std::iter::repeat_n(Step::Write, steps.len());
        for step in steps.iter().cloned().chain(last) {
            match step {
                Step::Push { poster: number, candles } => {
                    let batch = batch(&candles);
                    batches.push(Arc::clone(&batch));
                    let refused = queue.push(&poster(number), batch, write_by, batches.len() - 1);
                    prop_assert!(refused.is_empty());
                }
                Step::Write => {
                    let group = queue.take();
                    let members: Vec<_> = group.batches().map(Arc::clone).collect();
                    prop_assert!(members.len() < 2 || members.iter().map(|batch| batch.len()).sum::<usize>() <= 10);
                    let written = if one_batch {
                        stored.write_as_one(&group)
                    } else {
                        members.iter().map(|batch| stored.write(batch)).collect()
                    };
                    let mut left: Vec<(usize, Written)> = group.answers(written).collect();
                    let answers = left.clone();
                    // The riders of a member are answered before it. Those of the same volume count before it, too, and the
                    // others after it.
                    for member in &members {
                        let own = left.iter().position(|(ticket, _)| Arc::ptr_eq(&batches[*ticket], member)).unwrap();
                        let (mut order, later): (Vec<_>, Vec<_>) = left.drain(..own).partition(|(ticket, _)| {
                            let (rider, member) = (batches[*ticket].forming(), member.forming());
                            rider.len() == 1 && rider[0].candle.volume == member[0].candle.volume
                        });
                        order.extend(left.drain(..1));
                        order.extend(later);
                        for (ticket, written) in order {
                            prop_assert_eq!(&serial.write(&batches[ticket]), &written, "{:?}", &batches[ticket]);
                            prop_assert!(answered.insert(ticket, written).is_none());
                        }
                    }
                    prop_assert!(left.is_empty());
                    for (ticket, written) in &answers {
                        stored.keep_times(&batches[*ticket], written);
                        serial.keep_times(&batches[*ticket], written);
                    }
                    prop_assert_eq!(shown(&stored), shown(&serial));
                }
            }
        }
        prop_assert!(queue.is_empty());
        prop_assert_eq!(queue.waiting(), Size::default());
        prop_assert_eq!(answered.len(), batches.len());
    }

    /// A group that is split again and again, as after a refused candle, loses nobody.
    #[test]
    fn smaller_groups_hold_everybody(steps in steps()) {
        let mut queue = Queue::new(Limits { group_candles: 1000, waiting: ROOMY, one_batch: true });
        let mut pushed = 0;
        for step in steps {
            let Step::Push { poster: number, candles } = step else { continue };
            let _ = queue.push(&poster(number), batch(&candles), Instant::now(), pushed);
            pushed += 1;
        }
        let mut tickets = Vec::new();
        while !queue.is_empty() {
            let mut parts = vec![queue.take()];
            while let Some(part) = parts.pop() {
                match part.split() {
                    Ok(smaller) => parts.extend(smaller),
                    Err(whole) => {
                        prop_assert_eq!((whole.batches().len(), whole.tickets().count()), (1, 1));
                        tickets.extend(whole.into_tickets());
                    }
                }
            }
        }
        tickets.sort_unstable();
        prop_assert_eq!(tickets, (0..pushed).collect::<Vec<_>>());
    }

    /// A group has at least a poster's share of its batches, however much the others have waiting. Where batches are larger
    /// than a share, posters take turns.
    #[test]
    fn every_poster_gets_its_share(
        counts in prop::collection::vec(1..200_usize, 2..8),
        sizes in prop::collection::vec(1..20_u8, 8),
    ) {
        const ROOM: usize = 100;
        let mut queue = Queue::new(Limits { group_candles: ROOM, waiting: ROOMY, one_batch: true });
        let mut hour = 0;
        for (number, (count, size)) in counts.iter().zip(&sizes).enumerate() {
            for _ in 0..*count {
                let candles: Vec<_> = (0..i64::from(*size)).map(|offset| (hour + offset, 1, 0, Phase::Closed)).collect();
                hour += 20;
                prop_assert!(queue.push(&poster(number), batch(&candles), Instant::now(), number).is_empty());
            }
        }
        let share = ROOM / counts.len();
        let sizes: Vec<_> = sizes.into_iter().map(usize::from).collect();
        let group: Vec<usize> = queue.take().into_tickets().collect();
        let mut waiting: BTreeSet<_> = (0..counts.len()).collect();
        waiting.retain(|number| !group.contains(number));
        if sizes.iter().all(|size| *size <= share) {
            for (number, count) in counts.iter().enumerate() {
                let taken = group.iter().filter(|ticket| **ticket == number).count();
                prop_assert!(taken >= (*count).min(share / sizes[number]), "{number}: {taken}");
            }
        }
        // Two groups hold one batch of everybody: eight batches of at most twenty candles.
        for number in queue.take().into_tickets() {
            waiting.remove(&number);
        }
        prop_assert!(waiting.is_empty(), "{waiting:?} waited for a third group");
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// One forming candle.
fn state(volume: i64) -> Arc<Batch> {
    batch(&[(0, volume, 0, FORMING)])
}

#[test]
fn a_flood_of_states_of_one_candle_is_one_write() {
    let mut queue = Queue::new(Limits { group_candles: 1000, waiting: ROOMY, one_batch: true });
    for volume in 0..5000 {
        assert!(queue.push(&poster(0), state(volume), Instant::now(), volume).is_empty());
    }
    assert!(queue.push(&poster(1), batch(&[(7, 1, 0, Phase::Closed)]), Instant::now(), -1).is_empty());
    let group = queue.take();
    assert_eq!(group.batches().len(), 2, "the newest state and the other poster's candle");
    assert_eq!(group.tickets().count(), 5001);
    assert!(queue.is_empty());
    let answers =
        group.answers(vec![Written { closed: vec![], forming: vec![0] }, Written { closed: vec![0], forming: vec![] }]);
    let stored: Vec<_> =
        answers.filter(|(_, written)| *written != Written::default()).map(|(ticket, _)| ticket).collect();
    assert_eq!(stored, [4999, -1]);
}

#[test]
fn of_states_with_the_same_volume_the_latest_is_written() {
    let mut queue = Queue::new(Limits { group_candles: 1000, waiting: ROOMY, one_batch: true });
    for digits in [0, 1, 2] {
        assert!(queue.push(&poster(0), batch(&[(0, 5, digits, FORMING)]), Instant::now(), digits).is_empty());
    }
    let group = queue.take();
    let written = group.batches().next().unwrap().forming()[0].candle.ohlc.get(candle::OhlcField::Open).to_string();
    assert_eq!((group.batches().len(), written.as_str()), (1, "1.000"));
    let answers = group.answers(vec![Written { closed: vec![], forming: vec![0] }]);
    assert!(answers.into_iter().all(|(_, written)| written.forming == [0]), "each was stored and replaced by the next");
}

#[test]
fn a_refused_poster_is_bisected_alone() {
    let mut queue = Queue::new(Limits { group_candles: 1000, waiting: ROOMY, one_batch: true });
    for ticket in 0..30 {
        let batch = batch(&[(ticket, 1, 0, Phase::Closed)]);
        assert!(queue.push(&poster(ticket % 3), batch, Instant::now(), ticket).is_empty());
    }
    let parts = queue.take().split().unwrap();
    assert_eq!(parts.len(), 3);
    for part in parts {
        assert!(part.is_of_one_poster());
        let of = part.tickets().next().unwrap() % 3;
        assert_eq!(part.tickets().filter(|ticket| **ticket % 3 == of).count(), 10);
        queue.put_back(part);
    }
    assert_eq!(queue.waiting().candles, 30);
    assert_eq!(queue.take().tickets().count(), 30);
    assert!(queue.is_empty());
}

#[test]
fn a_poster_that_fills_the_queue_keeps_nobody_out() {
    let room = Size { candles: 100, bytes: usize::MAX };
    let mut queue = Queue::new(Limits { group_candles: 10, waiting: room, one_batch: true });
    let mut refused = Vec::new();
    for hour in 0..150 {
        refused.extend(queue.push(&poster(0), batch(&[(hour, 1, 0, Phase::Closed)]), Instant::now(), (0, hour)));
    }
    assert_eq!(refused, (100..150).map(|hour| (0, hour)).collect::<Vec<_>>(), "its own newest");
    for hour in 200..210 {
        let gone = queue.push(&poster(1), batch(&[(hour, 1, 0, Phase::Closed)]), Instant::now(), (1, hour));
        assert_eq!(gone, [(0, 299 - hour)], "the newest of the poster that has more");
    }
    assert_eq!(queue.waiting().candles, 100);
}

#[test]
fn one_batch_may_wait_whatever_its_size() {
    let room = Size { candles: 2, bytes: usize::MAX };
    let mut queue = Queue::new(Limits { group_candles: 2, waiting: room, one_batch: false });
    let large: Vec<_> = (0..5).map(|hour| (hour, 1, 0, Phase::Closed)).collect();
    assert!(queue.push(&poster(0), batch(&large), Instant::now(), 'a').is_empty());
    assert_eq!(queue.push(&poster(0), batch(&large), Instant::now(), 'b'), ['b']);
    assert_eq!(queue.take().into_tickets().collect::<Vec<_>>(), ['a']);
}

#[test]
fn a_batch_as_large_as_a_group_has_its_turn() {
    let mut queue = Queue::new(Limits { group_candles: 10, waiting: ROOMY, one_batch: false });
    let large: Vec<_> = (0..10).map(|hour| (hour, 1, 0, Phase::Closed)).collect();
    let mut turns = 0;
    assert!(queue.push(&poster(0), batch(&[(1, 1, 0, Phase::Closed)]), Instant::now(), 0).is_empty());
    assert!(queue.push(&poster(1), batch(&large), Instant::now(), -1).is_empty());
    for next in 1..10 {
        // Another small batch has come before each group.
        assert!(queue.push(&poster(0), batch(&[(next, 1, 0, Phase::Closed)]), Instant::now(), next).is_empty());
        turns += 1;
        if queue.take().into_tickets().any(|ticket| ticket == -1) {
            break;
        }
    }
    assert!(turns <= 2, "{turns}");
}

#[test]
fn what_is_overdue_leaves_the_queue_and_the_group() {
    let start = Instant::now();
    let mut queue = Queue::new(Limits { group_candles: 1000, waiting: ROOMY, one_batch: true });
    // It came later and has to be written earlier.
    for (ticket, hours) in [(0, 2), (1, 4), (2, 1), (3, 3)] {
        let batch = batch(&[(ticket, 1, 0, Phase::Closed)]);
        assert!(queue.push(&poster(0), batch, start + hours * HOUR, ticket).is_empty());
    }
    assert!(queue.expire(start).is_empty());
    assert_eq!(queue.expire(start + HOUR), [2]);
    let mut group = queue.take();
    assert_eq!(group.tickets().collect::<Vec<_>>(), [&0, &3, &1]);
    assert_eq!(group.write_by(), Some(start + 2 * HOUR));
    assert_eq!(group.expire(start + 3 * HOUR), [0, 3]);
    assert_eq!(group.tickets().collect::<Vec<_>>(), [&1]);
}

#[test]
fn the_newest_rider_takes_the_place_of_an_overdue_batch() {
    let start = Instant::now();
    let mut queue = Queue::new(Limits { group_candles: 1000, waiting: ROOMY, one_batch: true });
    for (volume, hours) in [(1, 2), (2, 3), (3, 1), (0, 1)] {
        // Of four posters, because a lane is in the order of time.
        let refused = queue.push(&poster(volume), state(volume), start + hours * HOUR, volume);
        assert!(refused.is_empty());
    }
    let mut group = queue.take();
    assert_eq!((group.batches().len(), group.write_by()), (1, Some(start + HOUR)));
    let mut expired = group.expire(start + HOUR);
    expired.sort_unstable();
    assert_eq!(expired, [0, 3]);
    assert!(group.has_time(start + HOUR));
    let written = group.batches().next().unwrap().forming()[0].candle.volume.get();
    assert_eq!((written, group.tickets().count()), (2, 2));
    assert_eq!(group.expire(start + 3 * HOUR).len(), 2);
    assert!(group.is_empty());
}
