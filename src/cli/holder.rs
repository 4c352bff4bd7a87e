//! Whose keys and tokens a command is about.

use clap::Args;

use crate::tenants::Holder;

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
    /// Who it is, and how a command line says so.
    pub(super) fn into_holder(self) -> (Holder, String) {
        match self.tenant {
            Some(slug) => (Holder::Tenant(slug.clone()), slug),
            None => (Holder::Platform, "--platform".to_owned()),
        }
    }
}
