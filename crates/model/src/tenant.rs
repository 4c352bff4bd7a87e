//! What a tenant is.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::quotas::Quotas;
use crate::context::TenantId;
use crate::error::{Error, Result};

/// An organisation that shares the server with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its number in the database.
    pub id: TenantId,
    /// Its name in commands and tokens.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Since when it is suspended.
    pub suspended_at: Option<DateTime<Utc>>,
    /// When all that is its own will be removed.
    pub delete_after: Option<DateTime<Utc>>,
    /// When the removal began.
    pub removing_since: Option<DateTime<Utc>>,
    /// What an import has not brought yet, in words between spaces; it is suspended until that is there.
    pub incomplete: Option<String>,
    /// The quotas that are set for it.
    pub quotas: Quotas<Option<u64>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Tenant {
    /// Where it is in its life.
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

/// Where a tenant is in its life. Only an active one's requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// Its requests are answered.
    Active,
    /// Its requests are refused, until it is resumed.
    Suspended,
    /// Suspended, and to be removed unless it is resumed before.
    Deleting,
    /// What is its own is being removed, which nothing takes back.
    Removing,
}

crate::words!(
    TenantState,
    Active = "active",
    Suspended = "suspended",
    Deleting = "deleting",
    Removing = "removing"
);

/// Checks the name that a tenant has for people.
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
/// [`Error::Refused`] with the rule; `what` says whose name it is.
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

/// Which tenants are asked for.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Only those that are there in their lives.
    pub state: Option<TenantState>,
    /// Only those after this slug.
    pub after: Option<String>,
}

/// What a tenant has stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
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
