//! The model of a tenant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::quotas::Quotas;
use crate::context::TenantId;
use crate::error::{Error, Result};

/// An organisation that shares the server with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant's id in the database.
    pub id: TenantId,
    /// Its name in commands and tokens.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Time at which it was suspended.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Time after which all its data will be removed.
    pub delete_after: Option<DateTime<Utc>>,
    /// Time at which the removal began.
    pub removing_since: Option<DateTime<Utc>>,
    /// Parts that an import has not brought yet, as words separated by spaces. The tenant is suspended until they are
    /// there.
    pub incomplete: Option<String>,
    /// The quotas set for it.
    pub quotas: Quotas<Option<u64>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Tenant {
    /// The tenant's state.
    pub fn state(&self) -> TenantState {
        if self.removing_since.is_some() {
            TenantState::Removing
        } else if self.delete_after.is_some() {
            TenantState::Deleting
        } else if self.suspended_at.is_some() {
            TenantState::Suspended
        } else {
            TenantState::Active
        }
    }
}

/// State of a tenant. Requests are answered only if it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// Its requests are answered.
    Active,
    /// Its requests are refused until it is resumed.
    Suspended,
    /// It is suspended, and will be removed unless it is resumed first.
    Deleting,
    /// Its data is being removed, which cannot be undone.
    Removing,
}

crate::words!(TenantState);

/// Checks a tenant's display name.
///
/// # Errors
///
/// [`Error::Refused`] with the rule.
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.chars().count() > 255 || name.chars().any(char::is_control) {
        return Err(Error::refused(
            "A tenant's name has 1 to 255 characters and no control characters.",
        ));
    }
    Ok(())
}

/// Checks the name of a tenant, plugin or hook: a DNS label (RFC 1123 section 2.1) in lower case.
///
/// # Errors
///
/// [`Error::Refused`] with the rule; `what` is the kind of thing, for the message.
pub fn check_slug(what: &str, slug: &str) -> Result<()> {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = slug.as_bytes();
    let valid = (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge);
    if valid {
        return Ok(());
    }
    Err(Error::refused(format!(
        "`{slug}` can't be the name of a {what}: use 1 to 63 lower-case letters, digits and hyphens, not beginning or ending with a hyphen."
    )))
}

/// Filter of a list of tenants.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Only tenants in this state.
    pub state: Option<TenantState>,
    /// Only tenants after this slug.
    pub after: Option<String>,
}

/// Stored data of a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = StoredUsage)]
pub struct Usage {
    /// Bytes of signatures, as they are stored.
    #[schema(example = 1843)]
    pub bytes: i64,
    /// Threads.
    #[schema(example = 1)]
    pub threads: i64,
    /// Versions of threads.
    #[schema(example = 1)]
    pub versions: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_dns_labels() {
        for good in ["a", "acme", "a-1", &"x".repeat(63)] {
            assert!(check_slug("tenant", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "é", &"x".repeat(64)] {
            assert!(check_slug("tenant", bad).is_err(), "{bad}");
        }
    }
}
