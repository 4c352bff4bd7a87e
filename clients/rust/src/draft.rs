//! Signatures to save.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

/// A signature: CMS in base64, XML, or the bytes of either. Bytes go to the server in base64.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cms(String);

impl From<Vec<u8>> for Cms {
    fn from(bytes: Vec<u8>) -> Self {
        Self(BASE64.encode(bytes))
    }
}

impl From<&[u8]> for Cms {
    fn from(bytes: &[u8]) -> Self {
        Self(BASE64.encode(bytes))
    }
}

impl From<String> for Cms {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Cms {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Cms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cms(<{} characters>)", self.0.len())
    }
}

/// A signature to save, with what is to be stored beside it. It is the first of its thread, unless [`Self::over`] says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Draft {
    pub(crate) document: String,
    pub(crate) thread: String,
    version: u32,
    cms: Cms,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Cms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<String>,
    #[serde(skip)]
    pub(crate) wait_s: u32,
}

impl Draft {
    /// The first signature of a document in a thread.
    pub fn new(
        document: impl Into<String>,
        thread: impl Into<String>,
        cms: impl Into<Cms>,
    ) -> Self {
        Self {
            document: document.into(),
            thread: thread.into(),
            version: 0,
            cms: cms.into(),
            tags: Vec::new(),
            stage: None,
            version_created_by: None,
            version_comment: None,
            content: None,
            certificates: None,
            wait_s: 0,
        }
    }

    /// The version that was signed. Never save a signature over a version that its signer has not seen: use
    /// [`countersign`](crate::Client::countersign).
    #[must_use]
    pub fn over(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Adds a tag. A version does not inherit the tags of the one before it.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds tags.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Sets the stage of the version.
    #[must_use]
    pub fn stage(mut self, stage: impl Into<String>) -> Self {
        self.stage = Some(stage.into());
        self
    }

    /// Sets the creator of the version, in your own words.
    #[must_use]
    pub fn created_by(mut self, who: impl Into<String>) -> Self {
        self.version_created_by = Some(who.into());
        self
    }

    /// Sets a comment on the version.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.version_comment = Some(comment.into());
        self
    }

    /// Gives the bytes that a detached signature signs. It is verified against them; they are not stored.
    #[must_use]
    pub fn content(mut self, content: &[u8]) -> Self {
        self.content = Some(content.into());
        self
    }

    /// Gives certificates in PEM that the verification needs and the signature lacks.
    #[must_use]
    pub fn certificates(mut self, pem: impl Into<String>) -> Self {
        self.certificates = Some(pem.into());
        self
    }

    /// Waits up to this many seconds, 25 at most, until the version is in the tenant's log. It is saved in any case. Not for
    /// [`save_many`](crate::Client::save_many).
    #[must_use]
    pub fn wait(mut self, seconds: u32) -> Self {
        self.wait_s = seconds.min(25);
        self
    }
}
