//! Numbers as people read them.

/// A number with commas between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let place = |at: usize| (digits.len() - at).is_multiple_of(3) && at > 0;
    digits.char_indices().flat_map(|(at, digit)| place(at).then_some(',').into_iter().chain([digit])).collect()
}

/// A number of things: `1 line`, `2 lines`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "line", "lines"), "1 line");
        assert_eq!(counted(1200, "line", "lines"), "1,200 lines");
    }
}
