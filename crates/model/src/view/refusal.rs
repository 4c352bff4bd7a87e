//! Saves and deletes that were refused, as events tell of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::plugin::Operation;

/// A save or delete that was refused by hooks or by the tenant's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusalContent)]
pub struct RefusalView {
    /// What was refused.
    pub operation: Operation,
    /// The code that the client was answered: `signature_not_accepted`, `hook_rejected` or `hook_failed`.
    #[schema(example = "hook_rejected")]
    pub code: String,
    /// The sentence that the client was answered; at most 300 characters of it.
    #[schema(example = "The hook `require-countersignature` refused this request.")]
    pub message: String,
    /// The reasons, at most 10.
    pub reasons: Vec<RefusalReason>,
    /// The number of refusals before it that the log does not have, since there were too many in a minute.
    #[schema(example = 0)]
    pub omitted: u64,
}

/// A reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusalReasonContent)]
pub struct RefusalReason {
    /// What refused it.
    pub by: RefusedBy,
    /// The name of the hook; of a policy, what it accepts.
    #[schema(example = "require-countersignature")]
    pub name: String,
    /// The plugin's own code, or the code that the client was answered.
    #[schema(example = "signer-dropped")]
    pub code: String,
    /// A sentence for people; at most 300 characters of it.
    #[schema(example = "The new version drops a signer")]
    pub message: String,
}

/// What refuses saves and deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBy {
    /// A hook.
    Hook,
    /// The tenant's policy.
    Policy,
}
