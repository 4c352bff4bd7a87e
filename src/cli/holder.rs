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
    /// Who it is.
    pub(super) fn find(&self, app: &App) -> Result<Holder> {
        Holder::named(app, self.tenant.as_deref())
    }

    /// Who it is, in a sentence.
    pub(super) fn in_words(&self) -> String {
        match &self.tenant {
            Some(slug) => format!("`{slug}`"),
            None => "the platform".to_owned(),
        }
    }

    /// How a command line says so.
    pub(super) fn as_argument(&self) -> &str {
        self.tenant.as_deref().unwrap_or("--platform")
    }

    /// The tenant's slug, if it is one.
    pub(super) fn slug(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}
