//! Extracts the signature from text or bytes as people send them: removes armour and line breaks, tolerates missing
//! padding.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, UTF_8};
use serde::Serialize;
use strum::Display;

use crate::cms::is_signed_data;
use crate::judging::Judging;
use crate::pki::Budget;
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
/// Labels of PEM blocks with a CMS (RFC 7468 section 9, RFC 2315 by OpenSSL and by others).
const CMS_LABELS: [&str; 3] = ["CMS", "PKCS7", "PKCS #7 SIGNED DATA"];

/// The format of a signature, judged by its first bytes.
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
    /// Bytes that are not decoded any further.
    Bytes(Cow<'a, [u8]>),
    /// Text: XML, PEM, base64 with line breaks or without padding.
    Text(Cow<'a, str>),
}

impl<'a> Body<'a> {
    /// Decodes a file: strict base64 becomes bytes, other UTF-8 or UTF-16 becomes text, anything else stays bytes.
    ///
    /// XML stays bytes too: its own declaration names its encoding (XML 1.0 section 4.3.3).
    pub fn from_file(file: &'a [u8]) -> Self {
        let bytes = Self::Bytes(Cow::Borrowed(file));
        if bytes.format() == Format::Xml {
            return bytes;
        }
        let Ok(text) = std::str::from_utf8(file) else {
            return utf16(file).map_or(bytes, |text| Self::Text(Cow::Owned(text)));
        };
        match STANDARD.decode(text) {
            Ok(bytes) => Self::Bytes(Cow::Owned(bytes)),
            Err(_) => Self::Text(Cow::Borrowed(text)),
        }
    }

    /// The format, judged by the first bytes only.
    pub fn format(&self) -> Format {
        let bytes = self.raw();
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match text.trim_ascii_start() {
            // UTF-16 after a byte order mark.
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

    /// The signature's bytes: the DER or BER of CMS, the whole file of XML.
    pub fn signed_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Text(text) if self.format() == Format::Xml => Cow::Borrowed(text.as_bytes()),
            Self::Text(text) => unwrapped(text.as_bytes()),
        }
    }

    /// Reads the signatures in XML. With `judging`, also uses its document and certificates; `budget` limits the cost.
    ///
    /// # Errors
    ///
    /// As [`xmldsig::inspect_over`].
    pub fn xml_signatures(
        &self,
        judging: Option<&Judging<'_>>,
        budget: &Budget,
    ) -> Result<Vec<XmlSignature>, XmlError> {
        let xml = match self {
            Self::Text(text) => Xml::Text(text),
            Self::Bytes(bytes) => Xml::Bytes(bytes),
        };
        xmldsig::inspect_over(xml, judging, budget)
    }
}

/// The text of a file that begins with a UTF-16 byte order mark.
fn utf16(file: &[u8]) -> Option<String> {
    let (encoding, _) = Encoding::for_bom(file).filter(|(encoding, _)| *encoding != UTF_8)?;
    let (text, _, has_errors) = encoding.decode(file);
    (!has_errors).then(|| text.into_owned())
}

/// Decodes the DER or BER in a file: drops PEM armour, text around it, a byte order mark and line breaks, and tolerates
/// missing padding.
///
/// Several signatures in armour are concatenated.
pub(crate) fn unwrapped(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let text = text.trim_start_matches('\u{feff}');
    let signatures = pem_blocks(text).filter_map(|block| {
        let decoded = block.inside.and_then(decoded);
        let is_signature =
            CMS_LABELS.contains(&block.label) || decoded.as_deref().is_some_and(is_signed_data);
        is_signature.then_some(decoded)
    });
    // If one of several blocks is broken, the result is `None`, so that a broken block does not go unnoticed.
    let joined = signatures.reduce(|all, next| {
        let mut all = all?;
        all.extend_from_slice(&next?);
        Some(all)
    });
    let der = joined.unwrap_or_else(|| match pem_blocks(text).next() {
        Some(other) => other.inside.and_then(decoded),
        None => decoded(text),
    });
    der.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// A block in armour (RFC 7468 section 2).
struct Block<'t> {
    label: &'t str,
    /// The text between the begin and the end line; `None` if there is no end line.
    inside: Option<&'t str>,
}

/// The blocks of a text, with any text before, between and after them.
fn pem_blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let blocks = text.split(PEM_BEGIN).skip(1);
    blocks.filter_map(|rest| {
        let (label, rest) = rest.split_once("-----")?;
        let inside = rest.split_once(PEM_END).map(|(inside, _)| inside);
        Some(Block { label, inside })
    })
}

/// Decodes base64 with line breaks; `None` if it is invalid or empty.
fn decoded(text: &str) -> Option<Vec<u8>> {
    // Allocates the full capacity at once: a large text is copied only once, and the copy never grows.
    let mut base64 = String::with_capacity(text.len());
    base64.extend(text.split_ascii_whitespace());
    let decoded = LENIENT.decode(&base64).ok()?;
    (!decoded.is_empty()).then_some(decoded)
}

/// The DER of each certificate in a file. The file is one certificate in DER, or PEM with any number of them.
///
/// A PEM certificate that is not valid base64 becomes an empty entry.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Anchors;
    use crate::report;
    use crate::xmldsig::tests::signer::{Key, enveloped};

    /// The declaration counts for a file, and also for its base64, which says nothing of the encoding.
    #[test]
    fn xml_in_a_file_is_encoded_as_it_declares() {
        let signed = enveloped(Key::P256, "<party>Айгерім</party>");
        let declared = format!("<?xml version=\"1.0\" encoding=\"windows-1251\"?>{signed}");
        let (in_cyrillic, _, _) = encoding_rs::WINDOWS_1251.encode(&declared);
        let intact = |body: &Body<'_>| {
            let anchors = Anchors::default();
            let told = report(body, Some(&Judging::new(&anchors, 0)));
            let verdict = told.signers[0].verdict.clone();
            verdict.unwrap().intact
        };
        for (file, is_intact) in [
            (signed.as_bytes(), true),
            (&in_cyrillic, true),
            (declared.as_bytes(), false),
        ] {
            for body in [Body::from_file(file), Body::Bytes(Cow::Borrowed(file))] {
                assert_eq!(intact(&body), Some(is_intact), "{body:?}");
            }
            let base64 = STANDARD.encode(file);
            assert_eq!(intact(&Body::from_file(base64.as_bytes())), Some(is_intact));
        }
        // In text that was decoded already, the declared encoding no longer counts (XML 1.0 section 4.3.3).
        assert_eq!(intact(&Body::Text(Cow::Borrowed(&declared))), Some(true));
    }

    #[test]
    fn a_signature_is_found_whatever_is_around_it() {
        let der = [0x30, 3, 2, 1, 5];
        let base64 = STANDARD.encode(der);
        let block = |label: &str, base64: &str| {
            format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
        };
        let utf16 = |text: &str, to: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let text = format!("\u{feff}{text}");
            text.encode_utf16().flat_map(to).collect()
        };
        let certificate = block("CERTIFICATE", "AAAA");
        for file in [
            der.to_vec(),
            base64.clone().into_bytes(),
            format!("{base64}\r\n").into_bytes(),
            format!("\u{feff}{base64}").into_bytes(),
            block("CMS", &base64).into_bytes(),
            block("PKCS7", &base64).into_bytes(),
            block("SOMETHING ELSE", &base64).into_bytes(),
            format!("Subject: a letter\n\n{}", block("CMS", &base64)).into_bytes(),
            format!("{certificate}{}{certificate}", block("PKCS7", &base64)).into_bytes(),
            utf16(&block("CMS", &base64), u16::to_le_bytes),
            utf16(&base64, u16::to_be_bytes),
        ] {
            let body = Body::from_file(&file);
            assert_eq!(*body.signed_bytes(), der, "{body:?}");
        }
        let xml = utf16("<a/>", u16::to_le_bytes);
        let body = Body::from_file(&xml);
        assert_eq!((body.format(), &*body.signed_bytes()), (Format::Xml, &*xml));
    }
}
