//! Everything that a verification of a proof needs, in one file.

use std::io::{Cursor, Write as _};

use sigpersist_model::error::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::proof::Proof;

/// How to verify it, for people.
const INSTRUCTIONS: &str = include_str!("bundle.md");

impl Proof {
    /// The files of the proof, with their names.
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let signature = self.signature.body.as_ref();
        vec![
            (
                "signature",
                signature
                    .map(|body| body.bytes.to_vec())
                    .unwrap_or_default(),
            ),
            ("metadata", self.metadata.clone()),
            ("entry", self.entry.clone().into_bytes()),
            ("proof.tlog-proof", self.proof.to_string().into_bytes()),
            ("checkpoint", self.proof.checkpoint.clone().into_bytes()),
            ("VERIFY.md", INSTRUCTIONS.as_bytes().to_vec()),
        ]
    }

    /// A ZIP file with all of [`Self::files`].
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if it can't be made.
    pub fn bundle(&self) -> Result<Vec<u8>> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in self.files() {
            zip.start_file(name, options).map_err(Error::internal)?;
            zip.write_all(&content).map_err(Error::internal)?;
        }
        Ok(zip.finish().map_err(Error::internal)?.into_inner())
    }
}
