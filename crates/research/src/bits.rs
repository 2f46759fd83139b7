//! A set of bars.

/// A set of bars: one bit per bar, 64 bits per word, so that stretches without a member are skipped word by word.
///
/// ```
/// use research::Bits;
///
/// let mut bits = Bits::new(100);
/// bits.set(70);
/// bits.set(3);
/// assert_eq!(bits.iter_ones().collect::<Vec<_>>(), [3, 70]);
/// assert_eq!(bits.next_one(4), Some(70));
/// assert!(!bits.get(4));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    /// Bits past `len` are 0.
    words: Vec<u64>,
    len: usize,
}

const WORD: usize = u64::BITS as usize;

impl Bits {
    /// An empty set of `len` bars.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(WORD)], len }
    }

    /// The set of all of `len` bars from bar `first` on.
    #[must_use]
    pub fn from_bar(first: usize, len: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; len.div_ceil(WORD)], len };
        bits.clear_tail();
        bits.clear_before(first);
        bits
    }

    /// The set of the bars below `len` for which `holds` is true.
    #[must_use]
    pub fn from_fn(len: usize, mut holds: impl FnMut(usize) -> bool) -> Self {
        let words = (0..len.div_ceil(WORD))
            .map(|word| {
                let start = word * WORD;
                (start..len.min(start + WORD)).fold(0, |bits, bar| bits | u64::from(holds(bar)) << (bar - start))
            })
            .collect();
        Self { words, len }
    }

    /// The set of those bars whose pair of entries fulfils `holds`.
    ///
    /// # Panics
    /// When the slices differ in length.
    #[must_use]
    pub fn from_pairs<A: Copy, B: Copy>(a: &[A], b: &[B], holds: impl Fn(A, B) -> bool) -> Self {
        assert_eq!(a.len(), b.len(), "columns of one series have one length");
        let words = a
            .chunks(WORD)
            .zip(b.chunks(WORD))
            .map(|(a, b)| {
                let pairs = a.iter().zip(b).enumerate();
                pairs.fold(0, |bits, (place, (&a, &b))| bits | u64::from(holds(a, b)) << place)
            })
            .collect();
        Self { words, len: a.len() }
    }

    /// The number of bars, members or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no bar at all. To find out if a set has no members, call `iter_ones().next()`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True if `bar` is a member; false for bars past the end.
    #[must_use]
    pub fn get(&self, bar: usize) -> bool {
        self.words.get(bar / WORD).is_some_and(|word| word >> (bar % WORD) & 1 == 1)
    }

    /// Makes `bar` a member.
    ///
    /// # Panics
    /// When `bar` is past the end.
    pub fn set(&mut self, bar: usize) {
        assert!(bar < self.len, "bar {bar} of {}", self.len);
        self.words[bar / WORD] |= 1 << (bar % WORD);
    }

    /// The bits, bar 0 in the lowest bit of the first word. Bits past the last bar are 0.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The members in ascending order.
    pub fn iter_ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(place, &word)| {
            let rest = |word: &u64| (*word & (*word - 1) != 0).then(|| *word & (*word - 1));
            std::iter::successors((word != 0).then_some(word), rest)
                .map(move |word| place * WORD + word.trailing_zeros() as usize)
        })
    }

    /// The first member that is not before `bar`.
    #[must_use]
    pub fn next_one(&self, bar: usize) -> Option<usize> {
        let start = bar / WORD;
        let first = self.words.get(start)? & (u64::MAX << (bar % WORD));
        if first != 0 {
            return Some(start * WORD + first.trailing_zeros() as usize);
        }
        let place = start + 1 + self.words[start + 1..].iter().position(|&word| word != 0)?;
        Some(place * WORD + self.words[place].trailing_zeros() as usize)
    }

    /// The number of members.
    #[must_use]
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The bars that are members of both.
    ///
    /// # Panics
    /// When the sets have different numbers of bars.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// The bars that are members of either.
    ///
    /// # Panics
    /// When the sets have different numbers of bars.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// The members that the other set does not have.
    ///
    /// # Panics
    /// When the sets have different numbers of bars.
    #[must_use]
    pub fn and_not(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    /// The bars that are not members.
    #[must_use]
    pub fn not(&self) -> Self {
        let mut bits = Self { words: self.words.iter().map(|word| !word).collect(), len: self.len };
        bits.clear_tail();
        bits
    }

    /// Each member moved `bars` later. The first `bars` bars are not members, and members that pass the end are
    /// dropped.
    #[must_use]
    pub fn shifted(&self, bars: usize) -> Self {
        let mut bits = Self::new(self.len);
        let (words, places) = (bars / WORD, bars % WORD);
        for place in words..bits.words.len() {
            let source = place - words;
            bits.words[place] = self.words[source] << places;
            if places > 0 && source > 0 {
                bits.words[place] |= self.words[source - 1] >> (WORD - places);
            }
        }
        bits.clear_tail();
        bits
    }

    /// Removes all members before `bar`.
    pub fn clear_before(&mut self, bar: usize) {
        let whole = (bar / WORD).min(self.words.len());
        self.words[..whole].fill(0);
        if let Some(word) = self.words.get_mut(whole) {
            *word &= u64::MAX << (bar % WORD);
        }
    }

    fn combine(&self, other: &Self, word: impl Fn(u64, u64) -> u64) -> Self {
        assert_eq!(self.len, other.len, "sets of bars of one series have one length");
        Self { words: self.words.iter().zip(&other.words).map(|(&a, &b)| word(a, b)).collect(), len: self.len }
    }

    fn clear_tail(&mut self) {
        if let (Some(last), used @ 1..) = (self.words.last_mut(), self.len % WORD) {
            *last &= u64::MAX >> (WORD - used);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(flags: &[bool]) -> Bits {
        Bits::from_fn(flags.len(), |bar| flags[bar])
    }

    fn flags(bits: &Bits) -> Vec<bool> {
        (0..bits.len()).map(|bar| bits.get(bar)).collect()
    }

    proptest! {
        #[test]
        fn a_set_is_what_a_vector_of_flags_is(
            pairs in prop::collection::vec(any::<(bool, bool)>(), 0..300), bar in 0_usize..310,
        ) {
            let (a, b): (Vec<bool>, Vec<bool>) = pairs.iter().copied().unzip();
            let (x, y) = (of(&a), of(&b));
            let map = |f: &dyn Fn(bool, bool) -> bool| pairs.iter().map(|&(a, b)| f(a, b)).collect::<Vec<_>>();
            prop_assert_eq!(flags(&x.and(&y)), map(&|a, b| a && b));
            prop_assert_eq!(flags(&x.or(&y)), map(&|a, b| a || b));
            prop_assert_eq!(flags(&x.and_not(&y)), map(&|a, b| a && !b));
            prop_assert_eq!(flags(&x.not()), map(&|a, _| !a));
            prop_assert_eq!(x.not().not(), x.clone());
            prop_assert_eq!(&Bits::from_pairs(&a, &b, |a, b| a && b), &x.and(&y));
            let ones: Vec<usize> = (0..a.len()).filter(|&bar| a[bar]).collect();
            prop_assert_eq!(x.iter_ones().collect::<Vec<_>>(), ones.clone());
            prop_assert_eq!(x.count_ones(), ones.len());
            prop_assert_eq!(x.next_one(bar), ones.iter().copied().find(|&one| one >= bar));
            let shifted: Vec<bool> = (0..a.len()).map(|at| at >= bar && a[at - bar]).collect();
            prop_assert_eq!(flags(&x.shifted(bar)), shifted);
            let mut cleared = x.clone();
            cleared.clear_before(bar);
            prop_assert_eq!(flags(&cleared), (0..a.len()).map(|at| at >= bar && a[at]).collect::<Vec<_>>());
            prop_assert_eq!(flags(&Bits::from_bar(bar, a.len())), (0..a.len()).map(|at| at >= bar).collect::<Vec<_>>());
            // Equality compares words, so that no bit past the end may be set.
            prop_assert_eq!(x.not(), of(&a.iter().map(|flag| !flag).collect::<Vec<_>>()));
            let mut set = Bits::new(a.len());
            for bar in ones {
                set.set(bar);
            }
            prop_assert_eq!(set, x);
        }
    }

    #[test]
    #[should_panic(expected = "bar 3 of 3")]
    fn a_bar_past_the_end_cannot_be_set() {
        Bits::new(3).set(3);
    }
}
