//! The columns of a version that are read both for exports and to compare with a file.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Binary, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::error::Result;
use sigpersist_model::signature::Encoding;
use sigpersist_model::transfer::StoredVersion;

use super::signatures::{encoding_from_code, sha256_from_column, version_from_column};

/// A version without its thread and its bytes.
#[derive(QueryableByName)]
pub(super) struct VersionColumns {
    #[diesel(sql_type = Integer)]
    pub(super) version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    stage: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    comment: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    tags: Vec<String>,
    #[diesel(sql_type = CChar)]
    encoding: u8,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
}

impl VersionColumns {
    /// The version. `body` makes its body from encoding and digest.
    pub(super) fn into_stored<B>(
        self,
        body: impl FnOnce(Encoding, [u8; 32]) -> B,
    ) -> Result<StoredVersion<B>> {
        Ok(StoredVersion {
            version: version_from_column(self.version)?,
            created_at: self.created_at,
            stage: self.stage,
            created_by: self.created_by,
            comment: self.comment,
            tags: self.tags,
            body: body(
                encoding_from_code(self.encoding)?,
                sha256_from_column(self.sha256)?,
            ),
            salt: None,
            verdicts: Vec::new(),
        })
    }
}
