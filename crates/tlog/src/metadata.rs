//! The metadata that an entry's seal hides: bytes, and their hash, the *blind*.
//!
//! The blind commits to the metadata and hides the signature's own hash from readers of neighbouring entries. Its salt
//! is random and belongs to one entry: once it is erased, nobody can test guesses of erased metadata.
//!
//! The bytes are a line, then netstrings. They are hashed into logs, so they never change; a new spelling gets a new
//! line.

use crate::hash::{Hash, sha256};
use crate::invalid::Invalid;
use crate::netstring::{Writer, read_all};
use crate::text::decimal;

/// The first line.
const PREFIX: &str = "sigpersist.dev/metadata/v1\n";
/// How metadata of every format begin.
const ANY_PREFIX: &[u8] = b"sigpersist.dev/metadata/";

/// Whether bytes begin as metadata do: verifiers refuse such objects.
///
/// A seal covers an object and its metadata in the order of their hashes, so whoever could store metadata as an object could
/// exchange the two later.
pub fn is_like_metadata(object: &[u8]) -> bool {
    object.starts_with(ANY_PREFIX)
}

/// The length of a salt in bytes.
pub const SALT_BYTES: usize = size_of::<Salt>();

/// Random bytes that keep a blind from being guessed.
pub type Salt = [u8; 16];

/// The metadata of a version.
#[derive(Debug)]
pub struct VersionMetadata<'a, T = String> {
    /// The document.
    pub document: &'a str,
    /// The thread.
    pub thread: &'a str,
    /// The version's number in the thread, from 1.
    pub version: u32,
    /// The spelling in which the signature was given: `base64` or `text`.
    pub encoding: &'a str,
    /// The stage.
    pub stage: Option<&'a str>,
    /// The author.
    pub created_by: Option<&'a str>,
    /// The comment.
    pub comment: Option<&'a str>,
    /// The tags, in their order.
    pub tags: &'a [T],
}

impl<T> Clone for VersionMetadata<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for VersionMetadata<'_, T> {}

impl<T: AsRef<str>> VersionMetadata<'_, T> {
    /// The bytes that are hashed.
    pub fn to_bytes(&self, salt: &Salt) -> Vec<u8> {
        let mut writer = Writer::new(PREFIX);
        writer.add(salt);
        writer.add(self.document);
        writer.add(self.thread);
        writer.add(self.version.to_string());
        writer.add(self.encoding);
        writer.add_optional(self.stage);
        writer.add_optional(self.created_by);
        writer.add_optional(self.comment);
        writer.add(self.tags.len().to_string());
        for tag in self.tags {
            writer.add(tag.as_ref());
        }
        writer.finish()
    }

    /// The hash of the bytes.
    pub fn blind(&self, salt: &Salt) -> Hash {
        sha256(&self.to_bytes(salt))
    }
}

/// The blind of an entry that is not of a version, over the text of its event's JSON.
pub fn other_blind(salt: &Salt, json: &str) -> Hash {
    sha256(&other_bytes(salt, json))
}

/// The bytes that [`other_blind`] hashes.
pub fn other_bytes(salt: &Salt, json: &str) -> Vec<u8> {
    let mut writer = Writer::new(PREFIX);
    writer.add(salt);
    writer.add(json);
    writer.finish()
}

/// A version's metadata, read from bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedVersionMetadata {
    /// The document.
    pub document: String,
    /// The thread.
    pub thread: String,
    /// The version's number in the thread, from 1.
    pub version: u32,
    /// The spelling in which the signature was given: `base64` or `text`.
    pub encoding: String,
    /// The stage.
    pub stage: Option<String>,
    /// The author.
    pub created_by: Option<String>,
    /// The comment.
    pub comment: Option<String>,
    /// The tags, in their order.
    pub tags: Vec<String>,
}

impl OwnedVersionMetadata {
    /// Borrows all of it.
    pub fn borrowed(&self) -> VersionMetadata<'_> {
        VersionMetadata {
            document: &self.document,
            thread: &self.thread,
            version: self.version,
            encoding: &self.encoding,
            stage: self.stage.as_deref(),
            created_by: self.created_by.as_deref(),
            comment: self.comment.as_deref(),
            tags: &self.tags,
        }
    }
}

/// Metadata of any entry, read from bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    /// Metadata of a version.
    Version {
        /// The salt.
        salt: Salt,
        /// The metadata.
        version: OwnedVersionMetadata,
    },
    /// Metadata of any other entry.
    Other {
        /// The salt.
        salt: Salt,
        /// The event's JSON.
        json: String,
    },
}

impl Metadata {
    /// Reads the bytes that a blind is the hash of.
    ///
    /// # Errors
    ///
    /// [`Invalid::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("metadata");
        let rest = bytes.strip_prefix(PREFIX.as_bytes()).ok_or(malformed(
            "the first line is not `sigpersist.dev/metadata/v1`",
        ))?;
        let parts = read_all(rest).ok_or(malformed("it is not a list of netstrings"))?;
        let Some((Some(salt), parts)) = parts.split_first() else {
            return Err(malformed("there is no salt"));
        };
        let salt = Salt::try_from(*salt).map_err(|_| malformed("a salt has 16 bytes"))?;
        let parts: Option<Vec<_>> = parts.iter().copied().map(text).collect();
        let parts = parts.ok_or(malformed("a text is not UTF-8"))?;
        if let [Some(json)] = parts.as_slice() {
            let json = json.clone();
            return Ok(Self::Other { salt, json });
        }
        let version = version(parts).ok_or(malformed("it is not that of a version"))?;
        Ok(Self::Version { salt, version })
    }

    /// The bytes that are hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Version { salt, version } => version.borrowed().to_bytes(salt),
            Self::Other { salt, json } => other_bytes(salt, json),
        }
    }

    /// The hash of the bytes.
    pub fn blind(&self) -> Hash {
        sha256(&self.to_bytes())
    }
}

/// Decodes a text that may be missing; none if it is not UTF-8.
fn text(part: Option<&[u8]>) -> Option<Option<String>> {
    let Some(part) = part else {
        return Some(None);
    };
    Some(Some(std::str::from_utf8(part).ok()?.to_owned()))
}

/// Reads what follows the salt of a version.
fn version(parts: Vec<Option<String>>) -> Option<OwnedVersionMetadata> {
    let mut parts = parts.into_iter();
    let read = OwnedVersionMetadata {
        document: parts.next()??,
        thread: parts.next()??,
        version: u32::try_from(decimal(&parts.next()??)?).ok()?,
        encoding: parts.next()??,
        stage: parts.next()?,
        created_by: parts.next()?,
        comment: parts.next()?,
        tags: {
            let count = decimal(&parts.next()??)?;
            let tags: Vec<_> = parts.collect::<Option<_>>()?;
            (u64::try_from(tags.len()).ok()? == count).then_some(tags)?
        },
    };
    Some(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: Salt = *b"0123456789abcde\n";

    #[test]
    fn bytes_of_a_version_never_change() {
        let metadata = VersionMetadata {
            document: "1",
            thread: "договор",
            version: 12,
            encoding: "base64",
            stage: Some("draft"),
            created_by: None,
            comment: Some(""),
            tags: &["a,b", "c"],
        };
        let bytes = metadata.to_bytes(&SALT);
        let expected = "sigpersist.dev/metadata/v1\n16:0123456789abcde\n,1:1,14:договор,2:12,6:base64,5:draft,-0:,1:2,3:a,b,1:c,";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(metadata.blind(&SALT), sha256(&bytes));
        let read = Metadata::parse(&bytes).unwrap();
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.blind(), metadata.blind(&SALT));
        let Metadata::Version { salt, version } = read else {
            panic!("{read:?}");
        };
        assert_eq!((salt, version.tags.len()), (SALT, 2));
    }

    #[test]
    fn bytes_of_other_entries_never_change() {
        let bytes = other_bytes(&SALT, "{}");
        assert_eq!(
            bytes,
            b"sigpersist.dev/metadata/v1\n16:0123456789abcde\n,2:{},"
        );
        assert_eq!(other_blind(&SALT, "{}"), sha256(&bytes));
        let read = Metadata::parse(&bytes).unwrap();
        let json = "{}".to_owned();
        assert_eq!(read, Metadata::Other { salt: SALT, json });
        assert_eq!(read.blind(), other_blind(&SALT, "{}"));
    }

    #[test]
    fn malformed_metadata_is_refused() {
        let salt = "16:0123456789abcdef,";
        let start = "1:1,1:2,1:3,4:text,---";
        let is_read = |rest: &str| Metadata::parse(format!("{PREFIX}{rest}").as_bytes()).is_ok();
        assert!(is_read(&format!("{salt}{start}0:,").replace("0:,", "1:0,")));
        for rest in [
            String::new(),
            salt.to_owned(),
            format!("15:0123456789abcde,{start}1:0,"),
            format!("-{start}1:0,"),
            format!("{salt}{start}"),
            format!("{salt}{start}-"),
            format!("{salt}{start}1:1,"),
            format!("{salt}{start}1:1,-"),
            format!("{salt}{start}1:0,1:a,"),
            format!("{salt}{start}2:00,"),
            format!("{salt}{}1:0,", start.replace("1:3", "2:03")),
            format!("{salt}{}1:0,", start.replace("1:3", "10:4294967296")),
            format!("{salt}{}1:0,", start.replace("1:1,", "-")),
            format!("{salt}-"),
        ] {
            assert!(!is_read(&rest), "{rest}");
        }
        assert!(Metadata::parse(b"sigpersist.dev/metadata/v2\n").is_err());
        let not_utf8 = [PREFIX.as_bytes(), salt.as_bytes(), b"1:\xff,"].concat();
        assert!(Metadata::parse(&not_utf8).is_err());
    }

    proptest! {
        #[test]
        fn metadata_of_every_version_is_read_again(
            salt: Salt,
            texts: (String, String, String),
            version: u32,
            optional: (Option<String>, Option<String>, Option<String>),
            tags: Vec<String>,
        ) {
            let version = OwnedVersionMetadata {
                document: texts.0,
                thread: texts.1,
                version,
                encoding: texts.2,
                stage: optional.0,
                created_by: optional.1,
                comment: optional.2,
                tags,
            };
            let metadata = Metadata::Version { salt, version };
            prop_assert_eq!(Metadata::parse(&metadata.to_bytes()), Ok(metadata));
        }

        #[test]
        fn metadata_that_is_read_is_written_alike(rest in "(16:[a-z]{16},)?([0-3]:[0-9]{0,3},|-){0,12}") {
            let bytes = format!("{PREFIX}{rest}").into_bytes();
            if let Ok(metadata) = Metadata::parse(&bytes) {
                prop_assert_eq!(metadata.to_bytes(), bytes);
            }
        }
    }
}
