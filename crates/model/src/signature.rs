//! The nouns of the domain and their rules: what a signature, a version and a draft are. Plain values, no I/O.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sigpersist_verify::{Body, Format};

use crate::digest::sha256;
use crate::error::{Error, Result};

/// Longest `document`, `thread`, `stage`, tag and author, in characters.
pub const MAX_LABEL_CHARS: usize = 255;
/// Longest comment, in characters.
pub const MAX_COMMENT_CHARS: usize = 4096;
/// Most tags of one version.
pub const MAX_TAGS: usize = 64;
/// Highest version number: the maximum of a Postgres `integer`.
pub const MAX_VERSION: u32 = i32::MAX.unsigned_abs();

/// Stable number of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureId(pub i64);

/// The key of a thread in the tenant's own names: a document and a thread name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ThreadKey {
    /// The document's code.
    pub document: String,
    /// The story in which it is signed; also called chain.
    pub thread: String,
}

/// The relation between a signature's bytes and the text that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The text is the padded base64 of the bytes (RFC 4648 section 4), without line breaks.
    Base64,
    /// The text is the bytes themselves.
    Text,
}

impl Encoding {
    /// Its word in the metadata of the log's entries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Text => "text",
        }
    }
}

/// A signature: its bytes, and how to restore exactly the text that the client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureBody {
    /// The relation between the bytes and the text.
    pub encoding: Encoding,
    /// The bytes decoded from base64 (usually DER), or the text as it came.
    pub bytes: Bytes,
    /// Digest of the bytes.
    pub sha256: [u8; 32],
}

impl SignatureBody {
    /// Reads a client's text. Base64 that round-trips exactly is kept decoded, which is a quarter smaller.
    pub fn from_text(text: &str) -> Self {
        // This engine accepts only the padding and last bits that it writes itself, so its decoded bytes round-trip.
        let (encoding, bytes) = match BASE64.decode(text) {
            Ok(bytes) => (Encoding::Base64, Bytes::from(bytes)),
            Err(_) => (Encoding::Text, Bytes::copy_from_slice(text.as_bytes())),
        };
        let sha256 = sha256(&bytes);
        Self {
            encoding,
            bytes,
            sha256,
        }
    }

    /// Reads a client's file: text is kept as [`Self::from_text`] keeps it, and anything else as its bytes.
    pub fn from_file(file: Bytes) -> Self {
        match std::str::from_utf8(&file) {
            Ok(text) if !text.contains('\0') => Self::from_text(text),
            _ => Self {
                encoding: Encoding::Base64,
                sha256: sha256(&file),
                bytes: file,
            },
        }
    }

    /// The bytes of the signature as a file: the DER or BER of CMS, without armour or base64, and anything else as it is.
    pub fn to_file(&self) -> Bytes {
        match self.as_sent().signed_bytes() {
            Cow::Owned(decoded) if Body::Bytes(Cow::Borrowed(&decoded)).format() == Format::Cms => {
                decoded.into()
            }
            _ => self.bytes.clone(),
        }
    }

    /// The text that the client sent, byte for byte.
    pub fn to_text(&self) -> String {
        match self.encoding {
            Encoding::Base64 => BASE64.encode(&self.bytes),
            Encoding::Text => String::from_utf8_lossy(&self.bytes).into_owned(),
        }
    }

    /// The length of [`Self::to_text`], in bytes.
    pub fn text_bytes(&self) -> usize {
        match self.encoding {
            Encoding::Base64 => self.bytes.len().div_ceil(3).saturating_mul(4),
            Encoding::Text => self.bytes.len(),
        }
    }

    /// The signature in the form that the verifier reads.
    pub fn as_sent(&self) -> Body<'_> {
        match (self.encoding, std::str::from_utf8(&self.bytes)) {
            (Encoding::Text, Ok(text)) => Body::Text(Cow::Borrowed(text)),
            // Proper base64 was decoded already, and is not decoded a second time.
            _ => Body::Bytes(Cow::Borrowed(&self.bytes)),
        }
    }

    /// The format, judged by the first bytes.
    pub fn format(&self) -> Format {
        self.as_sent().format()
    }
}

/// The recorded result of verifying a version.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVerdict {
    /// Id of the verdict; grows with time.
    pub id: i64,
    /// The version.
    pub version: u32,
    /// When it was verified.
    pub at: DateTime<Utc>,
    /// The signers and the verdict on each, as the API shows them.
    pub verdict: serde_json::Value,
}

/// A version as it is stored, with what it shows of its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The thread's stable number.
    pub id: SignatureId,
    /// The document and the thread name.
    pub key: ThreadKey,
    /// This version's place in the history, from 1.
    pub version: u32,
    /// The client's label for this version.
    pub stage: Option<String>,
    /// The creator of this version.
    pub created_by: Option<String>,
    /// The client's comment on this version.
    pub comment: Option<String>,
    /// Tags that this version was saved with.
    pub tags: Vec<String>,
    /// When this version was saved.
    pub version_created_at: DateTime<Utc>,
    /// When the thread's version 1 was saved.
    pub created_at: DateTime<Utc>,
    /// When the thread's current version was saved.
    pub updated_at: DateTime<Utc>,
    /// The signature itself; none if the caller asked to omit it.
    pub body: Option<SignatureBody>,
}

impl Signature {
    /// The version that this one was signed over.
    pub fn parent(&self) -> Option<u32> {
        self.version.checked_sub(1).filter(|parent| *parent >= 1)
    }
}

/// Selects the threads of a list; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only this document.
    pub document: Option<String>,
    /// Only this thread name.
    pub thread: Option<String>,
    /// Only threads whose current version has this stage.
    pub stage: Option<String>,
    /// Only threads with these tags; empty for any.
    pub tags: Vec<String>,
    /// Whether a thread must have all tags, or only one of them.
    pub all_tags: bool,
    /// Only threads with one of these terms of signers ([`SignerTerm`](crate::term::SignerTerm)); empty for any.
    pub signers: Vec<String>,
    /// Only threads with none of these terms of signers.
    pub not_signed_by: Vec<String>,
    /// Only threads with one of these terms of verdicts ([`Overall`](crate::term::Overall)); empty for any.
    pub verdicts: Vec<String>,
    /// Only threads whose time in the order of the list is this one or later.
    pub since: Option<DateTime<Utc>>,
    /// Only threads whose time in the order of the list is earlier.
    pub until: Option<DateTime<Utc>>,
    /// The order of the list.
    pub order: Order,
}

/// The order of a list; newest first by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// The time that orders the threads.
    pub by: OrderBy,
    /// Whether the earliest time comes first.
    pub ascending: bool,
}

/// The time that orders the threads of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// When the first version was saved.
    #[default]
    Created,
    /// When the current version was saved.
    Updated,
}

/// A place in the list: that of the last thread seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The thread's time in the order of the list.
    pub at: DateTime<Utc>,
    /// The thread's number, which breaks ties.
    pub id: SignatureId,
}

/// A version that a client wants to save, before hooks and store have seen it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The document and the thread name.
    pub key: ThreadKey,
    /// The version that the client signed over: 0 for none, `None` if the client did not say.
    pub signed_over: Option<u32>,
    /// The signature.
    pub body: SignatureBody,
    /// The client's label for the new version.
    pub stage: Option<String>,
    /// The creator of the signature.
    pub created_by: Option<String>,
    /// The client's comment.
    pub comment: Option<String>,
    /// The thread's tags from now on, without duplicates, in the client's order.
    pub tags: Vec<String>,
}

/// Preconditions on the current version, from `If-Match` and `If-None-Match` (RFC 9110 section 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`: the thread exists, with one of these versions.
    pub if_match: Option<Versions>,
    /// `If-None-Match`: the thread does not exist, or has none of these versions.
    pub if_none_match: Option<Versions>,
}

/// The entity tags of a precondition, read as versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// `*`: any version.
    Any,
    /// A list. Entity tags that name no version match nothing and are left out.
    These(Vec<u32>),
}

impl Versions {
    fn contains(&self, version: u32) -> bool {
        match self {
            Self::Any => version >= 1,
            Self::These(versions) => versions.contains(&version),
        }
    }
}

impl Preconditions {
    /// Whether there are no preconditions.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// The version that `If-Match` names, if it names exactly one.
    pub fn only_match(&self) -> Option<u32> {
        match self.if_match.as_ref()? {
            Versions::These(versions) => match versions.as_slice() {
                [version] => Some(*version),
                _ => None,
            },
            Versions::Any => None,
        }
    }

    /// Whether `If-Match` allows this current version; 0 means that nothing is stored.
    pub fn match_holds(&self, version: u32) -> bool {
        self.if_match
            .as_ref()
            .is_none_or(|versions| versions.contains(version))
    }

    /// Whether `If-None-Match` allows this current version; 0 means that nothing is stored.
    pub fn none_match_holds(&self, version: u32) -> bool {
        self.if_none_match
            .as_ref()
            .is_none_or(|versions| !versions.contains(version))
    }

    /// Whether both allow this current version.
    pub fn hold(&self, version: u32) -> bool {
        self.match_holds(version) && self.none_match_holds(version)
    }
}

/// Checks a document, thread, stage, tag or author.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if it is empty, longer than [`MAX_LABEL_CHARS`] or has a control character.
pub fn check_label(name: &str, text: &str) -> Result<()> {
    let chars = text.chars().count();
    if chars == 0 {
        Err(Error::invalid(name, format!("`{name}` must not be empty.")))
    } else if chars > MAX_LABEL_CHARS {
        let message = format!("`{name}` has {chars} characters; the limit is {MAX_LABEL_CHARS}.");
        Err(Error::invalid(name, message))
    } else if text.chars().any(char::is_control) {
        Err(Error::invalid(
            name,
            format!("`{name}` must not hold control characters."),
        ))
    } else {
        Ok(())
    }
}

/// Checks a comment.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if it is longer than [`MAX_COMMENT_CHARS`] or holds U+0000, which Postgres can't store
/// in text.
pub fn check_comment(name: &str, text: &str) -> Result<()> {
    let chars = text.chars().count();
    if chars > MAX_COMMENT_CHARS {
        let message = format!("`{name}` has {chars} characters; the limit is {MAX_COMMENT_CHARS}.");
        return Err(Error::invalid(name, message));
    }
    if text.contains('\0') {
        return Err(Error::invalid(
            name,
            format!("`{name}` must not hold the character U+0000."),
        ));
    }
    Ok(())
}

/// Checks tags and removes duplicates, keeping the order of first mention.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if a tag breaks the rules of [`check_label`] or more than [`MAX_TAGS`] remain.
pub fn fold_tags(name: &str, tags: Vec<String>) -> Result<Vec<String>> {
    let mut folded: Vec<String> = Vec::with_capacity(tags.len().min(MAX_TAGS));
    for tag in tags {
        check_label(name, &tag)?;
        if folded.contains(&tag) {
            continue;
        }
        if folded.len() == MAX_TAGS {
            return Err(Error::invalid(
                name,
                format!("`{name}` has more than {MAX_TAGS} different tags."),
            ));
        }
        folded.push(tag);
    }
    Ok(folded)
}

/// Whether two lists have the same tags, in any order. Both must be free of duplicates, as all stored lists are.
pub fn are_same_tags(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|tag| other.contains(tag))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_text_comes_back_byte_for_byte() {
        for (text, encoding) in [
            ("MIIB", Encoding::Base64),
            ("MIIBAA==", Encoding::Base64),
            ("MIIBAA", Encoding::Text),
            ("MIIBAB==", Encoding::Text), // not canonical: the last bits are lost by decoding
            ("MIIB\n", Encoding::Text),
            ("MI IB", Encoding::Text),
            ("<a/>", Encoding::Text),
            ("\u{feff}<a/>", Encoding::Text),
            ("ключ", Encoding::Text),
        ] {
            let body = SignatureBody::from_text(text);
            assert_eq!(body.encoding, encoding, "{text}");
            assert_eq!(body.to_text(), text);
        }
    }

    proptest! {
        #[test]
        fn what_looks_like_base64_comes_back_too(text in "[A-Za-z0-9+/]{0,12}={0,3}") {
            prop_assert_eq!(SignatureBody::from_text(&text).to_text(), text);
        }
    }

    #[test]
    fn format_is_told_by_the_first_bytes() {
        let format = |text: &str| SignatureBody::from_text(text).format();
        assert_eq!(format("MIIB"), Format::Cms);
        assert_eq!(format("\u{feff} <a/>"), Format::Xml);
        assert_eq!(format("PGEvPgo="), Format::Xml);
        assert_eq!(format("0 is the byte 0x30"), Format::Unknown);
    }

    #[test]
    fn tags_fold_in_the_order_of_first_mention() {
        let tags =
            |tags: &[&str]| fold_tags("tags", tags.iter().map(ToString::to_string).collect());
        assert_eq!(tags(&["b", "a", "b"]).unwrap(), ["b", "a"]);
        assert!(tags(&[""]).is_err());
        assert!(tags(&["a\tb"]).is_err());
        assert!(tags(&[&"x".repeat(256)]).is_err());
        assert!(tags(&[&"ж".repeat(255)]).is_ok());
    }
}
