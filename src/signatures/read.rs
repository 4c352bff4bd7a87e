//! From what was sent to what is signed: without armour, line breaks and missing padding.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::model::{Encoding, Format, SignatureBody};
use crate::xmldsig::{self, Xml, XmlError, XmlSignature};

/// Base64 as people send it, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// The bytes of a signature: of CMS its DER or BER, of XML the file.
pub fn signed_bytes(body: &SignatureBody) -> Cow<'_, [u8]> {
    // What was proper base64 is decoded already, and is not guessed at any further.
    match body.encoding {
        Encoding::Base64 => Cow::Borrowed(&body.bytes[..]),
        Encoding::Text if body.format() == Format::Xml => Cow::Borrowed(&body.bytes[..]),
        Encoding::Text => unwrapped(&body.bytes),
    }
}

/// The signatures in XML, which came as characters or in base64 as bytes; over a document where they are detached.
///
/// # Errors
///
/// Those of [`xmldsig::inspect_over`].
pub fn xml_signatures(
    body: &SignatureBody,
    document: Option<&[u8]>,
) -> Result<Vec<XmlSignature>, XmlError> {
    let xml = match (body.encoding, std::str::from_utf8(&body.bytes)) {
        (Encoding::Text, Ok(text)) => Xml::Text(text),
        _ => Xml::Bytes(&body.bytes),
    };
    xmldsig::inspect_over(xml, document)
}

/// The DER or BER in what was sent: without PEM armour, line breaks and missing padding.
pub(super) fn unwrapped(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let inside = text.trim_start().strip_prefix(PEM_BEGIN).and_then(|rest| {
        let (_, rest) = rest.split_once("-----")?;
        Some(rest.split_once(PEM_END)?.0)
    });
    let base64: String = inside
        .unwrap_or(text)
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .collect();
    match LENIENT.decode(&base64) {
        Ok(decoded) if !decoded.is_empty() => Cow::Owned(decoded),
        _ => Cow::Borrowed(bytes),
    }
}

/// The DER of the certificates in a file: PEM, in which there may be several, or DER.
pub fn certificates(file: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(file) else {
        return vec![file.to_vec()];
    };
    let armoured = text.split(PEM_BEGIN).skip(1);
    armoured
        .filter(|rest| rest.starts_with("CERTIFICATE"))
        .map(|rest| unwrapped(format!("{PEM_BEGIN}{rest}").as_bytes()).into_owned())
        .collect()
}
