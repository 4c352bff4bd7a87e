//! Exports and imports as answers and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use sigpersist_verify::Time;
use sigpersist_verify::digest::Sha256;
use utoipa::ToSchema;

use crate::error::Error;
use crate::plugin::Digest;
use crate::transfer::{Counts, Imported};

/// An export of a tenant, under way or finished.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ExportContent)]
pub struct ExportView {
    /// Its id.
    #[schema(example = "7f0c2f4e9d5a41b7")]
    pub id: String,
    /// The tenant.
    #[schema(example = "acme")]
    pub tenant: String,
    /// State of the export.
    pub state: ExportState,
    /// Number of steps done.
    #[schema(example = 12)]
    pub steps_done: u64,
    /// Number of all steps; 0 while it is not known.
    #[schema(example = 12)]
    pub steps: u64,
    /// Size of the file, in bytes; null until it is finished.
    #[schema(example = 81920)]
    pub size: Option<u64>,
    /// SHA-256 of the file; null until it is finished.
    #[schema(value_type = Option<Sha256>)]
    pub sha256: Option<Digest>,
    /// Whether the tenant's keys are in it, encrypted.
    #[schema(example = false)]
    pub with_keys: bool,
    /// The number of lines of each kind; null until it is finished.
    pub counts: Option<Counts>,
    /// Faults of the tenant's audit trail, which is in the file as it is.
    #[schema(example = json!([]))]
    pub faults: Vec<String>,
    /// Reason why it failed.
    #[schema(example = json!(null))]
    pub failure: Option<FailureView>,
    /// When it began.
    pub created_at: Time,
}

/// State of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    /// The file is being written.
    Running,
    /// The file can be read.
    Done,
    /// There is no file.
    Failed,
}

/// An import of a tenant's file, under way or finished.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ImportContent)]
pub struct ImportView {
    /// SHA-256 of the file.
    #[schema(value_type = Sha256)]
    pub sha256: Digest,
    /// Size of the file, in bytes.
    #[schema(example = 81920)]
    pub size: u64,
    /// Number of bytes that have arrived. The next piece begins here.
    #[schema(example = 81920)]
    pub received: u64,
    /// State of the import.
    pub state: ImportState,
    /// The tenant that it is imported into.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Number of steps done in this state.
    #[schema(example = 12)]
    pub steps_done: u64,
    /// Number of all steps of this state; 0 while it is not known.
    #[schema(example = 12)]
    pub steps: u64,
    /// Whether the tenant has everything that is in the file; null until it is done.
    #[schema(example = true)]
    pub complete: Option<bool>,
    /// The result; null until it is done.
    pub imported: Option<Imported>,
    /// Reason why it failed.
    #[schema(example = json!(null))]
    pub failure: Option<FailureView>,
}

/// State of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// Pieces of the file arrive.
    Receiving,
    /// The file is read to its end, to find out whether it is complete and intact.
    Checking,
    /// The file is being imported.
    Importing,
    /// The file was imported.
    Done,
    /// The import failed. It can begin again, with the file that was received.
    Failed,
}

/// Reason why work in the background failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FailureContent)]
pub struct FailureView {
    /// The error code.
    #[schema(example = "refused")]
    pub code: String,
    /// A sentence for people.
    #[schema(
        example = "The passphrase does not decrypt the keys in the file: nothing was imported."
    )]
    pub message: String,
}

impl From<&Error> for FailureView {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
        }
    }
}
