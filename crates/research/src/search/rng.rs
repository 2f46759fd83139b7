//! Random numbers that depend only on the seed and on the place at which they are used.

/// The seed of a search. Its random numbers depend on it and on their place in the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seed {
    /// Chosen by the caller.
    pub seed: u64,
    /// The item of a request.
    pub item: u64,
    /// The window of a walk-forward run.
    pub window: u64,
}

impl Seed {
    /// A number that differs between all seeds, for generators that take one.
    pub(super) fn mixed(self) -> u64 {
        self.stream(u64::MAX, 0).next_u64()
    }

    /// The random numbers of place `index` in generation `generation`. Streams do not depend on each other, so that
    /// the order in which threads use them does not matter.
    pub(super) fn stream(self, generation: u64, index: u64) -> Stream {
        let words = [self.item, self.window, generation, index];
        let key = words
            .into_iter()
            .fold(mix(self.seed ^ INCREMENT), |key, word| mix(key.wrapping_add(INCREMENT) ^ mix(word)));
        Stream { key, counter: 0 }
    }
}

/// Random numbers of one place.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    key: u64,
    counter: u64,
}

/// 2^64 divided by the golden ratio, the increment of SplitMix64.
const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64 (Steele, Lea and Flood 2014; constants of Stafford's variant 13).
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Stream {
    pub(super) fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(INCREMENT);
        mix(self.key.wrapping_add(self.counter))
    }

    /// A number of at least 0 and below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit into a double")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A whole number below `bound`, which is above 0.
    #[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below the bound, which fits")]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Brings `items` into a random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_place_changes_the_numbers() {
        let seed = Seed { seed: 1, item: 2, window: 3 };
        let first = |seed: Seed, generation, index| seed.stream(generation, index).next_u64();
        let all = [
            first(seed, 4, 5),
            first(Seed { seed: 2, ..seed }, 4, 5),
            first(Seed { item: 3, ..seed }, 4, 5),
            first(Seed { window: 4, ..seed }, 4, 5),
            first(Seed { item: 3, window: 2, ..seed }, 4, 5),
            first(seed, 5, 5),
            first(seed, 4, 6),
            first(seed, 5, 4),
        ];
        let mut distinct = all.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(first(seed, 4, 5), all[0]);
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut stream = Seed::default().stream(0, 0);
        let mut counts = [0_u32; 10];
        let mut sum = 0.0;
        for _ in 0..100_000 {
            counts[stream.below(10)] += 1;
            let unit = stream.unit();
            assert!((0.0..1.0).contains(&unit));
            sum += unit;
        }
        // Five standard deviations: 95 for a count, 0.0046 for the mean.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 475), "{counts:?}");
        assert!((sum / 100_000.0 - 0.5).abs() < 0.0046);
        let mut items: Vec<u32> = (0..100).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
