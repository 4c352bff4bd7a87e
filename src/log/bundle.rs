//! Everything that a verification of a proof needs, in one file.

use std::io::{Cursor, Write as _};

use sigpersist_model::error::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::offline::FILE_NAMES;
use super::proof::Proof;

/// How to verify it, for people.
const INSTRUCTIONS: &str = include_str!("bundle.md");

impl Proof {
    /// The contents of [`FILE_NAMES`].
    fn files(&self, signature: &[u8]) -> [Vec<u8>; FILE_NAMES.len()] {
        [
            signature.to_vec(),
            self.metadata.clone(),
            self.entry.clone().into_bytes(),
            self.proof.to_string().into_bytes(),
            self.proof.checkpoint.clone().into_bytes(),
            INSTRUCTIONS.as_bytes().to_vec(),
        ]
    }

    /// A ZIP file with all files of the proof, and the bytes of the version.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if it can't be made.
    pub fn bundle(&self, signature: &[u8]) -> Result<Vec<u8>> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in FILE_NAMES.into_iter().zip(self.files(signature)) {
            zip.start_file(name, options).map_err(Error::internal)?;
            zip.write_all(&content).map_err(Error::internal)?;
        }
        Ok(zip.finish().map_err(Error::internal)?.into_inner())
    }
}
