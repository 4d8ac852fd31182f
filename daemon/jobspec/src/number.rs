//! Numbers as job files have them: exact fractions, so that 0.1 + 0.2 is 0.3 and 9007199254740993 stays what it is.
//!
//! Size is bounded: what would need more than `BITS` bits is refused by the operation that makes it.

use std::fmt;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One as _, Pow as _, Signed as _, ToPrimitive as _, Zero as _};

/// How many bits numerator and denominator may have together.
const BITS: u64 = 16_384;
/// Digits after which a number that never ends is cut, as 512 bits of precision give them.
const DIGITS: i64 = 154;

/// An exact number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(BigRational);

impl Number {
    pub fn zero() -> Self {
        Self(BigRational::zero())
    }

    /// Reads decimal text such as `12`, `-0.5` or `1.5e3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !plain(whole) || !plain(fraction) || digits.len() > 4_000 {
            return None;
        }
        let mut digits = BigInt::parse_bytes(format!("{whole}{fraction}").as_bytes(), 10)?;
        if negative {
            digits = -digits;
        }
        let scale = i64::from(exponent) - fraction.len() as i64;
        if scale.unsigned_abs() > 4_000 {
            return None;
        }
        let power = BigInt::from(10).pow(scale.unsigned_abs() as u32);
        let number = if scale < 0 { BigRational::new(digits, power) } else { BigRational::from(digits * power) };
        Self(number).bounded()
    }

    /// The shortest decimal that means this float; none for infinities and NaN.
    pub fn from_f64(float: f64) -> Option<Self> {
        if float.is_finite() { Self::parse(&format!("{float:e}")) } else { None }
    }

    pub fn to_f64(&self) -> f64 {
        self.0.to_f64().unwrap_or(f64::NAN)
    }

    pub fn to_i64(&self) -> Option<i64> {
        if self.is_whole() { self.0.numer().to_i64() } else { None }
    }

    pub fn to_integer(&self) -> Option<&BigInt> {
        if self.is_whole() { Some(self.0.numer()) } else { None }
    }

    pub fn is_whole(&self) -> bool {
        self.0.denom().is_one()
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    pub fn abs(&self) -> Self {
        Self(self.0.abs())
    }

    pub fn floor(&self) -> Self {
        Self(self.0.floor())
    }

    pub fn ceil(&self) -> Self {
        Self(self.0.ceil())
    }

    pub fn trunc(&self) -> Self {
        Self(self.0.trunc())
    }

    pub fn negate(&self) -> Self {
        Self(-&self.0)
    }

    pub fn add(&self, other: &Self) -> Option<Self> {
        Self(&self.0 + &other.0).bounded()
    }

    pub fn subtract(&self, other: &Self) -> Option<Self> {
        Self(&self.0 - &other.0).bounded()
    }

    pub fn multiply(&self, other: &Self) -> Option<Self> {
        Self(&self.0 * &other.0).bounded()
    }

    /// None for a division by zero.
    pub fn divide(&self, other: &Self) -> Option<Self> {
        if other.is_zero() { None } else { Self(&self.0 / &other.0).bounded() }
    }

    /// The remainder with the sign of the dividend; none for a division by zero.
    pub fn remainder(&self, other: &Self) -> Option<Self> {
        if other.is_zero() { None } else { Self(&self.0 % &other.0).bounded() }
    }

    fn bounded(self) -> Option<Self> {
        if self.0.numer().bits() + self.0.denom().bits() <= BITS { Some(self) } else { None }
    }

    /// Decimal text with exactly `decimals` digits after the point, rounded half away from zero.
    pub fn to_fixed(&self, decimals: usize) -> String {
        let scaled = &self.0 * BigRational::from(BigInt::from(10).pow(decimals as u32));
        let digits = scaled.abs().round().to_integer().to_string();
        let sign = if self.0.is_negative() { "-" } else { "" };
        if decimals == 0 {
            return format!("{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        format!("{sign}{whole}.{fraction}")
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(BigRational::from(BigInt::from(number)))
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self(BigRational::from(BigInt::from(number)))
    }
}

impl From<BigInt> for Number {
    fn from(number: BigInt) -> Self {
        Self(BigRational::from(number))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return write!(f, "{}", self.0.numer());
        }
        // Enough decimals for DIGITS significant ones, whatever the magnitude (log10(2) is 0.30103).
        let magnitude = (self.0.numer().bits() as i64 - self.0.denom().bits() as i64) * 30_103 / 100_000;
        let decimals = (DIGITS - magnitude).clamp(1, 8_000) as usize;
        let text = self.to_fixed(decimals);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn decimal_text_survives_and_sums_are_exact() {
        for text in ["0", "7", "-3", "0.5", "-1.25", "9007199254740993", "0.001"] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("0.1").add(&number("0.2")).unwrap().to_string(), "0.3");
        assert_eq!(number("1.5e3").to_string(), "1500");
        assert_eq!(number("1").divide(&number("3")).unwrap().multiply(&number("3")).unwrap(), number("1"));
        assert_eq!(number("3.14159").to_fixed(2), "3.14");
        assert!(number("1").divide(&number("3")).unwrap().to_string().starts_with("0.33333333333333333333"));
    }

    #[test]
    fn what_is_no_number_or_too_large_is_refused() {
        for text in ["", "-", "1x", "0x10", "1e99999", "--1", "1.2.3", "NaN", "e5"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        let mut large = Some(number("9999999999"));
        for _ in 0..40 {
            large = large.and_then(|large| large.multiply(&large));
        }
        assert!(large.is_none());
    }
}
