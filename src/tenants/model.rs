//! What a tenant is.

use chrono::{DateTime, Utc};

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
    /// When it was created.
    pub created_at: DateTime<Utc>,
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
