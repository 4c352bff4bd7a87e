//! `sigpersist key list`, `show` and `revoke`.

use clap::Args;
use serde_json::json;
use sigpersist_model::view::KeyView;

use crate::cli::door::Door;
use crate::cli::holder::HolderArgs;
use crate::cli::output::Output;
use crate::cli::table::Table;

/// Keys per request.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    holder: HolderArgs,
}

impl List {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door.get(&self.holder.path("keys"));
        let (keys, _) = request.pages::<KeyView>("keys", PAGE, usize::MAX)?;
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
        let tenant = self.holder.slug();
        output.result(&text, &json!({ "tenant": tenant, "keys": keys }))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The key's name.
    kid: String,
}

impl Show {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let key: KeyView = door
            .get(&["keys", &self.kid])
            .with("anybodys", true)
            .member("key")?;
        let answer = json!(key);
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
        lines.extend(key.public_key.map(|pem| pem.trim_end().to_owned()));
        output.result(&lines.join("\n"), &answer)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    /// The key's name.
    kid: String,
}

impl Revoke {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let kid = self.kid;
        let key: KeyView = door
            .post(&["keys", &kid, "revoke"])
            .with("anybodys", true)
            .member("key")?;
        let sentence = format!(
            "The key `{kid}` is revoked: tokens that it signed are refused within a second."
        );
        output.result(&sentence, &json!(key))
    }
}
