use super::Candle;

/// Whether a candle's period is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The period is still running: the candle will come again with other prices.
    Forming,
    /// The period is over: the candle is final.
    Closed,
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
    forming: Vec<Candle>,
}

impl Batch {
    /// Joins batches into one and tells which of them each of its candles came from. Of a key that several bring closed, the
    /// first one's counts; with a forming candle no key may come twice, because which one counts is not known here.
    pub fn merge<'a>(batches: impl IntoIterator<Item = &'a Self>) -> (Self, Origins) {
        let (mut closed, mut forming) = (Vec::new(), Vec::new());
        for (origin, batch) in batches.into_iter().enumerate() {
            closed.extend(batch.closed.iter().map(|candle| (candle.clone(), origin)));
            forming.extend(batch.forming.iter().map(|candle| (candle.clone(), origin)));
        }
        // Stable, so that among equals the first batch's stays first.
        closed.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        closed.dedup_by(|(later, _), (first, _)| later.key == first.key);
        forming.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
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
    pub fn forming(&self) -> &[Candle] {
        &self.forming
    }
}

/// Makes a [`Batch`] of candles in the order in which they were sent.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    sent: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    candle: Candle,
    place: u32,
    phase: Option<Phase>,
}

impl BatchBuilder {
    /// Adds a candle. Without a phase it is closed if the batch holds a newer one of its series, and forming if not.
    pub fn push(&mut self, candle: Candle, phase: Option<Phase>) {
        let place = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        self.sent.push(Sent { candle, place, phase });
    }

    /// Sorts the candles and, where a key comes twice, keeps the closed one, or else the one that came last.
    #[must_use]
    pub fn build(self) -> Batch {
        let mut sent = self.sent;
        // A stable sort would need half of the memory again.
        sent.sort_unstable_by(|a, b| a.candle.key.cmp(&b.candle.key).then(a.place.cmp(&b.place)));
        let mut has_newer = false;
        for i in (0..sent.len()).rev() {
            let key = &sent[i].candle.key;
            has_newer = sent.get(i + 1).is_some_and(|Sent { candle: Candle { key: next, .. }, .. }| {
                next.same_series(key) && (has_newer || next.time() > key.time())
            });
            sent[i].phase.get_or_insert(if has_newer { Phase::Closed } else { Phase::Forming });
        }
        sent.dedup_by(|later, kept| {
            let twice = later.candle.key == kept.candle.key;
            if twice && later.phase >= kept.phase {
                std::mem::swap(later, kept);
            }
            twice
        });
        let mut forming = Vec::new();
        // The closed ones stay in the memory of all.
        let only_closed = |Sent { candle, phase, .. }| {
            if phase == Some(Phase::Closed) {
                return Some(candle);
            }
            forming.push(candle);
            None
        };
        let mut closed: Vec<_> = sent.into_iter().filter_map(only_closed).collect();
        closed.shrink_to_fit();
        Batch { closed, forming }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::candle::{Key, Ohlc, Price, Symbol, Timeframe, Timestamp, Volume};

    /// One of few keys, so that they meet; the volume tells which candle it was.
    fn candle(symbol: &str, timeframe: Timeframe, minute: i64, volume: usize) -> Candle {
        let time = Timestamp::from_seconds(minute * 60).unwrap();
        let price = Price::parse("1.5").unwrap();
        Candle {
            key: Key::new(Symbol::parse(symbol).unwrap(), timeframe, time).unwrap(),
            ohlc: Ohlc::new([price; 4]).unwrap(),
            volume: Volume::parse(&volume.to_string()).unwrap(),
        }
    }

    fn sent() -> impl Strategy<Value = Vec<(Candle, Option<Phase>)>> {
        let symbol = prop_oneof![Just("A"), Just("B")];
        let timeframe = prop_oneof![Just(Timeframe::M1), Just(Timeframe::M10), Just(Timeframe::M2)];
        let phase = prop_oneof![Just(None), Just(Some(Phase::Forming)), Just(Some(Phase::Closed))];
        proptest::collection::vec((symbol, timeframe, 0..4_i64, phase), 0..40).prop_map(|fields| {
            let candles = fields.into_iter().enumerate();
            candles
                .map(|(i, (symbol, timeframe, minute, phase))| (candle(symbol, timeframe, minute, i), phase))
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_key_is_kept_once_by_the_rules(sent in sent()) {
            let mut kept: BTreeMap<(String, String, Timestamp), (Phase, Candle)> = BTreeMap::new();
            for (candle, phase) in &sent {
                let key = &candle.key;
                let newer = sent.iter().any(|(other, _)| other.key.same_series(key) && other.key.time() > key.time());
                let phase = phase.unwrap_or(if newer { Phase::Closed } else { Phase::Forming });
                let name = (key.symbol().to_string(), key.timeframe().to_string(), key.time());
                match kept.get(&name) {
                    Some((Phase::Closed, _)) if phase == Phase::Forming => {}
                    _ => drop(kept.insert(name, (phase, candle.clone()))),
                }
            }
            let of = |wanted| kept.values().filter(move |(phase, _)| *phase == wanted).map(|(_, candle)| candle.clone());
            let mut builder = BatchBuilder::default();
            for (candle, phase) in sent {
                builder.push(candle, phase);
            }
            let batch = builder.build();
            prop_assert_eq!(batch.closed(), of(Phase::Closed).collect::<Vec<_>>());
            prop_assert_eq!(batch.forming(), of(Phase::Forming).collect::<Vec<_>>());
        }
    }
}
