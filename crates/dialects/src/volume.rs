//! Volumes of files as the ticks of candles, which are whole numbers.

use candle::{Price, Volume};

/// The source of the volume of a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeChoice {
    /// The volume column, which has to be whole.
    Whole,
    /// The column that counts trades.
    Trades,
    /// Nothing: all volumes are 0.
    None,
    /// The volume column times ten to this power, which has to be whole then.
    Scaled(u32),
    /// The volume column, rounded to the nearest whole number.
    Rounded,
}

/// The reason for which a volume is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VolumeError {
    /// It has a fraction, which the choice does not allow.
    Fraction,
    /// Anything else.
    Other(String),
}

impl VolumeChoice {
    /// The maximum power of ten.
    pub const MAX_SCALE: u32 = 18;

    /// Parses `whole`, `trades`, `none`, `scaled:N` or `rounded`.
    ///
    /// ```
    /// use dialects::VolumeChoice;
    ///
    /// assert_eq!(VolumeChoice::parse("scaled:8"), Some(VolumeChoice::Scaled(8)));
    /// assert_eq!(VolumeChoice::parse("scaled:99"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "whole" => Self::Whole,
            "trades" => Self::Trades,
            "none" => Self::None,
            "rounded" => Self::Rounded,
            _ => {
                let power = text.strip_prefix("scaled:")?.parse().ok()?;
                (1..=Self::MAX_SCALE).contains(&power).then_some(Self::Scaled(power))?
            }
        })
    }
}

/// The digits after the point to which losses of rounding are summed up.
const LOSS_SCALE: u32 = 12;

/// The sum of what rounding took from volumes or added to them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Loss(u128);

impl Loss {
    /// True if nothing was lost.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = 10_u128.pow(LOSS_SCALE);
        let text = format!("{}.{:012}", self.0 / unit, self.0 % unit);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Reads a volume as `choice` says. `decimal` is the mark before fractions.
pub(crate) fn read(field: &str, choice: VolumeChoice, loss: &mut Loss) -> Result<Volume, VolumeError> {
    let other = |error: candle::ValueError| VolumeError::Other(error.message);
    // The usual volume has digits only.
    if !matches!(choice, VolumeChoice::Scaled(_))
        && (1..=18).contains(&field.len())
        && field.bytes().all(|byte| byte.is_ascii_digit())
    {
        let ticks = field.bytes().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
        return Volume::from_ticks(ticks).map_err(other);
    }
    let number = Price::parse(field).map_err(other)?;
    let (coefficient, scale) = (number.coefficient(), number.scale());
    let unit = 10_i128.pow(scale);
    let whole = match choice {
        VolumeChoice::Scaled(power) => {
            let shifted = coefficient.checked_mul(10_i128.pow(power));
            let shifted = shifted.ok_or_else(|| VolumeError::Other("is too large for this scale".to_owned()))?;
            if shifted % unit != 0 {
                return Err(VolumeError::Other(format!("has more than {power} digits after the point")));
            }
            shifted / unit
        }
        VolumeChoice::Rounded => {
            let whole = (coefficient + if coefficient < 0 { -unit / 2 } else { unit / 2 }) / unit;
            let taken = (coefficient - whole * unit).unsigned_abs();
            let (up, down) = (LOSS_SCALE.saturating_sub(scale), scale.saturating_sub(LOSS_SCALE));
            loss.0 = loss.0.saturating_add(taken * 10_u128.pow(up) / 10_u128.pow(down));
            whole
        }
        _ if coefficient % unit != 0 => return Err(VolumeError::Fraction),
        _ => coefficient / unit,
    };
    let ticks = i64::try_from(whole).map_err(|_| VolumeError::Other("is too large to be stored".to_owned()))?;
    Volume::from_ticks(ticks).map_err(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(field: &str, choice: VolumeChoice) -> Result<i64, VolumeError> {
        read(field, choice, &mut Loss::default()).map(Volume::get)
    }

    #[test]
    fn volumes_are_never_rounded_unless_that_is_chosen() {
        use VolumeChoice::{Rounded, Scaled, Whole};
        assert_eq!(ticks("412", Whole), Ok(412));
        assert_eq!(ticks("412.000", Whole), Ok(412));
        assert_eq!(ticks("1.2e3", Whole), Ok(1200));
        assert_eq!(ticks("412.37", Whole), Err(VolumeError::Fraction));
        assert_eq!(ticks("9899.999999999998", Whole), Err(VolumeError::Fraction));
        assert_eq!(ticks("0.37", Scaled(8)), Ok(37_000_000));
        assert_eq!(ticks("12", Scaled(2)), Ok(1200));
        assert!(matches!(ticks("0.375", Scaled(2)), Err(VolumeError::Other(_))));
        assert!(matches!(ticks("1000000000000", Scaled(8)), Err(VolumeError::Other(_))));
        assert_eq!(ticks("0.5", Rounded), Ok(1));
        assert!(matches!(ticks("-1", Whole), Err(VolumeError::Other(_))));
        assert!(matches!(ticks("x", Rounded), Err(VolumeError::Other(_))));
        assert_eq!(ticks("9223372036854775807", Whole), Ok(i64::MAX));
        assert!(matches!(ticks("9223372036854775808", Whole), Err(VolumeError::Other(_))));
    }

    #[test]
    fn losses_are_summed_exactly() {
        let mut loss = Loss::default();
        for field in ["0.25", "1.75", "3", "10.1"] {
            read(field, VolumeChoice::Rounded, &mut loss).unwrap();
        }
        assert_eq!(loss.to_string(), "0.6");
        assert!(Loss::default().is_none() && !loss.is_none());
        assert_eq!(Loss::default().to_string(), "0");
    }
}
