//! Enums whose values are words in commands, in JSON and in the database.

/// Gives an enum `as_str` and `FromStr`; the parse error lists the known words.
#[macro_export]
macro_rules! words {
    ($type:ident, $($value:ident = $word:literal),+) => {
        impl $type {
            /// All words, in the order of the values.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The value's word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> std::result::Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$value),)+
                    _ => Err(format!("`{word}` is not one of {}", Self::WORDS.join(", "))),
                }
            }
        }
    };
}
