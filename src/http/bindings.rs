//! Handlers for the bindings that hooks had.

use serde::Serialize;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::view::{BindingDiffView, BindingView};
use utoipa::ToSchema;

use super::operators::parsed;
use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::plugins;

#[derive(Serialize, ToSchema)]
struct BindingsContent {
    /// Bindings, newest first.
    bindings: Vec<BindingView>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = json!(null))]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OneBinding {
    /// The binding.
    binding: BindingView,
}

#[derive(Serialize, ToSchema)]
struct DiffContent {
    /// The differences.
    diff: BindingDiffView,
}

/// Lists all bindings that a hook had, newest first, also after it was removed.
///
/// Each change of a hook is a new binding. `POST /hooks/{name}/rollback` restores any of them.
#[utoipa::path(
    get,
    path = "/hooks/{name}/bindings",
    operation_id = "list_bindings",
    responses(
        (status = 200, description = "A page of bindings", body = Envelope<BindingsContent>),
        (status = 404, description = "hook_not_found"),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let after = parsed::<Cursor>(&parameters, &parameter::CURSOR_OF_BINDINGS)?;
    let page = plugins::history(
        &call.app,
        call.context.tenant()?,
        call.name(),
        after.map(|Cursor(number)| number),
        parameters.limit(&parameter::LIMIT_OF_BINDINGS)?,
    )?;
    Reply::content(&BindingsContent {
        bindings: page.items.into_iter().map(Into::into).collect(),
        next: page.next.map(|next| next.to_string()),
    })
}

/// Reads a binding that a hook had.
#[utoipa::path(
    get,
    path = "/hooks/{name}/bindings/{number}",
    operation_id = "get_binding",
    responses(
        (status = 200, description = "The binding", body = Envelope<OneBinding>),
        (status = 404, description = "hook_not_found, binding_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let binding = binding(&call, Some(number(&call)?))?;
    Reply::content(&OneBinding { binding })
}

/// Compares a binding that a hook had with the one in force, or with another one.
#[utoipa::path(
    get,
    path = "/hooks/{name}/bindings/{number}/diff",
    operation_id = "compare_bindings",
    responses(
        (status = 200, description = "What differs", body = Envelope<DiffContent>),
        (status = 404, description = "hook_not_found, binding_not_found"),
    )
)]
pub(super) fn diff(call: Call) -> Result<Reply> {
    let to = call.parameters()?.integer(&parameter::OTHER_BINDING)?;
    let from = binding(&call, Some(number(&call)?))?;
    let to = binding(&call, to)?;
    Reply::content(&DiffContent {
        diff: BindingDiffView::new(&from, &to),
    })
}

/// A cursor: the number of the last binding of a page.
struct Cursor(u32);

impl std::str::FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number @ 1..) => Ok(Self(number)),
            _ => Err("it must be the `next` of an earlier answer".to_owned()),
        }
    }
}

fn binding(call: &Call, number: Option<u32>) -> Result<BindingView> {
    let tenant = call.context.tenant()?;
    plugins::binding(&call.app, tenant, call.name(), number).map(Into::into)
}

/// The number in the path. A malformed one names no binding.
fn number(call: &Call) -> Result<u32> {
    let number = call.segment(1).parse();
    number.map_err(|_| Error::NotFound(Noun::Binding))
}
