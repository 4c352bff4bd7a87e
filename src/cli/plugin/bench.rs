//! `sigpersist plugin bench`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use sigpersist_hooks::cases::{self, Measured, Sample, read_cases};
use sigpersist_hooks::{Engine, Plugin};
use sigpersist_model::error::Result;
use sigpersist_model::plugin::Operation;

use super::author_log::AuthorLog;
use super::load;
use crate::cli::output::{Output, joined};
use crate::cli::progress::progress;
use crate::cli::table::Table;

const FIRST: &str = include_str!("../../../tests/data/first.cms.b64");
const COUNTERSIGNED: &str = include_str!("../../../tests/data/countersigned.cms.b64");
/// Longest time for one case: an hour.
const MAX_SECONDS: u64 = 3600;
/// Calls that the engine keeps room for, whatever the configuration.
const MAX_THREADS: u64 = 64;

#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    /// The component.
    file: PathBuf,
    /// Directory of test cases; their expectations are ignored [default: a first signature, a second one over it, and a
    /// delete, as far as the plugin supports them; with no settings].
    cases: Option<PathBuf>,
    /// Time for which each case runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: u64,
    /// Number of threads that run calls at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS))]
    threads: u64,
}

impl Bench {
    pub(super) fn run(
        self,
        engine: &Arc<Engine>,
        log: &AuthorLog,
        output: &Output,
    ) -> anyhow::Result<()> {
        let plugin = load(engine, &self.file)?;
        let samples: Vec<(String, Sample)> = match &self.cases {
            Some(directory) => read_cases(directory)?
                .into_iter()
                .map(|case| (case.name, case.input))
                .collect(),
            None => built_in(&plugin),
        };
        let threads = usize::try_from(self.threads)?;
        let bar = progress(samples.len() as u64, "cases");
        let mut results = Vec::with_capacity(samples.len());
        for (name, sample) in samples {
            bar.set_message(name.clone());
            // The first run tells its log; the others would tell the same, very many times.
            log.begin(&name);
            let bench = cases::Bench::new(engine, &plugin, &sample);
            log.mute();
            let measured = bench.map(|bench| bench.run(Duration::from_secs(self.seconds), threads));
            results.push((name, measured));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let cases: Vec<_> = results.iter().map(facts).collect();
        output.result(
            &report(&results),
            &json!({ "seconds": self.seconds, "threads": threads, "cases": cases }),
        )?;
        if results.iter().all(|(_, measured)| measured.is_err()) {
            bail!(
                "Nothing could be measured; give a directory of cases that the plugin can run, as for `sigpersist plugin test`."
            );
        }
        Ok(())
    }
}

/// Signatures of the kind that most plugins read.
fn built_in(plugin: &Plugin) -> Vec<(String, Sample)> {
    let signature = |text: &str| Sample {
        cms: Some(text.trim().to_owned()),
        ..Sample::default()
    };
    let mut samples = Vec::new();
    if plugin.judges(Operation::Save) {
        samples.push(("save".to_owned(), signature(FIRST)));
        samples.push((
            "countersign".to_owned(),
            Sample {
                previous: Some(Box::new(signature(FIRST))),
                ..signature(COUNTERSIGNED)
            },
        ));
    }
    if plugin.judges(Operation::Delete) {
        samples.push((
            "delete".to_owned(),
            Sample {
                operation: Operation::Delete,
                ..signature(COUNTERSIGNED)
            },
        ));
    }
    samples
}

fn report(results: &[(String, Result<Measured>)]) -> String {
    let mut table = Table::new(&[
        "case", "verdict", "runs", "p50 µs", "p99 µs", "max µs", "fuel", "KiB", "runs/s",
    ]);
    let mut notes = String::new();
    for (name, measured) in results {
        match measured {
            Ok(measured) => {
                if let Some(failure) = &measured.failure {
                    notes.push_str(&format!("\n{name} failed: {failure}"));
                }
                table.row([
                    name.clone(),
                    measured.verdict.as_str().to_owned(),
                    measured.runs.to_string(),
                    measured.microseconds.p50.to_string(),
                    measured.microseconds.p99.to_string(),
                    measured.microseconds.max.to_string(),
                    measured.fuel.to_string(),
                    measured.memory_bytes.div_ceil(1024).to_string(),
                    format!("{:.0}", measured.runs_per_second),
                ]);
            }
            Err(error) => notes.push_str(&format!("\n{name} was not measured: {error}")),
        }
    }
    format!("{table}{notes}")
}

fn facts((name, measured): &(String, Result<Measured>)) -> Value {
    match measured {
        Ok(measured) => joined(json!({ "name": name }), json!(measured)),
        Err(error) => json!({ "name": name, "error": error.to_string() }),
    }
}
