//! Enums whose values are words: in commands, in JSON and in the database. Serde's attributes spell each word once.

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

/// The word of an enum's value.
pub fn word(value: &impl Serialize) -> &'static str {
    serde_variant::to_variant_name(value).unwrap_or_default()
}

/// The value with this word.
///
/// # Errors
///
/// A part of a sentence that lists the known words.
pub fn parse<'de, T: Deserialize<'de>>(word: &'de str) -> Result<T, String> {
    let word_itself: StrDeserializer<'de, Error> = word.into_deserializer();
    T::deserialize(word_itself).map_err(|error| {
        let error = error.to_string();
        let expected = error.rfind(", expected ").and_then(|at| error.get(at..));
        format!("`{word}` is unknown{}", expected.unwrap_or_default())
    })
}

/// Gives enums `as_str` and `FromStr`, by the words of their serde attributes.
#[macro_export]
macro_rules! words {
    ($($type:ty),+) => { $(
        impl $type {
            /// The value's word.
            pub fn as_str(self) -> &'static str {
                $crate::words::word(&self)
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> std::result::Result<Self, Self::Err> {
                $crate::words::parse(word)
            }
        }
    )+ };
}

#[cfg(test)]
mod tests {
    use crate::key::{Algorithm, KeyKind};
    use crate::plugin::Mode;

    #[test]
    fn words_are_those_of_json_and_others_are_refused_with_them() {
        assert_eq!(Algorithm::EdDsa.as_str(), "EdDSA");
        assert_eq!("key_pair".parse(), Ok(KeyKind::KeyPair));
        assert_eq!(
            "off".parse::<Mode>().unwrap_err(),
            "`off` is unknown, expected `enforce` or `monitor`"
        );
        assert_eq!(
            "a, expected b".parse::<KeyKind>().unwrap_err(),
            "`a, expected b` is unknown, expected one of `secret`, `public_key`, `key_pair`"
        );
    }
}
