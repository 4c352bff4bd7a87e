//! `sigpersist hook evaluate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sigpersist_hooks::cases::read_sample;
use sigpersist_model::view::EvaluationView;

use super::Candidate;
use crate::cli::door::Door;
use crate::cli::output::Output;
use crate::cli::verdicts;
use crate::trials::EvaluateRequest;

#[derive(Debug, Args)]
pub(in crate::cli) struct Evaluate {
    /// The tenant's slug.
    tenant: String,
    /// The input: a JSON file with the members of a save (`document`, `thread`, `cms` or `cms_file`, `content_file`,
    /// `tags` …), or {"operation": "delete"} with the "document" and "thread" of a stored signature.
    #[arg(value_name = "INPUT.json")]
    input: PathBuf,
    #[command(flatten)]
    candidate: Candidate,
}

impl Evaluate {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self {
            tenant,
            input,
            candidate,
        } = self;
        let request = EvaluateRequest {
            input: read_sample(&input)?,
            candidate: candidate.into_request()?,
        };
        let post = door.post(&["tenants", &tenant, "hooks", "evaluate"]);
        let view: EvaluationView = post.json(&json!(request)).send()?.parsed()?;
        let text = verdicts::table(&view.decisions);
        let tags = match view.tags.as_slice() {
            [] => "none".to_owned(),
            tags => tags.join(", "),
        };
        let outcome = view.outcome.as_str();
        let sentence = format!("It would be {outcome}. Tags: {tags}.\n\n{text}");
        output.result(&sentence, &json!(view))
    }
}
