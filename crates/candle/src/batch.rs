use super::{Candle, Key, Timestamp};

/// Whether a candle's period is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The period is still running: the candle will come again with other prices.
    Forming(Closing),
    /// The period is over: the candle is final.
    Closed,
}

/// The time at which the clock may close a forming candle that nobody posts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Never, because its sender said that it is forming.
    Never,
    /// Not by this post, which came before the candle's end and did not say whether it is complete. The decision of
    /// an earlier post stays.
    Undecided,
    /// At this time: the post came after the candle's end, and before it was certain that the clocks agree.
    Ended(Timestamp),
    /// At this time: the sender said that the candle is complete before it can be.
    Early(Timestamp),
}

/// The phase of a candle by what else its batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// The phase if the batch holds no newer candle of its series.
    pub newest: Phase,
    /// The phase if it holds one.
    pub followed: Phase,
}

impl From<Phase> for Phases {
    /// The same phase whatever else the batch holds.
    fn from(phase: Phase) -> Self {
        Self { newest: phase, followed: phase }
    }
}

/// A forming candle and when the clock may close it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forming {
    /// The candle as it is now.
    pub candle: Candle,
    /// The time at which the clock may close it.
    pub closing: Closing,
}

impl Forming {
    /// The time at which the clock closes the candle, if this state decides that it does.
    #[must_use]
    pub fn closes_at(&self) -> Option<Timestamp> {
        match self.closing {
            Closing::Ended(time) | Closing::Early(time) => Some(time),
            Closing::Never | Closing::Undecided => None,
        }
    }
}

impl AsRef<Candle> for Forming {
    fn as_ref(&self) -> &Candle {
        &self.candle
    }
}

/// Which of the batches that were merged each candle came from, counted from 0, in the order of the candles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// For each of [`Batch::closed`].
    pub closed: Vec<usize>,
    /// For each of [`Batch::forming`].
    pub forming: Vec<usize>,
}

/// Candles ready to be stored: closed apart from forming, each key at most once in both together, in key order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    closed: Vec<Candle>,
    forming: Vec<Forming>,
}

impl Batch {
    /// Joins batches into one and tells which of them each of its candles came from. Of a key that several bring closed, the
    /// first one's counts; with a forming candle no key may come twice, because which one counts is not known here.
    pub fn merge<'a>(batches: impl IntoIterator<Item = &'a Self>) -> (Self, Origins) {
        let (mut closed, mut forming) = (Vec::new(), Vec::new());
        for (origin, batch) in batches.into_iter().enumerate() {
            closed.extend(batch.closed.iter().map(|candle| (candle.clone(), origin)));
            forming.extend(batch.forming.iter().map(|forming| (forming.clone(), origin)));
        }
        // Stable, so that among equals the first batch's stays first.
        closed.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        closed.dedup_by(|(later, _), (first, _)| later.key == first.key);
        forming.sort_by(|(a, _), (b, _)| a.candle.key.cmp(&b.candle.key));
        let (closed, closed_origins) = closed.into_iter().unzip();
        let (forming, forming_origins) = forming.into_iter().unzip();
        (Self { closed, forming }, Origins { closed: closed_origins, forming: forming_origins })
    }

    /// Candles to be stored once and for all.
    #[must_use]
    pub fn closed(&self) -> &[Candle] {
        &self.closed
    }

    /// Candles that replace their earlier selves.
    #[must_use]
    pub fn forming(&self) -> &[Forming] {
        &self.forming
    }

    /// The closed candles alone.
    #[must_use]
    pub fn into_closed(self) -> Vec<Candle> {
        self.closed
    }

    /// The keys of all candles: those of the closed ones in order, then those of the forming ones in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.closed.iter().map(|candle| &candle.key).chain(self.forming.iter().map(|forming| &forming.candle.key))
    }

    /// The number of candles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.closed.len() + self.forming.len()
    }

    /// True if there are no candles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A batch, and where its candles stood among those that were sent.
#[derive(Debug, Default)]
pub struct Sorted {
    /// The candles to store.
    pub batch: Batch,
    /// The index of each of [`Batch::closed`].
    pub closed_indexes: Vec<usize>,
    /// Closed candles that gave way to a later one with their key, with their indexes.
    pub superseded: Vec<(usize, Candle)>,
    /// The indexes of candles that were called complete before they can be, ascending.
    pub early: Vec<usize>,
}

/// Makes a [`Batch`] of candles in the order in which they were sent.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    sent: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    candle: Candle,
    index: u32,
    phases: Phases,
}

impl BatchBuilder {
    /// Adds the candle that was sent at `index`. Indexes ascend.
    pub fn push(&mut self, index: usize, candle: Candle, phases: Phases) {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.sent.push(Sent { candle, index, phases });
    }

    /// Sorts the candles and, where a key comes twice, keeps the closed one, or else the one that came last.
    #[must_use]
    pub fn build(self) -> Sorted {
        let mut sent = self.sent;
        // A stable sort would need half of the memory again.
        sent.sort_unstable_by(|a, b| a.candle.key.cmp(&b.candle.key).then(a.index.cmp(&b.index)));
        let mut early = Vec::new();
        let mut has_newer = false;
        for i in (0..sent.len()).rev() {
            let key = &sent[i].candle.key;
            has_newer = sent.get(i + 1).is_some_and(|Sent { candle: Candle { key: next, .. }, .. }| {
                next.same_series(key) && (has_newer || next.time() > key.time())
            });
            let Sent { index, phases, .. } = &mut sent[i];
            let phase = if has_newer { phases.followed } else { phases.newest };
            *phases = phase.into();
            if matches!(phase, Phase::Forming(Closing::Early(_))) {
                early.push(*index as usize);
            }
        }
        early.sort_unstable();
        let mut superseded = Vec::new();
        sent.dedup_by(|later, kept| {
            if later.candle.key != kept.candle.key {
                return false;
            }
            let is_closed = |sent: &Sent| sent.phases.newest == Phase::Closed;
            if is_closed(later) || !is_closed(kept) {
                std::mem::swap(later, kept);
            }
            if is_closed(later) {
                superseded.push((later.index as usize, later.candle.clone()));
            }
            true
        });
        let (mut forming, mut closed_indexes) = (Vec::new(), Vec::new());
        // The closed ones stay in the memory of all.
        let only_closed = |Sent { candle, index, phases }| match phases.newest {
            Phase::Closed => {
                closed_indexes.push(index as usize);
                Some(candle)
            }
            Phase::Forming(closing) => {
                forming.push(Forming { candle, closing });
                None
            }
        };
        let mut closed: Vec<_> = sent.into_iter().filter_map(only_closed).collect();
        closed.shrink_to_fit();
        Sorted { batch: Batch { closed, forming }, closed_indexes, superseded, early }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{Key, Ohlc, Price, Symbol, Timeframe, Timestamp, Volume};

    /// One of few keys, so that they meet; the volume tells which candle it was.
    fn candle(symbol: &str, timeframe: Timeframe, period: i64, volume: usize) -> Candle {
        let time = Timestamp::from_seconds(period * 600).unwrap();
        let price = Price::parse("1.5").unwrap();
        Candle {
            key: Key::new(Symbol::parse(symbol).unwrap(), timeframe, time).unwrap(),
            ohlc: Ohlc::new([price; 4]).unwrap(),
            volume: Volume::parse(&volume.to_string()).unwrap(),
        }
    }

    fn sent() -> impl Strategy<Value = Vec<(Candle, Phases)>> {
        let symbol = prop_oneof![Just("A"), Just("B")];
        let timeframe = prop_oneof![Just(Timeframe::M1), Just(Timeframe::M10), Just(Timeframe::M2)];
        let at = Timestamp::from_seconds(0).unwrap();
        let phase = || {
            prop_oneof![
                Just(Phase::Closed),
                Just(Phase::Forming(Closing::Never)),
                Just(Phase::Forming(Closing::Undecided)),
                Just(Phase::Forming(Closing::Early(at))),
            ]
        };
        let phases = (phase(), phase()).prop_map(|(newest, followed)| Phases { newest, followed });
        proptest::collection::vec((symbol, timeframe, 0..4_i64, phases), 0..40).prop_map(|fields| {
            let candles = fields.into_iter().enumerate();
            candles
                .map(|(i, (symbol, timeframe, period, phases))| (candle(symbol, timeframe, period, i), phases))
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_key_is_kept_once_by_the_rules(sent in sent()) {
            let mut kept: BTreeMap<(String, String, Timestamp), (Phase, usize)> = BTreeMap::new();
            let (mut superseded, mut early) = (Vec::new(), Vec::new());
            for (index, (candle, phases)) in sent.iter().enumerate() {
                let key = &candle.key;
                let newer = sent.iter().any(|(other, _)| other.key.same_series(key) && other.key.time() > key.time());
                let phase = if newer { phases.followed } else { phases.newest };
                if matches!(phase, Phase::Forming(Closing::Early(_))) {
                    early.push(index);
                }
                let name = (key.symbol().to_string(), key.timeframe().to_string(), key.time());
                let was_closed = kept.get(&name).filter(|(phase, _)| *phase == Phase::Closed);
                match (was_closed, phase) {
                    (Some(_), Phase::Forming(_)) => {}
                    (was_closed, _) => {
                        superseded.extend(was_closed.map(|(_, index)| *index));
                        kept.insert(name, (phase, index));
                    }
                }
            }
            let indexes = |closed: bool| {
                let kept = kept.values().filter(move |(phase, _)| (*phase == Phase::Closed) == closed);
                kept.map(|(_, index)| *index).collect::<Vec<_>>()
            };
            let mut builder = BatchBuilder::default();
            for (index, (candle, phases)) in sent.iter().cloned().enumerate() {
                builder.push(index, candle, phases);
            }
            let mut sorted = builder.build();
            let of = |index: &usize| sent[*index].0.clone();
            prop_assert_eq!(sorted.batch.closed(), indexes(true).iter().map(of).collect::<Vec<_>>());
            prop_assert_eq!(&sorted.closed_indexes, &indexes(true));
            let forming: Vec<_> = sorted.batch.forming().iter().map(|forming| forming.candle.clone()).collect();
            prop_assert_eq!(forming, indexes(false).iter().map(of).collect::<Vec<_>>());
            prop_assert_eq!(sorted.early, early);
            superseded.sort_unstable();
            sorted.superseded.sort_unstable_by_key(|(index, _)| *index);
            let found: Vec<_> = superseded.iter().map(|index| (*index, of(index))).collect();
            prop_assert_eq!(sorted.superseded, found);
        }
    }
}
