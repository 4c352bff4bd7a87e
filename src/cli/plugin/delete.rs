//! `sigpersist plugin delete`.

use clap::Args;
use serde_json::json;

use crate::cli::door::Door;
use crate::cli::holder::of_owner;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// The plugin.
    name: String,
    /// The tenant that owns the plugin [default: the platform's].
    #[arg(long)]
    tenant: Option<String>,
}

impl Delete {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { name, tenant } = self;
        let path = of_owner(tenant.as_deref(), &["plugins", &name]);
        door.delete(&path).send()?;
        output.result(
            &format!("Deleted the plugin `{name}` with all its revisions."),
            &json!({ "name": name, "deleted": true }),
        )
    }
}
