//! Handler that tells callers who they are.

use serde::Serialize;
use sigpersist_model::error::Result;
use sigpersist_model::view::CallerView;
use utoipa::ToSchema;

use super::reply::{Envelope, Reply};
use super::respond::Call;

#[derive(Serialize, ToSchema)]
struct WhoamiContent {
    /// The caller.
    caller: CallerView,
}

/// Reports whose token this is, and what it allows.
#[utoipa::path(
    get,
    path = "/whoami",
    tag = "keys",
    operation_id = "get_caller",
    responses(
        (status = 200, description = "The caller", body = Envelope<WhoamiContent>),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    Reply::content(&WhoamiContent {
        caller: CallerView::from(&*call.context.caller),
    })
}
