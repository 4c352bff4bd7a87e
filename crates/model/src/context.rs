//! The caller, the tenant it acts for, and the request id: the input that every use-case gets first.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::{Actor, ActorKind};
use crate::error::{Error, Result};
use crate::quotas::Quotas;

/// The tenant's id in the database. Never shown to clients; they use the slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub i32);

/// The platform's id in row-level security and change notifications. No tenant has id 0.
pub const PLATFORM: TenantId = TenantId(0);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A permission of a token, as spelt in its `scope` claim (RFC 8693 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Read and list signatures.
    #[serde(rename = "signatures:read")]
    SignaturesRead,
    /// Save signatures.
    #[serde(rename = "signatures:write")]
    SignaturesWrite,
    /// Delete signatures.
    #[serde(rename = "signatures:delete")]
    SignaturesDelete,
    /// See plugins and their revisions.
    #[serde(rename = "plugins:read")]
    PluginsRead,
    /// Upload and delete plugins.
    #[serde(rename = "plugins:write")]
    PluginsWrite,
    /// See hooks.
    #[serde(rename = "hooks:read")]
    HooksRead,
    /// Bind, configure and remove hooks.
    #[serde(rename = "hooks:write")]
    HooksWrite,
    /// Read a tenant's policy and trust anchors.
    #[serde(rename = "policy:read")]
    PolicyRead,
    /// Change a tenant's policy and trust anchors.
    #[serde(rename = "policy:write")]
    PolicyWrite,
    /// See tenants and their usage.
    #[serde(rename = "tenants:read")]
    TenantsRead,
    /// Create, change, suspend and delete tenants; only for callers of the platform.
    #[serde(rename = "tenants:write")]
    TenantsWrite,
    /// Export whole tenants with their signatures, and import what is in a file, such as hooks and policies; only for
    /// callers of the platform. Keys need `keys:write`, too, and new tenants `tenants:write`.
    #[serde(rename = "tenants:transfer")]
    TenantsTransfer,
    /// See, add and revoke keys, and issue tokens; only for callers of the platform. It includes every other permission
    /// on the platform, since its holder can issue any token.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Read the audit trail.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Follow what happens.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Read the log: proofs of versions, checkpoints and tiles.
    #[serde(rename = "log:read")]
    LogRead,
    /// Set up the log: its witnesses, and whether it is open to the public.
    #[serde(rename = "log:write")]
    LogWrite,
    /// See webhooks and their calls.
    #[serde(rename = "webhooks:read")]
    WebhooksRead,
    /// Make, change, test and delete webhooks.
    #[serde(rename = "webhooks:write")]
    WebhooksWrite,
    /// Read the server's metrics; only for callers of the platform.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 20] = [
        Self::SignaturesRead,
        Self::SignaturesWrite,
        Self::SignaturesDelete,
        Self::PluginsRead,
        Self::PluginsWrite,
        Self::HooksRead,
        Self::HooksWrite,
        Self::PolicyRead,
        Self::PolicyWrite,
        Self::TenantsRead,
        Self::TenantsWrite,
        Self::TenantsTransfer,
        Self::KeysWrite,
        Self::AuditRead,
        Self::EventsRead,
        Self::LogRead,
        Self::LogWrite,
        Self::WebhooksRead,
        Self::WebhooksWrite,
        Self::MetricsRead,
    ];

    /// The scopes of a token for one document, if none are given.
    pub const DOCUMENT: [Self; 2] = [Self::SignaturesRead, Self::SignaturesWrite];

    /// The scopes of a tenant application.
    pub const APPLICATION: [Self; 4] = [
        Self::SignaturesRead,
        Self::SignaturesWrite,
        Self::SignaturesDelete,
        Self::EventsRead,
    ];

    /// The scope's spelling in a claim.
    pub fn as_str(self) -> &'static str {
        crate::words::word(&self)
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "there is no scope `{text}`; the scopes are {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

/// A tenant on whose behalf a request acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// The tenant.
    pub id: TenantId,
    /// Its slug.
    pub slug: Arc<str>,
}

/// The owner of keys and tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The platform, whose operators act for any tenant.
    Platform,
    /// A tenant.
    Tenant(Tenancy),
}

impl Owner {
    /// The tenant's id, or [`PLATFORM`].
    pub fn id(&self) -> TenantId {
        self.tenancy().map_or(PLATFORM, |tenancy| tenancy.id)
    }

    /// The tenant's slug; none for the platform.
    pub fn slug(&self) -> Option<&str> {
        self.tenancy().map(|tenancy| &*tenancy.slug)
    }

    /// The tenant; none for the platform.
    pub fn tenancy(&self) -> Option<&Tenancy> {
        match self {
            Self::Platform => None,
            Self::Tenant(tenancy) => Some(tenancy),
        }
    }
}

impl From<Option<Tenancy>> for Owner {
    fn from(tenancy: Option<Tenancy>) -> Self {
        tenancy.map_or(Self::Platform, Self::Tenant)
    }
}

/// The only document that a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneDocument {
    /// The document's code.
    pub document: String,
    /// Its only thread that the token is for; none for all of them.
    pub thread: Option<String>,
}

/// A caller whose token was verified, or who needs no token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant that the token's key belongs to; none for a key of the platform.
    pub tenant: Option<Tenancy>,
    /// The quotas set for that tenant.
    pub quotas: Quotas<Option<u64>>,
    /// The token's `sub` claim.
    pub subject: Option<String>,
    /// The `kid` of the key that verified the token, for one of an identity provider after its name and a slash; none without
    /// a token.
    pub key: Option<Arc<str>>,
    /// Scopes of the token.
    pub scopes: Vec<Scope>,
    /// The only document that the token is for; none for a token that is bound to no document.
    pub bound_to: Option<OneDocument>,
    /// Whether this is the command line on the server's machine, which needs no token.
    pub is_command_line: bool,
}

impl Caller {
    /// An anonymous caller, for routes that need no token.
    pub fn nobody() -> Self {
        Self {
            tenant: None,
            quotas: Quotas::default(),
            subject: None,
            key: None,
            scopes: Vec::new(),
            bound_to: None,
            is_command_line: false,
        }
    }

    /// Anybody who may run commands on the server's machine: acts as an operator of the platform.
    pub fn command_line() -> Self {
        Self {
            subject: Actor::command_line().subject,
            scopes: Scope::ALL.to_vec(),
            is_command_line: true,
            ..Self::nobody()
        }
    }

    /// The same, acting as a tenant: whatever holds for the tenant's own callers, such as its quotas, holds for it.
    pub fn command_line_as(tenant: Tenancy, quotas: Quotas<Option<u64>>) -> Self {
        Self {
            tenant: Some(tenant),
            quotas,
            ..Self::command_line()
        }
    }
}

/// A caller and the request it makes.
#[derive(Debug, Clone)]
pub struct Context {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The caller's own tenant, or the one that a caller of the platform names; none for the platform itself.
    pub tenancy: Option<Tenancy>,
    /// The request's id in the log and in the response.
    pub request_id: Arc<str>,
}

impl Context {
    /// The tenant of all queries of this request.
    ///
    /// # Errors
    ///
    /// [`Error::TenantRequired`] if a caller of the platform names none.
    pub fn tenant(&self) -> Result<TenantId> {
        self.tenancy().map(|tenancy| tenancy.id)
    }

    /// The tenant's id and slug.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::tenant`].
    pub fn tenancy(&self) -> Result<&Tenancy> {
        self.tenancy.as_ref().ok_or(Error::TenantRequired)
    }

    /// The owner of plugins that are uploaded or listed: the tenant, or none for the platform.
    pub fn owner(&self) -> Option<TenantId> {
        self.tenancy.as_ref().map(|tenancy| tenancy.id)
    }

    /// The actor that the audit trail names.
    pub fn actor(&self) -> Actor {
        if self.caller.is_command_line {
            return Actor::command_line();
        }
        Actor {
            kind: match self.caller.tenant {
                Some(_) => ActorKind::Tenant,
                None => ActorKind::Platform,
            },
            subject: self.caller.subject.clone(),
            key: self.caller.key.clone(),
            request_id: Some(Arc::clone(&self.request_id)),
        }
    }
}
