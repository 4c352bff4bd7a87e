//! From what people send to the signature in it: without armour, line breaks and missing padding.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use strum::Display;

use crate::pki::Work;
use crate::xmldsig::{self, Xml, XmlError, XmlSignature};

/// Base64 as people send it, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// The format that a signature is of, or looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Format {
    /// An ASN.1 SEQUENCE.
    Cms,
    /// Text that begins with `<`.
    Xml,
    /// Neither.
    Unknown,
}

/// A signature as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// Bytes, which are not decoded any further.
    Bytes(Cow<'a, [u8]>),
    /// Text: XML, PEM, base64 with line breaks or without padding.
    Text(&'a str),
}

impl<'a> Body<'a> {
    /// Takes a file: strict base64 is decoded, and what is no text are bytes.
    pub fn from_file(file: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(file) else {
            return Self::Bytes(Cow::Borrowed(file));
        };
        match STANDARD.decode(text) {
            Ok(bytes) => Self::Bytes(Cow::Owned(bytes)),
            Err(_) => Self::Text(text),
        }
    }

    /// The format, judged by the first bytes alone.
    pub fn format(&self) -> Format {
        let bytes = self.raw();
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match text.trim_ascii_start() {
            // In UTF-16 after a byte order mark.
            [b'<', ..] | [0xff, 0xfe, b'<', ..] | [0xfe, 0xff, 0, b'<', ..] => Format::Xml,
            _ if bytes.first() == Some(&0x30) && matches!(self, Self::Bytes(_)) => Format::Cms,
            _ => Format::Unknown,
        }
    }

    fn raw(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }

    /// The signature's bytes: of CMS its DER or BER, of XML the file.
    pub fn signed_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Text(text) if self.format() == Format::Xml => Cow::Borrowed(text.as_bytes()),
            Self::Text(text) => unwrapped(text.as_bytes()),
        }
    }

    /// The signatures in XML; over a document where they are detached. `work` is what that may cost.
    ///
    /// # Errors
    ///
    /// Those of [`xmldsig::inspect_over`].
    pub fn xml_signatures(
        &self,
        document: Option<&[u8]>,
        work: &Work,
    ) -> Result<Vec<XmlSignature>, XmlError> {
        let xml = match self {
            Self::Text(text) => Xml::Text(text),
            Self::Bytes(bytes) => Xml::Bytes(bytes),
        };
        xmldsig::inspect_over(xml, document, work)
    }
}

/// The DER or BER in what was sent: without PEM armour, line breaks and missing padding.
pub(crate) fn unwrapped(bytes: &[u8]) -> Cow<'_, [u8]> {
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
