//! Whole numbers in JSON. `1.0` is a whole number like `1` (JSON Schema draft 2020-12, core section 4.2.3), and some
//! programs write it so.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A whole number in any JSON notation.
struct Whole<T>(T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<T>(PhantomData<T>);

        impl<T: TryFrom<i128>> Visitor<'_> for Number<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number in range")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
                let otherwise = E::invalid_value(Unexpected::Unsigned(number), &self);
                T::try_from(number.into()).map_err(|_| otherwise)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
                let otherwise = E::invalid_value(Unexpected::Signed(number), &self);
                T::try_from(number.into()).map_err(|_| otherwise)
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
                let otherwise = E::invalid_value(Unexpected::Float(number), &self);
                whole(number)
                    .and_then(|number| T::try_from(number.into()).ok())
                    .ok_or(otherwise)
            }
        }

        deserializer.deserialize_any(Number(PhantomData)).map(Whole)
    }
}

/// Converts to an integer; none if it has a fraction, or is larger than the integers that a double represents
/// exactly.
pub fn whole(number: f64) -> Option<i64> {
    const MOST: f64 = 9_007_199_254_740_991.0;
    (number.fract() == 0.0 && number.abs() <= MOST).then_some(number as i64)
}

/// Parses a JSON number that is whole and not negative.
pub fn from_json(text: &str) -> Option<u64> {
    let fraction = || u64::try_from(whole(text.parse().ok()?)?).ok();
    text.parse().ok().or_else(fraction)
}

/// Reads a member that is a whole number.
///
/// # Errors
///
/// If it is not a whole number, or out of range.
pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<i128>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Whole::deserialize(deserializer).map(|Whole(number)| number)
}

/// Reads a member that is a whole number, or null.
///
/// # Errors
///
/// The errors of [`deserialize`].
pub fn deserialize_option<'de, D: Deserializer<'de>, T: TryFrom<i128>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let number: Option<Whole<T>> = Deserialize::deserialize(deserializer)?;
    Ok(number.map(|Whole(number)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: TryFrom<i128>>(json: &str) -> Result<Option<T>, serde_json::Error> {
        deserialize_option(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written_and_others_refused() {
        for written in ["7", "7.0", "7e0", "0.7e1"] {
            assert_eq!(read::<u32>(written).unwrap(), Some(7), "{written}");
        }
        assert_eq!(read::<i32>("-7.0").unwrap(), Some(-7));
        assert_eq!(read::<u64>("18446744073709551615").unwrap(), Some(u64::MAX));
        assert_eq!(read::<u32>("null").unwrap(), None);
        for wrong in [
            "7.5",
            "-1",
            "4294967296",
            "4294967296.0",
            "1e300",
            "\"7\"",
            "true",
        ] {
            assert!(read::<u32>(wrong).is_err(), "{wrong}");
        }
        for (written, number) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("7.5", None),
            ("-7", None),
        ] {
            assert_eq!(from_json(written), number, "{written}");
        }
        // A double cannot distinguish this number from its neighbours.
        assert!(read::<u64>("18446744073709551615.0").is_err());
    }
}
