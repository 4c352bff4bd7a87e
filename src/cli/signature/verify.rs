//! `sigpersist signature verify`.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use serde_json::Value;

use super::form::Attachments;
use super::read::stored;
use super::{Thread, check_passed, read, text};
use crate::cli::door::Door;
use crate::cli::output::{Output, shown};

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(in crate::cli) struct Verify {
    /// The tenant's slug.
    tenant: String,
    /// A file to verify by what the tenant trusts: CMS in DER, BER, base64 or PEM, or XML; `-` for standard input. Nothing of
    /// it is stored. Otherwise give --document and --thread.
    #[arg(conflicts_with_all = ["document", "thread", "version"], required_unless_present_all = ["document", "thread"])]
    file: Option<PathBuf>,
    /// The document of a stored signature.
    #[arg(long, value_name = "TEXT", requires = "thread")]
    document: Option<String>,
    /// The thread of a stored signature.
    #[arg(long, value_name = "TEXT", requires = "document")]
    thread: Option<String>,
    /// The version; the current one if it is left out.
    #[arg(long, value_name = "NUMBER", requires = "document", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    #[command(flatten)]
    attachments: Attachments,
}

impl Verify {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let door = door.acting_as(&self.tenant)?;
        let (begin, inspection) = match (self.file, self.document, self.thread) {
            (None, Some(document), Some(thread)) => {
                let tenant = self.tenant;
                let thread = Thread {
                    tenant,
                    document,
                    thread,
                };
                of_stored(&door, &thread, self.version, &self.attachments)?
            }
            (Some(file), ..) => {
                let request = door.post(&["verify"]).with_progress();
                let request = self.attachments.with_signature(request, &read(&file)?)?;
                let begin = file.display().to_string();
                (begin, request.member("inspection")?)
            }
            _ => bail!("Give a file, or --document and --thread of a stored signature."),
        };
        let signers = everybody(&inspection);
        let mut lines = vec![begin];
        for (place, signer) in &signers {
            lines.extend(of_signer(place, signer));
        }
        output.result(&lines.join("\n"), &inspection)?;
        let problem = text(&inspection, "problem").trim_end_matches('.');
        ensure!(problem.is_empty(), "{}", shown(problem));
        let not_passed: Vec<_> = signers
            .iter()
            .filter(|(_, signer)| text(&signer["verdict"], "indication") != "TOTAL_PASSED")
            .map(|(place, _)| place.as_str())
            .collect();
        // Nothing that nobody signed is a success.
        ensure!(!signers.is_empty(), "Nobody signed it");
        check_passed(&not_passed)
    }
}

/// Verifies a stored version. The API verifies one that it reads without any files beside it.
fn of_stored(
    door: &Door,
    thread: &Thread,
    version: Option<u32>,
    attachments: &Attachments,
) -> anyhow::Result<(String, Value)> {
    let (version, inspection) = if attachments.is_empty() {
        let request = thread.of(door.get(&["signature"]));
        let request = request
            .with_given("version", version)
            .with("verify", true)
            .send()?;
        let mut content = request.content()?;
        let version = content["signature"]["version"].to_string();
        (version, content["inspection"].take())
    } else {
        let stored = stored(door, thread, version)?;
        let request = door.post(&["verify"]);
        let request = attachments.with_signature(request, &stored.bytes)?;
        (stored.version.to_string(), request.member("inspection")?)
    };
    let begin = format!("version {version} of {}", thread.in_words());
    Ok((begin, inspection))
}

/// All signers with their places, each followed by its countersigners: 1, 1.1, 1.2, 2.
fn everybody(inspection: &Value) -> Vec<(String, &Value)> {
    fn add<'v>(all: &mut Vec<(String, &'v Value)>, before: &str, signers: &'v Value) {
        for (signer, number) in signers.as_array().into_iter().flatten().zip(1..) {
            let place = format!("{before}{number}");
            let below = format!("{place}.");
            all.push((place, signer));
            add(all, &below, &signer["countersignatures"]);
        }
    }
    let mut all = Vec::new();
    add(&mut all, "", &inspection["signers"]);
    all
}

/// A signer and its verdict, for people.
fn of_signer(place: &str, signer: &Value) -> Vec<String> {
    let subject = text(&signer["certificate"]["subject"], "rfc4514");
    let subject = match subject {
        "" => "the certificate is not in the signature",
        subject => subject,
    };
    let verdict = &signer["verdict"];
    let mut indication = text(verdict, "indication").to_owned();
    if let Some(why) = verdict["sub_indication"].as_str() {
        indication.push_str(&format!(" ({why})"));
    }
    vec![
        format!("\nsigner {place}: {}", shown(subject)),
        format!("  {indication}"),
        format!("  {}", text(verdict, "explanation")),
    ]
}
