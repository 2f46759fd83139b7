//! Stored prices in plain decimal form, compared and shortened as text: exactly, and however many digits another
//! program stored.

use std::cmp::Ordering;

/// Compares two plain decimals by value: 1.1 equals 1.10.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (negative, one) = split_sign(one);
    let (other_negative, other) = split_sign(other);
    match (negative, other_negative) {
        (false, false) => compare_magnitudes(one, other),
        (true, true) => compare_magnitudes(other, one),
        _ if is_zero(one) && is_zero(other) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// A plain decimal without trailing zeros behind the point, and zero without a sign.
pub(super) fn trimmed(decimal: &str) -> &str {
    let short = if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal };
    if short == "-0" { "0" } else { short }
}

fn split_sign(decimal: &str) -> (bool, &str) {
    decimal.strip_prefix('-').map_or((false, decimal), |magnitude| (true, magnitude))
}

fn is_zero(magnitude: &str) -> bool {
    magnitude.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Neither has a sign or zeros before its first digit, so that the longer whole part is the greater one.
fn compare_magnitudes(one: &str, other: &str) -> Ordering {
    let split = |magnitude: &'_ str| magnitude.find('.').unwrap_or(magnitude.len());
    let (point, other_point) = (split(one), split(other));
    if point != other_point {
        return point.cmp(&other_point);
    }
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let common = one.len().min(other.len());
    // Both points are at the same place, so digits of the same weight are compared.
    one[..common].cmp(&other[..common]).then_with(|| {
        let rest = |decimal: &[u8]| decimal[common..].iter().any(|byte| matches!(byte, b'1'..=b'9'));
        rest(one).cmp(&rest(other))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

        #[test]
        fn text_compares_and_shortens_as_the_number_that_it_spells(
            one in r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?",
            other in r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?|-?(0|1)(\.0{0,2}[01])?",
        ) {
            let number = |text: &str| text.parse::<Decimal>().unwrap();
            prop_assert_eq!(compare(&one, &other), number(&one).cmp(&number(&other)));
            let same = format!("{one}{}", if one.contains('.') { "00" } else { ".00" });
            prop_assert_eq!(compare(&one, &same), Ordering::Equal);
            prop_assert_eq!(trimmed(&same), number(&one).normalize().to_string());
        }
    }
}
