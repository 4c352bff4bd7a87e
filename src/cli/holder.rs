//! Arguments that name the owner of keys and tokens.

use clap::Args;
use sigpersist_model::error::Result;

use crate::app::App;
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
    /// Finds the owner.
    pub(super) fn find(&self, app: &App) -> Result<Holder> {
        Holder::named(app, self.tenant.as_deref())
    }

    /// The owner in a sentence.
    pub(super) fn in_words(&self) -> String {
        match &self.tenant {
            Some(slug) => format!("`{slug}`"),
            None => "the platform".to_owned(),
        }
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
