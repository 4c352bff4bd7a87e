//! Witnesses as answers and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time;
use crate::witness::{Witness, WitnessState};

/// A witness, which signs checkpoints of a log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = WitnessContent)]
pub struct WitnessView {
    /// The name of its key.
    #[schema(example = "witness.example.com/w1")]
    pub name: String,
    /// Its submission prefix (C2SP tlog-witness): the beginning of its addresses.
    #[schema(example = "https://witness.example.com/w1")]
    pub url: String,
    /// Its public key (C2SP signed-note).
    #[schema(
        example = "witness.example.com/w1+7e6f4aaa+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
    )]
    pub key: String,
    /// When it was added.
    #[schema(value_type = sigpersist_verify::Time)]
    pub created_at: String,
    /// `new` until it is asked; `signing`; `failing` if it could not be reached or did not answer with a signature;
    /// `unknown_log` if its operator must add the log first; `refused` if it signed another history of the log, since the
    /// database went back in time or somebody changed the log.
    pub state: WitnessState,
    /// Since when it is in that state.
    #[schema(value_type = sigpersist_verify::Time)]
    pub since: String,
    /// Why it did not sign when it was asked last; null if it did.
    #[schema(example = json!(null))]
    pub because: Option<String>,
    /// The tree of the log that the last checkpoint is about which it signed; null if it signed none.
    #[schema(example = 1)]
    pub signed_epoch: Option<i16>,
    /// The number of entries of that tree; null if it signed none.
    #[schema(example = 8120)]
    pub signed_size: Option<i64>,
    /// When it signed that checkpoint; null if it signed none.
    #[schema(value_type = Option<sigpersist_verify::Time>)]
    pub signed_at: Option<String>,
    /// The number of entries of the current tree that it has not signed.
    #[schema(example = 3)]
    pub behind: i64,
}

impl From<Witness> for WitnessView {
    fn from(witness: Witness) -> Self {
        let signed = witness.signed;
        Self {
            name: witness.name,
            url: witness.url,
            key: witness.key,
            created_at: time::to_text(witness.created_at),
            state: witness.state,
            since: time::to_text(witness.since),
            because: witness.why,
            signed_epoch: signed.map(|signed| signed.epoch),
            signed_size: signed.map(|signed| signed.size),
            signed_at: signed.map(|signed| time::to_text(signed.at)),
            behind: witness.behind,
        }
    }
}
