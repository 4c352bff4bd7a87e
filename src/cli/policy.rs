//! `sigpersist policy`: a tenant's policy (the signatures that it accepts), and the certificates that it trusts.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use sigpersist_model::plugin::Digest;
use sigpersist_model::policy::{Accept, Detached, Revocation};
use sigpersist_model::view::{AnchorView, PolicyView};
use sigpersist_verify::certificates;
use sigpersist_verify::pki::to_pem;

use super::door::Door;
use super::output::{Output, joined};
use super::table::Table;
use crate::config::entries;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Show a tenant's policy, and the certificates that it trusts.
    Show(Show),
    /// Change a tenant's policy.
    Set(Set),
    /// Trust the certificates in these files: a signature can pass if its chain ends with one of them.
    Trust(Trust),
    /// Stop trusting a certificate. Recorded verdicts do not change.
    Distrust(Distrust),
}

impl Policy {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.run(door, output),
            Self::Set(command) => command.run(door, output),
            Self::Trust(command) => command.run(door, output),
            Self::Distrust(command) => command.run(door, output),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The tenant's slug.
    tenant: String,
}

impl Show {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let in_force: PolicyView = door
            .get(&["tenants", &self.tenant, "policy"])
            .send()?
            .parsed()?;
        let set = &in_force.policy;
        let request = door.get(&["tenants", &self.tenant, "trust-anchors"]);
        let anchors: Vec<AnchorView> = request.member("trust_anchors")?;
        let mut text = format!(
            "accept:          {}\ndetached:        {}\nrevocation:      {}\nrecord verdicts: {}\nindex signers:   {}\norigins:         {}\n",
            set.accept.as_str(),
            set.detached.as_str(),
            set.revocation.as_str(),
            set.record_verdicts,
            set.index_signers,
            match set.cors_origins.as_slice() {
                [] => "none of its own".to_owned(),
                origins => origins.join(", "),
            }
        );
        if anchors.is_empty() {
            let slug = &self.tenant;
            text.push_str(&format!(
                "No certificate is trusted, so no signature passes. Next: sigpersist policy trust {slug} FILE"
            ));
        } else {
            text.push_str(&table(&anchors));
        }
        let answer = json!({ "tenant": self.tenant, "trust_anchors": anchors });
        let answer = joined(answer, json!(in_force));
        output.result(&text, &answer)
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// Signatures that are saved. `any`: any text. `cms` or `xml`: a signature of this format that can be read and that
    /// somebody has signed. `readable`: either format. `intact`: either format, if every signer's signature is intact.
    /// `passed`: either format, if every signer passes verification.
    #[arg(long)]
    accept: Option<Accept>,
    /// Treatment of a detached signature, whose content is not in it. `accept`: check as much as is possible without the
    /// content. `refuse`: refuse it. `needs_content`: accept it only if you send the content along, which is not stored.
    #[arg(long)]
    detached: Option<Detached>,
    /// Evidence about revocation. `required`: something must show for each certificate that it was not revoked.
    /// `if_present`: evidence in the signature counts, but a certificate without any passes.
    #[arg(long)]
    revocation: Option<Revocation>,
    /// Whether each saved version is verified, and the verdict recorded with it.
    #[arg(long, value_name = "true|false")]
    record_verdicts: Option<bool>,
    /// Whether signatures can be found by who signed them. If you switch it on, signatures that are stored already are
    /// indexed in the background of a server.
    #[arg(long, value_name = "true|false")]
    index_signers: Option<bool>,
    /// Origins whose pages may use the API from a browser with tokens of the tenant, separated by commas; "" for none. Those of
    /// the setting `http.cors_origins` may in any case.
    #[arg(long, value_name = "ORIGINS")]
    cors_origins: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The tenant's slug.
    tenant: String,
    #[command(flatten)]
    changes: Changes,
}

impl Set {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, changes } = self;
        let form = json!({
            "accept": changes.accept,
            "detached": changes.detached,
            "revocation": changes.revocation,
            "record_verdicts": changes.record_verdicts,
            "index_signers": changes.index_signers,
            "cors_origins": changes.cors_origins.as_deref().map(|all| entries(all).collect::<Vec<_>>()),
        });
        let request = door.patch(&["tenants", &tenant, "policy"]).json(&form);
        let set: sigpersist_model::policy::Policy = request.member("policy")?;
        let sentence = format!(
            "The tenant `{tenant}` accepts {}{}, and records {} verdicts. Evidence about revocation {}. Signatures can{} be found by who signed them.{}",
            set.accept.phrase(),
            match set.detached {
                Detached::Accept => "",
                Detached::Refuse => ", none of them detached",
                Detached::NeedsContent => ", and detached ones only with their content",
            },
            if set.record_verdicts { "its" } else { "no" },
            match set.revocation {
                Revocation::IfPresent => "counts if the signature has it",
                Revocation::Required => "is required for each certificate of a chain",
            },
            if set.index_signers { "" } else { "not" },
            match set.cors_origins.as_slice() {
                [] => String::new(),
                origins => format!(" Pages of {} may use the API.", origins.join(", ")),
            },
        );
        output.result(&sentence, &json!({ "tenant": tenant, "policy": set }))
    }
}

#[derive(Debug, Args)]
pub(super) struct Trust {
    /// The tenant's slug.
    tenant: String,
    /// Files with certificates: PEM, one or more in a file, or DER.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Trust {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, files } = self;
        let mut trusted: Vec<AnchorView> = Vec::new();
        for file in &files {
            let bytes = std::fs::read(file)
                .with_context(|| format!("The file {} can't be read", file.display()))?;
            let certificates: String = certificates(&bytes)
                .map(|der| to_pem("CERTIFICATE", &der))
                .collect();
            let request = door.post(&["tenants", &tenant, "trust-anchors"]);
            let anchors = request
                .json(&json!({ "pem": certificates }))
                .member::<Vec<AnchorView>>("trust_anchors")
                .with_context(|| format!("The file {} was not accepted", file.display()))?;
            trusted.extend(anchors);
        }
        let text = format!("`{tenant}` trusts:\n{}", table(&trusted));
        output.result(
            &text,
            &json!({ "tenant": tenant, "trust_anchors": trusted }),
        )
    }
}

#[derive(Debug, Args)]
pub(super) struct Distrust {
    /// The tenant's slug.
    tenant: String,
    /// SHA-256 of the certificate, as shown by `policy show`.
    sha256: Digest,
}

impl Distrust {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, sha256 } = self;
        let digest = sha256.to_string();
        let path = ["tenants", &tenant, "trust-anchors", &digest];
        let mut removed: AnchorView = door.get(&path).member("trust_anchor")?;
        removed.pem = None;
        door.delete(&path).send()?;
        let sentence = format!("`{tenant}` no longer trusts the certificate {sha256}.");
        let answer = json!({ "tenant": tenant, "trust_anchors": [removed] });
        output.result(&sentence, &answer)
    }
}

fn table(anchors: &[AnchorView]) -> String {
    let mut table = Table::new(&["subject", "until", "sha256"]);
    for anchor in anchors {
        table.row([
            anchor.subject.clone().unwrap_or_default(),
            anchor
                .not_after
                .map(|end| end.to_string())
                .unwrap_or_default(),
            anchor.sha256.to_string(),
        ]);
    }
    table.to_string()
}
