//! `sigpersist tenant`.

use clap::Subcommand;
use serde_json::json;

use super::output::Output;
use super::transfer::{Export, Import};
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
    /// Write all of a tenant but its keys to a file.
    Export(Export),
    /// Read such a file into a tenant; doing it again changes nothing.
    Import(Import),
}

impl Tenant {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let (slug, name) = match self {
            Self::Create { slug, name } => (slug, name),
            Self::Export(command) => return command.run(app, output),
            Self::Import(command) => return command.run(app, output),
        };
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
