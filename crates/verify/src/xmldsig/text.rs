//! Decodes bytes to characters, and resolves references to characters.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::Encoding;

use super::XmlError;

type Result<T> = std::result::Result<T, XmlError>;

/// Decodes the bytes of a file: UTF-8 or UTF-16 by its byte order mark, otherwise the encoding that its declaration
/// names (XML 1.0 appendix F).
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    normalize(match bytes {
        [0xFE, 0xFF, units @ ..] => Cow::Owned(decode_utf16(units, u16::from_be_bytes)?),
        [0xFF, 0xFE, units @ ..] => Cow::Owned(decode_utf16(units, u16::from_le_bytes)?),
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(utf8(rest)?),
        _ => decode_declared(bytes)?,
    })
}

/// Checks characters, and turns all line ends into line feeds (XML 1.0 sections 2.2 and 2.11).
pub(super) fn normalize(text: Cow<'_, str>) -> Result<Cow<'_, str>> {
    if !text.chars().all(is_xml_char) {
        return Err(XmlError::Malformed("it has characters that XML forbids"));
    }
    if text.contains('\r') {
        return Ok(Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")));
    }
    Ok(text)
}

/// Decodes by the declared encoding, because another parser would believe the declaration, too.
fn decode_declared(bytes: &[u8]) -> Result<Cow<'_, str>> {
    // Up to the end of the declaration, all supported encodings read as ASCII.
    let start = bytes.get(..MAX_DECLARATION_BYTES).unwrap_or(bytes);
    let start: String = start.iter().map(|&byte| char::from(byte)).collect();
    let label = declared_encoding(&start).map(str::to_ascii_lowercase);
    let label = label.as_deref().unwrap_or("utf-8");
    let encoding = Encoding::for_label(label.as_bytes()).ok_or(XmlError::Encoding)?;
    if encoding == encoding_rs::UTF_8 {
        return utf8(bytes).map(Cow::Borrowed);
    }
    // The Web reads these labels as windows-1252. Elsewhere, bytes from 0x80 to 0x9f are no printable characters.
    let is_latin = LATIN_LABELS.contains(&label);
    if !encoding.is_ascii_compatible()
        || (is_latin && bytes.iter().any(|byte| (0x80..0xa0).contains(byte)))
        || (label == "us-ascii" && !bytes.is_ascii())
    {
        return Err(XmlError::Encoding);
    }
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .ok_or(XmlError::Encoding)
}

/// Number of bytes within which an XML declaration must end.
const MAX_DECLARATION_BYTES: usize = 256;
/// Labels that `encoding_rs` reads as windows-1252, as the Web does.
const LATIN_LABELS: [&str; 4] = ["iso-8859-1", "iso8859-1", "latin1", "us-ascii"];

fn utf8(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
    match declared_encoding(text) {
        Some(declared) if !declared.eq_ignore_ascii_case("utf-8") => Err(XmlError::Encoding),
        _ => Ok(text),
    }
}

/// The encoding that the XML declaration names (XML 1.0 section 4.3.3). The parser checks whether the declaration is
/// well-formed.
fn declared_encoding(text: &str) -> Option<&str> {
    let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next()?;
    value.strip_prefix(quote)?.split(quote).next()
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(XmlError::Encoding);
    }
    let text = char::decode_utf16(pairs.iter().copied().map(unit))
        .collect::<std::result::Result<String, _>>()
        .map_err(|_| XmlError::Encoding)?;
    match declared_encoding(&text) {
        Some(declared) if !declared.to_ascii_uppercase().starts_with("UTF-16") => {
            Err(XmlError::Encoding)
        }
        _ => Ok(text),
    }
}

/// `Char` of XML 1.0 section 2.2.
fn is_xml_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Replaces character and predefined entity references. In attributes, literal white space becomes spaces, but white
/// space from character references stays (XML 1.0 section 3.3.3).
pub(super) fn unescape(raw: &str, attribute: bool) -> Result<Cow<'_, str>> {
    let is_special = |char| char == '&' || (attribute && matches!(char, '\t' | '\n'));
    if !raw.contains(is_special) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((literal, special, after)) = split_at(rest, is_special) {
        text.push_str(literal);
        if special != '&' {
            text.push(' ');
            rest = after;
            continue;
        }
        let (reference, after) = after.split_once(';').ok_or(XmlError::Malformed(
            "a character or entity reference has no end",
        ))?;
        text.push(resolve(reference)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// Splits a text at the first special character: text before it, the character, text after it.
fn split_at(text: &str, is_special: impl Fn(char) -> bool) -> Option<(&str, char, &str)> {
    let at = text.find(&is_special)?;
    let (before, rest) = text.split_at_checked(at)?;
    let mut chars = rest.chars();
    let char = chars.next()?;
    Some((before, char, chars.as_str()))
}

fn resolve(reference: &str) -> Result<char> {
    let number = match reference {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => match (reference.strip_prefix("#x"), reference.strip_prefix('#')) {
            (Some(digits), _) => number(digits, 16),
            (None, Some(digits)) => number(digits, 10),
            (None, None) => return Err(XmlError::Malformed("an entity is not defined")),
        },
    };
    number
        .and_then(char::from_u32)
        .filter(|&char| is_xml_char(char))
        .ok_or(XmlError::Malformed(
            "a character reference does not name an allowed character",
        ))
}

/// Works like `from_str_radix`, but refuses a sign.
fn number(digits: &str, radix: u32) -> Option<u32> {
    if digits.chars().all(|digit| digit.is_digit(radix)) {
        u32::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}

/// Decodes base64 with white space anywhere (XML Schema 2 section 3.2.16).
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let compact: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        .collect();
    STANDARD.decode(compact).ok()
}
