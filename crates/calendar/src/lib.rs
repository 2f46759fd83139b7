//! Where the days, weeks and months of a market begin, and the buckets of longer candles within them.
