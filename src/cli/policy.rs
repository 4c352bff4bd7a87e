//! `sigpersist policy`: what a tenant accepts as a signature, and whom it trusts.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sigpersist_model::audit::Actor;
use sigpersist_model::plugin::Digest;
use sigpersist_model::policy::{Accept, Change, Detached, Revocation, TrustAnchor};

use super::output::Output;
use super::table::Table;
use super::tenancy::advise;
use crate::app::App;
use crate::policy;
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Show what a tenant accepts and records, and whom it trusts.
    Show(Show),
    /// Change what a tenant accepts and records.
    Set(Set),
    /// Trust the certificates in files: signatures whose chains end with one of them can pass.
    Trust(Trust),
    /// Trust a certificate no more. Verdicts that are recorded stay as they are.
    Distrust(Distrust),
}

impl Policy {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.run(app, output),
            Self::Set(command) => command.run(app, output),
            Self::Trust(command) => command.run(app, output),
            Self::Distrust(command) => command.run(app, output),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The tenant's slug.
    tenant: String,
}

impl Show {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let id = tenants::find(app, &self.tenant)?.id;
        let in_force = policy::in_force(app, id)?;
        let set = in_force.policy;
        let anchors = policy::anchors(app, id)?;
        let mut text = format!(
            "accept:          {}\ndetached:        {}\nrevocation:      {}\nrecord verdicts: {}\n",
            set.accept.as_str(),
            set.detached.as_str(),
            set.revocation.as_str(),
            set.record_verdicts
        );
        if anchors.is_empty() {
            let slug = &self.tenant;
            text.push_str(&format!(
                "Nobody is trusted, so that no signature passes. Next: sigpersist policy trust {slug} FILE"
            ));
        } else {
            text.push_str(&table(&anchors));
        }
        let mut answer = facts(&self.tenant, &anchors);
        answer["policy"] = json!(set);
        answer["policy_sha256"] = json!(in_force.digests.policy_sha256);
        answer["anchors_sha256"] = json!(in_force.digests.anchors_sha256);
        output.result(&text, &answer)
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// What is saved as a signature: `any` text; only `cms` or `xml` that can be read and that somebody has signed; either of
    /// them, `readable`; either of them where the signature of everybody who signed is `intact`, or has `passed`.
    #[arg(long)]
    accept: Option<Accept>,
    /// What is done with a signature whose content is elsewhere: `accept` it by what is there, `refuse` it, or say that it
    /// `needs_content`, which comes along and is not stored.
    #[arg(long)]
    detached: Option<Detached>,
    /// Whether something must tell of each certificate that it was not revoked (`required`), or only what is embedded counts.
    #[arg(long)]
    revocation: Option<Revocation>,
    /// Whether each version that is saved is verified then, and what is found recorded with it.
    #[arg(long, value_name = "true|false")]
    record_verdicts: Option<bool>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The tenant's slug.
    tenant: String,
    #[command(flatten)]
    changes: Changes,
}

impl Set {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, changes } = self;
        let id = tenants::find(app, &tenant)?.id;
        let change = Change {
            accept: changes.accept,
            detached: changes.detached,
            revocation: changes.revocation,
            record_verdicts: changes.record_verdicts,
        };
        let set = policy::update(app, id, &Actor::command_line(), change)?.policy;
        let sentence = format!(
            "The tenant `{tenant}` accepts {}{}, and records {} verdicts. Whether certificates were revoked must be known {}.",
            set.accept.phrase(),
            match set.detached {
                Detached::Accept => "",
                Detached::Refuse => ", none of which has its content elsewhere",
                Detached::NeedsContent => ", which come with their content if that is elsewhere",
            },
            if set.record_verdicts { "its" } else { "no" },
            match set.revocation {
                Revocation::IfPresent => "only where something in the signature tells",
                Revocation::Required => "of each of a chain",
            },
        );
        output.result(&sentence, &json!({ "tenant": tenant, "policy": set }))
    }
}

#[derive(Debug, Args)]
pub(super) struct Trust {
    /// The tenant's slug.
    tenant: String,
    /// Certificates in PEM, of which a file may hold several, or DER.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Trust {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, files } = self;
        let id = tenants::find(app, &tenant)?.id;
        let mut trusted = Vec::new();
        for file in &files {
            let bytes = std::fs::read(file)
                .with_context(|| format!("The file {} can't be read", file.display()))?;
            let (anchors, _) = policy::add_anchors(app, id, &Actor::command_line(), &bytes)
                .with_context(|| format!("The file {} was not taken", file.display()))?;
            trusted.extend(anchors);
        }
        let text = format!("`{tenant}` trusts:\n{}", table(&trusted));
        output.result(&text, &facts(&tenant, &trusted))
    }
}

#[derive(Debug, Args)]
pub(super) struct Distrust {
    /// The tenant's slug.
    tenant: String,
    /// SHA-256 of the certificate, as `policy show` tells it.
    sha256: Digest,
}

impl Distrust {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, sha256 } = self;
        let id = tenants::find(app, &tenant)?.id;
        let removed = policy::remove_anchor(app, id, &Actor::command_line(), sha256)
            .map_err(|error| advise(error, Some(&tenant)))?;
        let sentence = format!("`{tenant}` trusts the certificate {sha256} no more.");
        output.result(&sentence, &facts(&tenant, &[removed]))
    }
}

fn table(anchors: &[TrustAnchor]) -> String {
    let mut table = Table::new(&["subject", "until", "sha256"]);
    for anchor in anchors {
        let facts = anchor.facts();
        let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
        table.row([text("subject"), text("not_after"), text("sha256")]);
    }
    table.to_string()
}

/// Certificates for programs, with the names of the API.
fn facts(tenant: &str, anchors: &[TrustAnchor]) -> Value {
    let anchors: Vec<_> = anchors.iter().map(TrustAnchor::facts).collect();
    json!({ "tenant": tenant, "trust_anchors": anchors })
}
