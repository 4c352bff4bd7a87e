//! Forms with files (RFC 7578), in which signatures go to the API as they are on disk.

use std::path::PathBuf;

use clap::Args;
use sigpersist_runtime::vault::random_name;
use sigpersist_verify::pki::to_pem;

use super::{read, read_certificates};
use crate::cli::door::Request;

/// Files that help to verify a signature. None of them is stored.
#[derive(Debug, Args)]
pub(super) struct Attachments {
    /// The signed document, if the signature is detached. It is compared, and not stored.
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
    /// Further certificates, PEM or DER, which are not trusted: those of signers and intermediate authorities that are
    /// not in the signature; repeat for several files.
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
}

impl Attachments {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_none() && self.certificate.is_empty()
    }

    /// Puts a signature and these files into the body of a request.
    pub(super) fn with_signature<'a>(
        &self,
        request: Request<'a>,
        signature: &[u8],
    ) -> anyhow::Result<Request<'a>> {
        let mut form = Form::new()?;
        form.file("cms", signature);
        if let Some(content) = &self.content {
            form.file("content", &read(content)?);
        }
        let certificates = read_certificates(&self.certificate)?;
        if !certificates.is_empty() {
            let pem: String = certificates
                .iter()
                .map(|der| to_pem("CERTIFICATE", der))
                .collect();
            form.file("certificates", pem.as_bytes());
        }
        Ok(form.put_into(request))
    }
}

/// A form that is being written.
struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// An empty form, whose boundary nobody can have put into a file.
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            boundary: random_name()?,
            body: Vec::new(),
        })
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n",
            self.boundary
        );
        self.body.extend(head.bytes());
        self.body.extend(content);
        self.body.extend(b"\r\n");
    }

    fn put_into(mut self, request: Request<'_>) -> Request<'_> {
        self.body
            .extend(format!("--{}--\r\n", self.boundary).bytes());
        let kind = format!("multipart/form-data; boundary={}", self.boundary);
        request.body(&kind, self.body.into())
    }
}
