//! Distinguished names as text (RFC 4514).

use asn1_rs::{Any, BmpString, Tag, UniversalString};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::{Name, NameAttribute, oid};

pub(crate) fn describe_name(name: &X509Name<'_>) -> Name {
    let mut attributes = Vec::new();
    let mut parts = Vec::new();
    for rdn in name.iter_rdn() {
        let first = attributes.len();
        attributes.extend(rdn.iter().map(describe_attribute));
        let part: Vec<_> = attributes.iter().skip(first).map(to_rfc4514).collect();
        parts.push(part.join("+"));
    }
    parts.reverse();
    Name {
        rfc4514: parts.join(","),
        attributes,
    }
}

fn describe_attribute(attribute: &AttributeTypeAndValue<'_>) -> NameAttribute {
    let oid = attribute.attr_type().to_id_string();
    NameAttribute {
        name: oid::name_attribute(&oid),
        value: value_text(attribute),
        oid,
    }
}

/// The value as text. A T.61 string is read as UTF-8 if it is valid, otherwise as Latin-1, which signers put there.
fn value_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let text = match value.tag() {
        Tag::BmpString | Tag::UniversalString | Tag::T61String => wide_text(value),
        _ => attribute.as_str().ok().map(str::to_owned),
    };
    text.unwrap_or_else(|| format!("#{}", crate::digest::to_hex(value.data)))
}

/// A string whose type is neither ASCII nor UTF-8; none if it has another type, or is broken.
pub(super) fn wide_text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::BmpString => BmpString::try_from(value.clone())
            .ok()
            .map(|text| text.string()),
        Tag::UniversalString => UniversalString::try_from(value.clone())
            .ok()
            .map(|text| text.string()),
        Tag::T61String => Some(std::str::from_utf8(value.data).map_or_else(
            |_| value.data.iter().map(|&byte| char::from(byte)).collect(),
            str::to_owned,
        )),
        _ => None,
    }
}

fn to_rfc4514(attribute: &NameAttribute) -> String {
    let kind = attribute.name.unwrap_or(&attribute.oid);
    format!("{kind}={}", escape(&attribute.value))
}

/// Escapes the characters that RFC 4514 section 2.4 names.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.push('\\'),
            ' ' if index == 0 || index == last => escaped.push('\\'),
            '#' if index == 0 => escaped.push('\\'),
            '\0' => {
                escaped.push_str("\\00");
                continue;
            }
            _ => {}
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn values_are_escaped_as_rfc_4514_says() {
        for (value, escaped) in [
            ("James \"Jim\" Smith, III", "James \\\"Jim\\\" Smith\\, III"),
            (" a ", "\\ a\\ "),
            ("#1", "\\#1"),
            ("a#1", "a#1"),
            ("Лу\u{10d}i\u{107}", "Лу\u{10d}i\u{107}"),
            ("a\0b", "a\\00b"),
        ] {
            assert_eq!(escape(value), escaped);
        }
    }
}
