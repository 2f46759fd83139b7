use super::Candle;

/// Whether a candle's period is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The period is still running: the candle will come again with other prices.
    Forming,
    /// The period is over: the candle is final.
    Closed,
}

/// Candles ready to be stored: closed apart from forming, each key at most once in both together, in key order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    closed: Vec<Candle>,
    forming: Vec<Candle>,
}

impl Batch {
    /// Sorts `candles` and, where a key comes twice, keeps the closed one, or else the one that came last.
    #[must_use]
    pub fn new(mut candles: Vec<(Candle, Phase)>) -> Self {
        // Stable, so that among equals the last one sent stays last.
        candles.sort_by(|(a, a_phase), (b, b_phase)| a.key.cmp(&b.key).then(a_phase.cmp(b_phase)));
        let mut batch = Self::default();
        let mut candles = candles.into_iter().peekable();
        while let Some((candle, phase)) = candles.next() {
            if candles.peek().is_some_and(|(next, _)| next.key == candle.key) {
                continue;
            }
            match phase {
                Phase::Closed => batch.closed.push(candle),
                Phase::Forming => batch.forming.push(candle),
            }
        }
        batch
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
