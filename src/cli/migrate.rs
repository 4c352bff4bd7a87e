//! `sigpersist migrate`.

use serde_json::json;

use super::output::Output;
use crate::app::Database;

pub(super) fn run(database: &Database, output: &Output) -> anyhow::Result<()> {
    let applied = database.prepare(true)?;
    let sentence = if applied.is_empty() {
        "The schema is up to date.".to_owned()
    } else {
        format!(
            "Ran the migrations {}. The schema is up to date.",
            applied.join(", ")
        )
    };
    output.result(&sentence, &json!({ "applied": applied }))
}
