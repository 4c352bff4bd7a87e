//! Parsing of JSON strings by hand, so that a large one is in memory only once. Serde would unescape it into a buffer
//! of its own, which doubles as it grows, and then copy it.

use std::borrow::Cow;

/// The content between the quotes of a string value. The input must be valid JSON.
pub(super) fn string(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// The string without its escapes (RFC 8259 section 7); none if it has an unpaired surrogate.
pub(super) fn unescaped(string: &str) -> Option<Cow<'_, str>> {
    let Some((plain, mut rest)) = string.split_once('\\') else {
        return Some(Cow::Borrowed(string));
    };
    let mut text = String::with_capacity(string.len());
    text.push_str(plain);
    loop {
        let mut escape = rest.chars();
        text.push(match escape.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = code_point(escape.as_str())?;
                escape = after.chars();
                character
            }
            itself => itself,
        });
        let Some((plain, after)) = escape.as_str().split_once('\\') else {
            text.push_str(escape.as_str());
            return Some(Cow::Owned(text));
        };
        text.push_str(plain);
        rest = after;
    }
}

/// Decodes one escape, or two that form a surrogate pair. Returns the character and the rest of the text.
fn code_point(digits: &str) -> Option<(char, &str)> {
    let (unit, rest) = unit(digits)?;
    let (second, after) = match rest.strip_prefix("\\u") {
        Some(digits) if (0xD800..0xDC00).contains(&unit) => self::unit(digits)?,
        _ => return Some((char::from_u32(unit.into())?, rest)),
    };
    let mut characters = char::decode_utf16([unit, second]);
    Some((characters.next()?.ok()?, after))
}

fn unit(digits: &str) -> Option<(u16, &str)> {
    let (digits, rest) = digits.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same_as_serde(json: &str) {
        let text = string(json).and_then(unescaped);
        let serde: Option<String> = serde_json::from_str(json).ok();
        assert_eq!(text.as_deref(), serde.as_deref(), "{json}");
    }

    #[test]
    fn every_escape_is_read_as_serde_reads_it() {
        for json in [
            r#""""#,
            r#""plain""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""a\u0041b\u00e9\u0000""#,
            r#""\ud83d\ude00 and \uD83D\uDE00""#,
            r#""\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
            r#""\ude00""#,
            r#""\\u0041""#,
            r#""ends with \\""#,
        ] {
            same_as_serde(json);
        }
    }

    #[test]
    fn what_needs_no_copy_is_not_copied() {
        assert!(matches!(unescaped("plain"), Some(Cow::Borrowed(_))));
        let long = "\\n".repeat(1000);
        let Some(Cow::Owned(text)) = unescaped(&long) else {
            panic!("it has escapes");
        };
        // The buffer never grew.
        assert!(text.capacity() <= long.len());
        for (value, inside) in [
            ("\"a\"", Some("a")),
            ("\"", None),
            ("1", None),
            ("[\"a\"]", None),
        ] {
            assert_eq!(string(value), inside);
        }
    }

    proptest! {
        #[test]
        fn any_text_and_any_escapes_are_read_as_serde_reads_them(
            text in any::<String>(),
            units in proptest::collection::vec(any::<u16>(), 0..6),
        ) {
            same_as_serde(&serde_json::to_string(&text).unwrap());
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            same_as_serde(&format!("\"{escaped}\""));
        }
    }
}
