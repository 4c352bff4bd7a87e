//! `sigpersist inspect` and `sigpersist verify`: without a server or database.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;
use clap::Args;
use serde_json::Value;

use super::output::Output;
use crate::pki::{Anchors, Indication};
use crate::signatures::model::SignatureBody;
use crate::signatures::read::certificates;
use crate::signatures::report::{Judging, report};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The signature: CMS in DER, BER, base64 or PEM, or XML.
    file: PathBuf,
}

impl Inspect {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let told = report(&read_signature(&self.file)?, None);
        output.result(&text(&told), &told)?;
        check_readable(&told)
    }
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The signature: CMS in DER, BER, base64 or PEM, or XML.
    file: PathBuf,
    /// The document that a detached signature signs.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Certificates that are trusted, PEM or DER; repeat for several files. Without any, no signature is passed.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let body = read_signature(&self.file)?;
        let document = self.document.as_deref().map(read).transpose()?;
        let mut trusted = Vec::new();
        for file in &self.trust {
            let bytes = read(file)?;
            let found: Vec<_> = certificates(&bytes).collect();
            ensure!(!found.is_empty(), "{} holds no certificate", file.display());
            trusted.extend(found);
        }
        let told = report(
            &body,
            Some(&Judging {
                document: document.as_deref(),
                anchors: &Anchors::new(trusted),
                now: Utc::now(),
            }),
        );
        output.result(&text(&told), &told)?;
        check_readable(&told)?;
        let signers = told["signers"].as_array();
        let passed = Indication::TotalPassed.as_str();
        let signers = signers.into_iter().flatten();
        let not_passed = signers
            .filter(|signer| signer["verdict"]["indication"] != passed)
            .count();
        ensure!(
            not_passed == 0,
            "{not_passed} of the signatures did not pass"
        );
        Ok(())
    }
}

/// Nothing that can't be read, and nothing that nobody signed, is a success.
fn check_readable(told: &Value) -> anyhow::Result<()> {
    match told["problem"].as_str() {
        Some(problem) => bail!("{}", problem.trim_end_matches('.').to_owned()),
        None => Ok(()),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("The file {} can't be read", file.display()))
}

fn read_signature(file: &Path) -> anyhow::Result<SignatureBody> {
    Ok(SignatureBody::from_bytes(read(file)?))
}

/// A report for people.
fn text(told: &Value) -> String {
    let mut lines = vec![format!(
        "{}, {} bytes, SHA-256 {}",
        told["format"].as_str().unwrap_or_default(),
        told["size"],
        told["sha256"].as_str().unwrap_or_default()
    )];
    if let Some(size) = told["content_size"].as_u64() {
        let sha256 = told["content_sha256"].as_str().unwrap_or_default();
        lines.push(format!("content: {size} bytes inside, SHA-256 {sha256}"));
    } else if told["detached"] == true {
        lines.push("content: elsewhere (detached)".to_owned());
    }
    for (place, signer) in told["signers"].as_array().into_iter().flatten().enumerate() {
        lines.push(format!("\nsigner {}", place + 1));
        signer_lines(&mut lines, signer, "  ");
    }
    lines.join("\n")
}

fn signer_lines(lines: &mut Vec<String>, signer: &Value, indent: &str) {
    let (certificate, verdict) = (&signer["certificate"], &signer["verdict"]);
    let revocation = &verdict["revocation"];
    for (name, value) in [
        ("subject", &certificate["subject"]["rfc4514"]),
        ("issuer", &certificate["issuer"]["rfc4514"]),
        ("IIN", &certificate["iin"]),
        ("BIN", &certificate["bin"]),
        ("from", &certificate["not_before"]),
        ("until", &certificate["not_after"]),
        ("digest", &signer["digest_algorithm"]["name"]),
        ("signature", &signer["signature_algorithm"]["name"]),
        ("signed at", &signer["signing_time"]),
        ("time stamp", &signer["timestamp"]),
        ("proven", &verdict["proven_time"]),
        ("revoked", &revocation["since"]),
        ("not revoked", &revocation["as_of"]),
        ("verdict", &verdict["indication"]),
        ("because", &verdict["sub_indication"]),
        ("", &verdict["explanation"]),
    ] {
        if let Some(value) = value.as_str() {
            lines.push(format!("{indent}{name:12}{value}"));
        }
    }
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect()
    };
    let roles = texts(&certificate["roles"]);
    if !roles.is_empty() {
        lines.push(format!("{indent}{:12}{}", "roles", roles.join(", ")));
    }
    for reference in signer["references"].as_array().into_iter().flatten() {
        let covers = reference["covers"].as_str().unwrap_or_default();
        lines.push(format!("{indent}{:12}{covers}", "signs"));
    }
    let countersigners = signer["countersignatures"].as_array();
    for countersigner in countersigners.into_iter().flatten() {
        lines.push(format!("{indent}countersigned by"));
        signer_lines(lines, countersigner, &format!("{indent}  "));
    }
}
