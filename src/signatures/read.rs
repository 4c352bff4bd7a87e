//! From what was sent to what is signed: without armour, line breaks and missing padding.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::model::{Encoding, Format, SignatureBody};
use crate::pki::Work;
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

/// The signatures in XML, which came as characters or in base64 as bytes; over a document where they are detached. `work` is what
/// that may cost.
///
/// # Errors
///
/// Those of [`xmldsig::inspect_over`].
pub fn xml_signatures(
    body: &SignatureBody,
    document: Option<&[u8]>,
    work: &Work,
) -> Result<Vec<XmlSignature>, XmlError> {
    let xml = match (body.encoding, std::str::from_utf8(&body.bytes)) {
        (Encoding::Text, Ok(text)) => Xml::Text(text),
        _ => Xml::Bytes(&body.bytes),
    };
    xmldsig::inspect_over(xml, document, work)
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
    decoded(inside.unwrap_or(text)).map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// What base64 with line breaks says, where it says something.
fn decoded(text: &str) -> Option<Vec<u8>> {
    // It never grows: of what is large there is one copy.
    let mut base64 = String::with_capacity(text.len());
    base64.extend(text.split_ascii_whitespace());
    let decoded = LENIENT.decode(&base64).ok()?;
    (!decoded.is_empty()).then_some(decoded)
}

/// The DER of the certificates in a file, one after another: PEM, in which there may be several, or DER. One that is not base64
/// is empty.
pub fn certificates(file: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let text = std::str::from_utf8(file);
    let der = text.is_err().then(|| file.to_vec());
    let armoured = text.unwrap_or_default().split(PEM_BEGIN).skip(1);
    let armoured = armoured.filter(|rest| rest.starts_with("CERTIFICATE"));
    let pem = armoured.map(|rest| {
        let (_, rest) = rest.split_once("-----")?;
        decoded(rest.split_once(PEM_END)?.0)
    });
    der.into_iter().chain(pem.map(Option::unwrap_or_default))
}
