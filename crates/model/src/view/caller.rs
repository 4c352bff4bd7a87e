//! Callers as answers and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::context::{Caller, Scope};

/// The caller of a request, as its token says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = CallerContent)]
pub struct CallerView {
    /// The tenant that the caller belongs to; null for a caller of the platform.
    #[schema(example = "acme")]
    pub tenant: Option<String>,
    /// The `sub` claim of the token.
    #[schema(example = "crm")]
    pub subject: Option<String>,
    /// The key that verified the token.
    #[schema(example = "acme-1")]
    pub key: Option<String>,
    /// What the token allows. Unknown scopes of the token are left out.
    #[schema(example = json!(["signatures:read"]))]
    pub scopes: Vec<Scope>,
    /// The only document that the token is for; left out if it is bound to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "doc_12")]
    pub document: Option<String>,
    /// The document's only thread that the token is for; left out if it is for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ticket_42")]
    pub thread: Option<String>,
}

impl From<&Caller> for CallerView {
    fn from(caller: &Caller) -> Self {
        let tenant = caller.tenant.as_ref();
        let bound_to = caller.bound_to.clone();
        let (document, thread) = bound_to.map(|one| (one.document, one.thread)).unzip();
        Self {
            tenant: tenant.map(|tenancy| tenancy.slug.to_string()),
            subject: caller.subject.clone(),
            key: caller.key.as_deref().map(str::to_owned),
            scopes: caller.scopes.clone(),
            document,
            thread: thread.flatten(),
        }
    }
}
