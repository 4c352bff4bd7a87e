//! `sigpersist signature save`.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use http::header::HeaderName;
use serde_json::Value;

use super::form::Attachments;
use super::{Thread, read};
use crate::cli::door::{Door, Refusal};
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Save {
    #[command(flatten)]
    thread: Thread,
    /// The signature: CMS in DER, BER, base64 or PEM, or XML; `-` for standard input.
    file: PathBuf,
    /// The version that was signed over, which must be the current one. Without it, this is the first signature.
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    over: u32,
    /// Tag of the version. Can be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Stage of the version.
    #[arg(long, value_name = "TEXT")]
    stage: Option<String>,
    /// The creator of the version.
    #[arg(long, value_name = "TEXT")]
    created_by: Option<String>,
    /// A comment on the version.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    attachments: Attachments,
    /// Wait until the version is in the tenant's log, for 20 seconds or as many as you give, 25 at most. It is saved in
    /// any case.
    #[arg(long, value_name = "SECONDS", require_equals = true, num_args = 0..=1, default_missing_value = "20", value_parser = clap::value_parser!(u32).range(1..=25))]
    wait: Option<u32>,
}

impl Save {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { thread, .. } = &self;
        let signature = read(&self.file)?;
        ensure!(
            !signature.is_empty(),
            "{} is empty; nothing was saved.",
            self.file.display()
        );
        let door = door.acting_as(&thread.tenant)?;
        let mut request = thread
            .of(door.post(&["signature"]))
            .with("version", self.over)
            .with_given("stage", self.stage.as_ref())
            .with_given("version_created_by", self.created_by.as_ref())
            .with_given("version_comment", self.comment.as_ref())
            .with_progress();
        for tag in &self.tags {
            request = request.with("tags", tag);
        }
        if let Some(seconds) = self.wait {
            let prefer = HeaderName::from_static("prefer");
            request = request.with_header(prefer, &format!("wait={seconds}"));
        }
        let request = self.attachments.with_signature(request, &signature)?;
        let answer = request.send().map_err(|error| self.explained(error))?;
        let created = answer.created();
        let mut content = answer.content()?;
        let mut told = content["signature"].take();
        if let Some(members) = told.as_object_mut() {
            // `signature get` gives it.
            members.shift_remove("signature");
            members.insert("created".to_owned(), created.into());
            if self.wait.is_some() {
                members.insert("evidence".to_owned(), content["evidence"].take());
            }
        }
        let version = &told["version"];
        let mut sentence = match created {
            true => format!("Saved version {version} of {}.", thread.in_words()),
            false => format!(
                "Version {version} of {} was saved before, with this signature; nothing was changed.",
                thread.in_words()
            ),
        };
        if self.wait.is_some() {
            sentence.push(' ');
            sentence.push_str(&in_log(&told["evidence"]));
        }
        output.result(&sentence, &told)
    }

    /// Says what to do if somebody else was faster.
    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(refusal) = error.downcast_ref::<Refusal>() else {
            return error;
        };
        let Some(current) = refusal.details["current_version"].as_u64() else {
            return error;
        };
        let Thread { tenant, .. } = &self.thread;
        let thread = self.thread.in_words();
        let sentence = match (refusal.code.as_deref(), current, self.over) {
            (Some("version_conflict"), 0, _) => format!(
                "Nothing was saved: {thread} has no version yet. Leave out --over to save its first signature."
            ),
            (Some("version_conflict"), _, over) => format!(
                "Nothing was saved: the current version of {thread} is {current}, and this signature was made over {}. Get that version with `sigpersist signature get {tenant} {} --output FILE`, have it countersigned, and save what comes of it with --over {current}.",
                match over {
                    0 => "none".to_owned(),
                    over => format!("version {over}"),
                },
                self.thread.as_options()
            ),
            _ => return error,
        };
        match error.downcast::<Refusal>() {
            Ok(refusal) => refusal.saying(sentence).into(),
            Err(error) => error,
        }
    }
}

/// Tells whether the version is in the log.
fn in_log(evidence: &Value) -> String {
    match (&evidence["state"], &evidence["number"]) {
        (Value::String(state), Value::Number(number)) if state == "logged" => {
            format!("It has the number {number} in the log.")
        }
        (Value::Null, _) => "The server keeps no log.".to_owned(),
        _ => "It is not in the log yet; a running server puts it there.".to_owned(),
    }
}
