//! `sigpersist inspect` and `sigpersist verify`, which need neither a server nor a database.

use std::path::PathBuf;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use sigpersist_model::time;
use sigpersist_verify::pki::{Anchors, Basis, Revocation};
use sigpersist_verify::{Body, Judging, Report, Signer, Time, report};

use super::{check_passed, read, read_certificates};
use crate::cli::output::{Output, shown};
use crate::cli::rules::RuleOptions;

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The signature: CMS in DER, BER, base64 or PEM, or XML.
    file: PathBuf,
}

impl Inspect {
    pub(in crate::cli) fn run(self, output: &Output) -> anyhow::Result<()> {
        let file = read(&self.file)?;
        let told = report(&Body::from_file(&file), None);
        output.result(&text(&told), &json!(told))?;
        check_readable(&told)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The signature: CMS in DER, BER, base64 or PEM, or XML.
    file: PathBuf,
    /// The signed document, if the signature is detached.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Trusted certificates, PEM or DER; repeat for several files. Without any, no signature passes.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Further certificates, PEM or DER, which are not trusted: those of signers and intermediate authorities that are
    /// not in the signature; repeat for several files.
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
    /// Verify as of this time: "YYYY-MM-DD HH:MM:SS" in UTC, or RFC 3339. Certificates are checked at the time that a
    /// time stamp proves or the signer claims; if there is neither, at this time [default: now].
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    at: Option<DateTime<Utc>>,
    #[command(flatten)]
    rules: RuleOptions,
}

impl Verify {
    pub(in crate::cli) fn run(self, output: &Output) -> anyhow::Result<()> {
        let file = read(&self.file)?;
        let document = self.document.as_deref().map(read).transpose()?;
        let told = report(
            &Body::from_file(&file),
            Some(&Judging {
                document: document.as_deref(),
                certificates: &read_certificates(&self.certificate)?,
                rules: self.rules.into(),
                ..Judging::new(
                    &Anchors::new(read_certificates(&self.trust)?),
                    self.at.unwrap_or_else(Utc::now).timestamp_millis(),
                )
            }),
        );
        output.result(&text(&told), &json!(told))?;
        check_readable(&told)?;
        let everybody = told.everybody();
        let not_passed = everybody.iter().filter(|(_, signer)| !signer.passes());
        let places: Vec<_> = not_passed.map(|(place, _)| place.as_str()).collect();
        check_passed(&places)
    }
}

/// Nothing that can't be read, and nothing that nobody signed, is a success.
fn check_readable(told: &Report) -> anyhow::Result<()> {
    match &told.problem {
        Some(problem) => bail!("{}", problem.trim_end_matches('.').to_owned()),
        None => Ok(()),
    }
}

/// A report for people.
fn text(told: &Report) -> String {
    let mut lines = vec![format!(
        "{}, {} bytes, SHA-256 {}",
        told.format, told.size, told.sha256
    )];
    if let (Some(Some(size)), Some(Some(sha256))) = (told.content_size, &told.content_sha256) {
        lines.push(format!("content: {size} bytes inside, SHA-256 {sha256}"));
    } else if told.detached == Some(true) {
        lines.push("content: elsewhere (detached)".to_owned());
    }
    for (place, signer) in told.everybody() {
        let indent = "  ".repeat(place.matches('.').count());
        let countersigns = place
            .rsplit_once('.')
            .map(|(signed, _)| format!(", who countersigns {signed}"));
        let countersigns = countersigns.unwrap_or_default();
        lines.push(format!("\n{indent}signer {place}{countersigns}"));
        signer_lines(&mut lines, signer, &format!("{indent}  "));
    }
    lines.join("\n")
}

fn signer_lines(lines: &mut Vec<String>, signer: &Signer, indent: &str) {
    let mut line = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{indent}{name:12}{}", shown(&value))));
    };
    let time = |ms: Option<i64>| ms.and_then(Time::from_ms).map(|time| time.to_string());
    let certificate = signer.certificate.as_ref();
    line("subject", certificate.map(|it| it.subject.rfc4514.clone()));
    line("issuer", certificate.map(|it| it.issuer.rfc4514.clone()));
    line("IIN", certificate.and_then(|it| it.iin.clone()));
    line("BIN", certificate.and_then(|it| it.bin.clone()));
    line("from", time(certificate.map(|it| it.not_before_ms)));
    line("until", time(certificate.map(|it| it.not_after_ms)));
    line(
        "digest",
        signer.digest_algorithm.name.map(ToOwned::to_owned),
    );
    let signature = signer.signature_algorithm.name;
    line("algorithm", signature.map(ToOwned::to_owned));
    let roles = certificate.map_or(&[][..], |it| &it.roles);
    line("roles", (!roles.is_empty()).then(|| roles.join(", ")));
    line("claims", signer.signing_time.map(|time| time.to_string()));
    let timestamp = signer.timestamp.flatten();
    let proves = match &signer.verdict {
        Some(verdict) if verdict.proven_time_ms.is_none() => {
            " (proves nothing: it is for another signature, or its authority is not trusted)"
        }
        _ => "",
    };
    line(
        "time stamp",
        timestamp.map(|time| format!("{time}{proves}")),
    );
    for reference in signer.signs() {
        line("signs", Some(reference.covers.clone()));
    }
    if let Some(verdict) = &signer.verdict {
        line("proven", time(verdict.proven_time_ms));
        let judged = time(Some(verdict.judged_time_ms));
        let judged_by = match verdict.judged_by {
            Basis::Proven => "which a time stamp proves",
            Basis::Claimed => "which the signer claims and nothing proves",
            Basis::Now => "the time of the verification",
        };
        line("as of", judged.map(|time| format!("{time}, {judged_by}")));
        line(
            "trusted",
            verdict
                .chain
                .last()
                .map(|sha256| format!("SHA-256 {sha256}")),
        );
        match verdict.revocation {
            Revocation::NotJudged => {}
            Revocation::Good { as_of_ms } => line("not revoked", time(Some(as_of_ms))),
            Revocation::Revoked { since_ms } => line("revoked", time(Some(since_ms))),
        }
        line("verdict", Some(verdict.indication.to_string()));
        line("because", verdict.sub_indication.map(|why| why.to_string()));
        line("", Some(verdict.explanation.to_owned()));
        if let Some(apart) = &verdict.apart_from_content {
            let why = apart.sub_indication.map(|why| format!(" ({why})"));
            let why = why.unwrap_or_default();
            let otherwise = format!("{}{why} if the content is the signed one", apart.indication);
            line("otherwise", Some(otherwise));
        }
    }
}
