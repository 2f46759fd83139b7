use super::{Candle, Key, Timestamp};

/// The state of a candle's period: still running, or over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The period is still running, so the candle will be sent again with other prices.
    Forming(Closing),
    /// The period is over, so the candle is final.
    Closed,
}

/// The time at which the clock may close a forming candle that is not posted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Never, because the sender said that the candle is forming.
    Never,
    /// This post does not decide, because it arrived before the candle's end and did not say whether the candle is
    /// complete. The decision of an earlier post stands.
    Undecided,
    /// At this time. The post arrived after the candle's nominal end, but before the end was certain by the server's clock.
    Ended(Timestamp),
    /// At this time. The sender called the candle complete before its period can be over.
    Early(Timestamp),
}

/// A candle's phase, which depends on whether its batch holds a newer candle of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// The phase if the batch holds no newer candle of its series.
    pub newest: Phase,
    /// The phase if the batch holds a newer candle of its series.
    pub followed: Phase,
}

impl From<Phase> for Phases {
    /// Uses `phase` in both cases.
    fn from(phase: Phase) -> Self {
        Self { newest: phase, followed: phase }
    }
}

/// A forming candle, with the time at which the clock may close it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forming {
    /// The candle as it is now.
    pub candle: Candle,
    /// The time at which the clock may close it.
    pub closing: Closing,
}

impl Forming {
    /// The time at which the clock closes the candle; `None` if it never does or the post does not decide.
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

/// The batch that a candle of a merged batch came from, and its position there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The index of the batch, counted from 0.
    pub batch: usize,
    /// The position in [`Batch::closed`] or [`Batch::forming`] of that batch.
    pub position: usize,
}

/// The origin of each candle of a merged batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// The origins of [`Batch::closed`], in the same order.
    pub closed: Vec<Origin>,
    /// The origins of [`Batch::forming`], in the same order.
    pub forming: Vec<Origin>,
}

impl Origins {
    /// Divides the changes of a merged batch among the `count` batches that were merged.
    #[must_use]
    pub fn divide(&self, written: &Written, count: usize) -> Vec<Written> {
        let mut divided = vec![Written::default(); count];
        for origin in written.closed.iter().filter_map(|position| self.closed.get(*position)) {
            divided[origin.batch].closed.push(origin.position);
        }
        for origin in written.forming.iter().filter_map(|position| self.forming.get(*position)) {
            divided[origin.batch].forming.push(origin.position);
        }
        divided
    }
}

/// The candles of a batch that changed something in the database, by their positions in the batch, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Positions in [`Batch::closed`] of the candles that were not stored before.
    pub closed: Vec<usize>,
    /// Positions in [`Batch::forming`] of the candles that were stored or replaced an earlier state.
    pub forming: Vec<usize>,
}

/// Candles ready to be stored, the closed and the forming ones each in key order.
///
/// A key occurs at most once in both together. [`BatchBuilder`] builds a batch.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    closed: Vec<Candle>,
    forming: Vec<Forming>,
}

impl Batch {
    /// Merges batches, and returns the origin of each candle.
    ///
    /// If several batches hold a closed candle with the same key, the first of them is kept. The key of a forming
    /// candle must not occur twice, because this function cannot decide which of the two to keep.
    pub fn merge<'a>(batches: impl IntoIterator<Item = &'a Self>) -> (Self, Origins) {
        let (mut closed, mut forming) = (Vec::new(), Vec::new());
        for (batch, Self { closed: of_closed, forming: of_forming }) in batches.into_iter().enumerate() {
            let origin = |position| Origin { batch, position };
            closed.extend(of_closed.iter().enumerate().map(|(position, candle)| (candle.clone(), origin(position))));
            forming.extend(of_forming.iter().enumerate().map(|(position, state)| (state.clone(), origin(position))));
        }
        // Stable, so that among equal keys the first batch's candle stays first.
        closed.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        closed.dedup_by(|(later, _), (first, _)| later.key == first.key);
        forming.sort_by(|(a, _), (b, _)| a.candle.key.cmp(&b.candle.key));
        let (closed, closed_origins) = closed.into_iter().unzip();
        let (forming, forming_origins) = forming.into_iter().unzip();
        (Self { closed, forming }, Origins { closed: closed_origins, forming: forming_origins })
    }

    /// The closed candles, which are stored once and never change.
    #[must_use]
    pub fn closed(&self) -> &[Candle] {
        &self.closed
    }

    /// The forming candles, which replace their earlier states.
    #[must_use]
    pub fn forming(&self) -> &[Forming] {
        &self.forming
    }

    /// The closed candles, without the forming ones.
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

/// A batch, with the indexes at which its candles were sent.
#[derive(Debug, Default)]
pub struct Sorted {
    /// The candles to store.
    pub batch: Batch,
    /// The indexes of [`Batch::closed`], in the same order.
    pub closed_indexes: Vec<usize>,
    /// Closed candles that a later one with the same key replaced, with their indexes.
    pub superseded: Vec<(usize, Candle)>,
    /// The indexes of candles that were called complete before their period can be over, ascending.
    pub early: Vec<usize>,
}

/// Builds a [`Batch`] from candles in the order in which they were sent.
///
/// ```
/// use candle::{BatchBuilder, Candle, Key, Ohlc, Phase, Price, Symbol, Timeframe, Timestamp, Volume};
///
/// # fn main() -> Result<(), candle::ValueError> {
/// let symbol = Symbol::parse("EURUSD")?;
/// let candle = |time: &str, price: &str| -> Result<Candle, candle::ValueError> {
///     Ok(Candle {
///         key: Key::new(symbol.clone(), Timeframe::H1, Timestamp::parse(time, None, None)?.time)?,
///         ohlc: Ohlc::new([Price::parse(price)?; 4]).expect("equal prices are consistent"),
///         volume: Volume::parse("1200")?,
///     })
/// };
/// let mut builder = BatchBuilder::default();
/// builder.push(0, candle("2025-08-03T11:00:00Z", "1.0850")?, Phase::Closed.into());
/// builder.push(1, candle("2025-08-03T10:00:00Z", "1.0845")?, Phase::Closed.into());
/// builder.push(2, candle("2025-08-03T11:00:00Z", "1.0851")?, Phase::Closed.into());
///
/// let sorted = builder.build();
/// assert_eq!(sorted.closed_indexes, [1, 2], "in key order, and the later one of two with the same key");
/// assert_eq!(sorted.superseded[0].0, 0);
/// # Ok(())
/// # }
/// ```
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
    /// Adds the candle that was sent at `index`. Indexes must ascend.
    pub fn push(&mut self, index: usize, candle: Candle, phases: Phases) {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.sent.push(Sent { candle, index, phases });
    }

    /// Sorts the candles by key. If a key occurs twice, a closed candle takes precedence over a forming one, and
    /// otherwise the later one over the earlier.
    #[must_use]
    pub fn build(self) -> Sorted {
        let mut sent = self.sent;
        // Not stable, because a stable sort would allocate half of the memory again.
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
        // Collecting in place keeps the closed candles in the allocation of all.
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

    /// A candle with one of few keys, so that keys collide. Its volume identifies it.
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
