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
}

impl From<&Caller> for CallerView {
    fn from(caller: &Caller) -> Self {
        let tenant = caller.tenant.as_ref();
        Self {
            tenant: tenant.map(|tenancy| tenancy.slug.to_string()),
            subject: caller.subject.clone(),
            key: caller.key.as_deref().map(str::to_owned),
            scopes: caller.scopes.clone(),
        }
    }
}
