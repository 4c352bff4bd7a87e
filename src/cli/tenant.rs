//! `sigpersist tenant`.

use clap::Subcommand;
use serde_json::json;

use super::output::Output;
use crate::app::App;
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant; doing it again changes nothing.
    Create {
        /// Its name in commands and tokens: lower-case letters, digits and hyphens.
        slug: String,
        /// Its name for people [default: the slug].
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
    },
}

impl Tenant {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self::Create { slug, name } = self;
        let (tenant, created) = tenants::create(app, &slug, name.as_deref())?;
        let sentence = if created {
            format!("Created the tenant `{slug}`. Next: sigpersist key add {slug}")
        } else {
            format!("The tenant `{slug}` exists already; nothing was changed.")
        };
        output.result(
            &sentence,
            &json!({ "slug": tenant.slug, "name": tenant.name, "created": created }),
        )
    }
}
