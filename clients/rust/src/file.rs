//! Versions as files.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG};
use percent_encoding::percent_decode_str;

use crate::error::Error;
use crate::request::Answer;

/// A version as a file.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredFile {
    /// The signature: CMS as DER or BER, XML as it was saved.
    pub data: Bytes,
    /// Its media type, such as `application/pkcs7-signature`.
    pub content_type: String,
    /// The name that the server suggests. It has no folder in it.
    pub filename: String,
    /// The version.
    pub version: u32,
}

impl StoredFile {
    pub(crate) const TYPES: &str = "application/pkcs7-signature, application/pkcs7-mime, application/xml, text/xml, application/octet-stream";

    pub(crate) fn read(answer: Answer) -> Result<Self, Error> {
        let header = |name| {
            let value = answer.header(name);
            value.ok_or_else(|| answer.unreadable(format!("it lacks {name}")))
        };
        let kind = header(&CONTENT_TYPE)?.split(';').next().unwrap_or_default();
        let tag = header(&ETAG)?.trim_matches('"');
        // The tag is the version, a hyphen and the digest.
        let version = tag.split('-').next().and_then(|text| text.parse().ok());
        Ok(Self {
            version: version.ok_or_else(|| answer.unreadable("its tag names no version"))?,
            filename: filename(header(&CONTENT_DISPOSITION)?)
                .ok_or_else(|| answer.unreadable("it has no filename"))?,
            content_type: kind.to_owned(),
            data: answer.body.clone(),
        })
    }
}

/// The name in `Content-Disposition` (RFC 6266). It has the document's, which may look like a path.
fn filename(disposition: &str) -> Option<String> {
    let parameter = |name: &str| {
        let mut parts = disposition.split(';').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name))
    };
    let name = match parameter("filename*=UTF-8''") {
        Some(encoded) => percent_decode_str(encoded).decode_utf8().ok()?.into_owned(),
        None => parameter("filename=")?.trim_matches('"').to_owned(),
    };
    Some(name.replace(['/', '\\'], "_"))
}

impl fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFile")
            .field("filename", &self.filename)
            .field("content_type", &self.content_type)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::filename;

    #[test]
    fn names_have_no_folder() {
        for (header, name) in [
            ("attachment; filename=\"d-t-1.p7s\"", "d-t-1.p7s"),
            (
                "attachment; filename=\"x\"; filename*=UTF-8''%D0%B4-t-1.xml",
                "д-t-1.xml",
            ),
            (
                "attachment; filename*=UTF-8''..%2Fetc%5Cpasswd",
                ".._etc_passwd",
            ),
        ] {
            assert_eq!(filename(header).as_deref(), Some(name));
        }
        assert_eq!(filename("attachment"), None);
    }
}
