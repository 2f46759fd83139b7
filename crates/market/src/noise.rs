//! Smooth noise: random heights at the multiples of a span, and a smooth curve between them.

/// Noise of one span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Octave {
    pub(crate) seed: u64,
    /// The milliseconds between two heights.
    pub(crate) span: f64,
    /// The greatest height.
    pub(crate) height: f64,
}

impl Octave {
    /// Its value at an instant, between −`height` and `height`.
    pub(crate) fn at(&self, time: i64) -> f64 {
        // Shifted, so that the turning points of different seeds do not coincide.
        let place = super::whole(time) / self.span + fraction(self.seed, -1);
        let left = place.floor();
        let within = place - left;
        let number = super::to_whole(left);
        let (from, to) = (self.turning_point(number), self.turning_point(number + 1));
        let smooth = within * within * (3.0 - 2.0 * within);
        self.height * (from + (to - from) * smooth)
    }

    fn turning_point(&self, number: i64) -> f64 {
        fraction(self.seed, number) * 2.0 - 1.0
    }
}

/// A random number from 0 to 1, the same for the same arguments (SplitMix64, Steele, Lea and Flood 2014).
pub(crate) fn fraction(seed: u64, number: i64) -> f64 {
    let mut bits = number.cast_unsigned().wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
        bits = (bits ^ (bits >> shift)).wrapping_mul(factor);
    }
    bits ^= bits >> 31;
    let top = u32::try_from(bits >> 32).unwrap_or_default();
    f64::from(top) / f64::from(u32::MAX)
}
