//! Data that a caller sends beside a signature, to verify it by. None of it is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sigpersist_verify::certificates;
use sigpersist_verify::pki::describe_certificate;

use crate::error::{Error, Result};

/// Greatest number of certificates beside a signature.
const MAX_CERTIFICATES: usize = 50;
/// Greatest size of these certificates in PEM, in bytes.
pub const MAX_CERTIFICATES_BYTES: usize = 256 * 1024;

/// Content and certificates that a caller sends beside a signature.
#[derive(Debug, Clone, Default)]
pub struct Attachments {
    /// The signed bytes, if the signature is detached.
    pub content: Option<Bytes>,
    /// Certificates in DER that help to verify and are not trusted.
    pub certificates: Vec<Vec<u8>>,
}

/// A value that may be sent as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent<'a> {
    /// Text, as in JSON and queries: bytes are in base64.
    Text(&'a str),
    /// The file itself.
    File(Bytes),
}

impl Attachments {
    /// Reads the parameters `content`, in base64 or a file, and `certificates`, in PEM or a file.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] if one of them is something else.
    pub fn read(content: Option<Sent<'_>>, certificates: Option<Sent<'_>>) -> Result<Self> {
        Ok(Self {
            content: content.map(read_content).transpose()?,
            certificates: certificates
                .map(read_certificates)
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

fn read_content(content: Sent<'_>) -> Result<Bytes> {
    let base64 = match content {
        Sent::File(file) => return Ok(file),
        Sent::Text(base64) => base64,
    };
    STANDARD.decode(base64).map(Bytes::from).map_err(|_| {
        let message = "`content` must be the signed content of a detached signature, in base64.";
        Error::invalid("content", message)
    })
}

fn read_certificates(sent: Sent<'_>) -> Result<Vec<Vec<u8>>> {
    let file = match &sent {
        Sent::File(file) => file,
        Sent::Text(pem) => pem.as_bytes(),
    };
    let found = certificates(file).take(MAX_CERTIFICATES + 1);
    let found: Vec<_> = found.collect();
    let are_good = (1..=MAX_CERTIFICATES).contains(&found.len())
        && file.len() <= MAX_CERTIFICATES_BYTES
        && found.iter().all(|it| describe_certificate(it).is_some());
    if are_good {
        return Ok(found);
    }
    let message = format!(
        "`certificates` must hold 1 to {MAX_CERTIFICATES} certificates in PEM, in at most {MAX_CERTIFICATES_BYTES} bytes."
    );
    Err(Error::invalid("certificates", message))
}
