use rust_decimal::Decimal;

use super::{Rule, ValueError, shown};

/// A JSON number split into its parts but not evaluated, so that no digit of it is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    /// Saturated, because an exponent that does not fit is out of every range anyway.
    exponent: i64,
}

impl<'a> Number<'a> {
    /// Reads `text` as a number and passes it to `parse`. The refusal of other text suggests the number that was
    /// probably meant, if `parse` accepts it, or else the `example`.
    pub(crate) fn read<T>(
        text: &str,
        example: &str,
        parse: impl Fn(Number<'_>) -> Result<T, ValueError>,
    ) -> Result<T, ValueError> {
        if let Some(number) = Number::find(text) {
            return parse(number);
        }
        let works = |corrected: &String| Number::find(corrected).is_some_and(|number| parse(number).is_ok());
        let message = match corrected(text).filter(works) {
            Some(number) if text.trim() != text => format!("has blanks around it; send {number}"),
            Some(number) => format!("is {text}, which is not how JSON writes a number; send {number}"),
            None if text.is_empty() => format!("is empty; send digits, such as {example}"),
            None => format!("is {}not a number; send digits, such as {example}", shown(text)),
        };
        Err(ValueError::new(Rule::NotANumber, message))
    }

    /// Splits `text` by the grammar of RFC 8259 section 6: no plus, no leading zero, no bare point, no blank. Returns
    /// `None` for all other text.
    pub(crate) fn find(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, mut rest) = split_digits(rest);
        if integer.is_empty() || (integer.len() > 1 && integer.starts_with('0')) {
            return None;
        }
        let mut fraction = "";
        if let Some(after_point) = rest.strip_prefix('.') {
            (fraction, rest) = split_digits(after_point);
            if fraction.is_empty() {
                return None;
            }
        }
        let mut exponent = 0;
        if let Some(after_e) = rest.strip_prefix(['e', 'E']) {
            let (sign, digits) = match after_e.strip_prefix(['+', '-']) {
                Some(digits) if after_e.starts_with('-') => (-1, digits),
                Some(digits) => (1, digits),
                None => (1, after_e),
            };
            let (digits, after) = split_digits(digits);
            if digits.is_empty() {
                return None;
            }
            rest = after;
            let magnitude =
                digits.bytes().fold(0_i64, |n, digit| n.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
            exponent = sign * magnitude;
        }
        rest.is_empty().then_some(Self { negative, integer, fraction, exponent })
    }

    /// The result of [`Number::find`] and [`Number::to_decimal`] for a number without an exponent, in one pass over it;
    /// `None` for all other text.
    pub(crate) fn plain_decimal(text: &str) -> Option<Decimal> {
        const MAX_DIGITS: usize = 28;
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        // rust_decimal accepts these and JSON does not: leading zeros, a bare point, a second sign, separators.
        if digits.len() > MAX_DIGITS
            || matches!(digits, [] | [b'0', b'0'..=b'9', ..] | [b'.' | b'+' | b'-', ..] | [.., b'.'])
            || digits.contains(&b'_')
        {
            return None;
        }
        Decimal::from_str_exact(text).ok()
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> + use<'a> {
        self.integer.bytes().chain(self.fraction.bytes()).map(|digit| digit - b'0')
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == 0)
    }

    /// The number of digits after the point once the exponent is applied; negative if zeros are missing before the
    /// point.
    fn scale(&self) -> i64 {
        i64::try_from(self.fraction.len()).unwrap_or(i64::MAX).saturating_sub(self.exponent)
    }

    /// The number as a plain decimal with all the digits that were sent: scale = max(0, fraction digits − exponent).
    pub(crate) fn to_decimal(self) -> Result<Decimal, ValueError> {
        const COEFFICIENT_LIMIT: i128 = 10_i128.pow(28);
        let too_precise =
            || ValueError::new(Rule::TooPrecise, "has more than 28 digits in all or after the point; send at most 28");
        let scale = self.scale();
        let mut coefficient = 0_i128;
        for digit in self.digits() {
            coefficient = coefficient * 10 + i128::from(digit);
            if coefficient >= COEFFICIENT_LIMIT {
                return Err(too_precise());
            }
        }
        if scale < 0 && coefficient != 0 {
            let zeros = u32::try_from(-scale).ok().filter(|&zeros| zeros < 28).ok_or_else(too_precise)?;
            let shifted = shift(coefficient, zeros).filter(|&shifted| shifted < COEFFICIENT_LIMIT);
            coefficient = shifted.ok_or_else(too_precise)?;
        }
        if self.negative {
            coefficient = -coefficient;
        }
        let scale = u32::try_from(scale.max(0)).map_err(|_| too_precise())?;
        Decimal::try_from_i128_with_scale(coefficient, scale).map_err(|_| too_precise())
    }

    /// The number as an integer, if it denotes one: `1200`, `1200.0`, `1.2E+03`.
    pub(crate) fn to_i64(self) -> Result<i64, ValueError> {
        let out_of_range = || ValueError::new(Rule::OutOfRange, "is too large; it must fit a 64-bit integer");
        if self.fraction.is_empty()
            && self.exponent == 0
            && let Ok(magnitude) = self.integer.parse::<i64>()
        {
            return Ok(if self.negative { -magnitude } else { magnitude });
        }
        if self.is_zero() {
            return Ok(0);
        }
        let trailing_zeros = self.digits().rev().take_while(|&digit| digit == 0).count();
        let missing_zeros = i64::try_from(trailing_zeros).unwrap_or(i64::MAX).saturating_sub(self.scale());
        if missing_zeros < 0 {
            return Err(ValueError::new(Rule::NotWhole, "is not a whole number; send it without decimals"));
        }
        let significant = self.integer.len() + self.fraction.len() - trailing_zeros;
        let mut value = 0_i128;
        for digit in self.digits().take(significant) {
            let shifted = value.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit)));
            value = shifted.ok_or_else(out_of_range)?;
        }
        let value = u32::try_from(missing_zeros)
            .ok()
            .and_then(|zeros| shift(value, zeros))
            .map(|value| if self.negative { -value } else { value });
        value.and_then(|value| i64::try_from(value).ok()).ok_or_else(out_of_range)
    }
}

/// The number that `text` spells in a way that JSON does not allow: `+1.5`, `.5`, `1.`, `01`, ` 1 `.
fn corrected(text: &str) -> Option<String> {
    const MAX_CORRECTED_BYTES: usize = 40;
    let trimmed = text.trim();
    let (sign, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let digits = digits.strip_suffix('.').unwrap_or(digits);
    let (integer, rest) = split_digits(digits);
    let significant = integer.trim_start_matches('0');
    let integer = if significant.is_empty() { "0" } else { significant };
    (text.len() <= MAX_CORRECTED_BYTES && digits.contains(|digit: char| digit.is_ascii_digit()))
        .then(|| format!("{sign}{integer}{rest}"))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// Appends decimal zeros to `value`, any number of them if it is 0.
fn shift(value: i128, zeros: u32) -> Option<i128> {
    if value == 0 { Some(0) } else { value.checked_mul(10_i128.checked_pow(zeros)?) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The parts that two decimals of the same price have in common.
    fn digits(decimal: Decimal) -> (i128, u32) {
        (decimal.mantissa(), decimal.scale())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn a_plain_decimal_equals_the_result_of_both_steps(text in r"-?[0-9]{0,29}\.?[0-9]{0,29}|[-+.0-9eE_ ]{0,6}") {
            if let Some(plain) = Number::plain_decimal(&text) {
                let long = Number::find(&text).map(|number| number.to_decimal().map(digits));
                prop_assert_eq!(long, Some(Ok(digits(plain))));
            }
        }

        #[test]
        fn every_plain_decimal_is_read_in_one_pass(text in r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,14})?") {
            prop_assert!(Number::plain_decimal(&text).is_some());
        }

        #[test]
        fn plain_digits_are_the_integer_they_spell(text in r"-?(0|[1-9][0-9]{0,20})") {
            let number = Number::find(&text).unwrap();
            prop_assert_eq!(number.to_i64().ok(), text.parse().ok());
            prop_assert_eq!(Number::find(&format!("{text}.0")).unwrap().to_i64(), number.to_i64());
        }
    }
}
