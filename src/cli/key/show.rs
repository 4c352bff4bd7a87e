//! `sigpersist key list`, `show` and `revoke`.

use clap::Args;
use serde_json::json;
use sigpersist_model::audit::Actor;
use sigpersist_model::view::KeyView;

use crate::app::App;
use crate::cli::holder::HolderArgs;
use crate::cli::output::Output;
use crate::cli::table::Table;
use crate::cli::tenancy::advise;
use crate::tenants;

/// Keys per query.
const PAGE: u32 = 1_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    holder: HolderArgs,
}

impl List {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let holder = self.holder.find(app)?;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = tenants::keys(app, &holder, after.as_deref(), PAGE)?;
            found.extend(page.keys);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let keys: Vec<KeyView> = found.into_iter().map(Into::into).collect();
        let mut table = Table::new(&["kid", "algorithm", "kind", "state", "created", "expires"]);
        for key in &keys {
            table.row([
                key.kid.clone(),
                key.algorithm.as_str().to_owned(),
                key.kind.as_str().to_owned(),
                key.state.as_str().to_owned(),
                key.created_at.to_string(),
                key.expires_at
                    .map(|end| end.to_string())
                    .unwrap_or_default(),
            ]);
        }
        let text = if keys.is_empty() {
            let who = self.holder.as_argument();
            format!("There are no keys. Next: sigpersist key add {who}")
        } else {
            table.to_string()
        };
        output.result(&text, &json!({ "tenant": holder.slug(), "keys": keys }))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The key's name.
    kid: String,
}

impl Show {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let (_, key) =
            tenants::key_of_anybody(app, &self.kid).map_err(|error| advise(error, None))?;
        let view = KeyView::from(key);
        let answer = json!(view);
        let mut lines: Vec<_> = answer
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, value)| value.is_string() && *name != "public_key")
            .map(|(name, value)| {
                let name = format!("{name}:");
                format!("{name:12} {}", value.as_str().unwrap_or_default())
            })
            .collect();
        lines.extend(view.public_key.map(|pem| pem.trim_end().to_owned()));
        output.result(&lines.join("\n"), &answer)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    /// The key's name.
    kid: String,
}

impl Revoke {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let kid = self.kid;
        let key = tenants::key_of_anybody(app, &kid).and_then(|(holder, _)| {
            tenants::revoke_key(app, &Actor::command_line(), &holder, &kid)
        });
        let key = key.map_err(|error| advise(error, None))?;
        let sentence = format!(
            "The key `{kid}` is revoked: tokens that it signed are refused within a second."
        );
        output.result(&sentence, &json!(KeyView::from(key)))
    }
}
