//! Arguments that name the owner of keys and tokens.

use clap::Args;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct HolderArgs {
    /// The tenant's slug.
    tenant: Option<String>,
    /// The platform, whose operators act for any tenant.
    #[arg(long)]
    platform: bool,
}

impl HolderArgs {
    /// The path of what belongs to the owner.
    pub(super) fn path<'a>(&'a self, last: &'a str) -> Vec<&'a str> {
        of_owner(self.slug(), &[last])
    }

    /// The owner in a sentence.
    pub(super) fn in_words(&self) -> String {
        owner_in_words(self.slug())
    }

    /// The argument that names the owner.
    pub(super) fn as_argument(&self) -> &str {
        self.tenant.as_deref().unwrap_or("--platform")
    }

    /// The tenant's slug; none for the platform.
    pub(super) fn slug(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

/// A tenant, or without one the platform, in a sentence.
pub(super) fn owner_in_words(tenant: Option<&str>) -> String {
    tenant.map_or("the platform".to_owned(), |slug| format!("`{slug}`"))
}

/// The path of what belongs to a tenant, or without one to the platform.
pub(super) fn of_owner<'a>(tenant: Option<&'a str>, path: &[&'a str]) -> Vec<&'a str> {
    let tenant = tenant.map(|slug| vec!["tenants", slug]);
    [&tenant.unwrap_or_default(), path].concat()
}
