//! Acts on the judgement of a save or delete. A refusal is recorded here; an accepted judgement is recorded in the
//! statement that saves or deletes.

use sigpersist_hooks::ChainResult;
use sigpersist_model::context::Context;
use sigpersist_model::decision::Judgement;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::SignatureBody;
use sigpersist_runtime::metrics;

use crate::app::App;
use crate::plugins;

/// Sets hooks aside that keep failing, and records a refusal and returns it. Blocks.
///
/// `body` is the refused signature, if it is stored nowhere else; it is kept for replays if it is small enough.
pub(crate) fn settle(
    app: &App,
    context: &Context,
    judged: &ChainResult,
    judgement: &Judgement,
    body: Option<&SignatureBody>,
) -> Result<Option<Error>> {
    let tenancy = context.tenancy()?;
    let microseconds = judged
        .decisions
        .iter()
        .map(|decision| decision.microseconds);
    app.meters
        .charge_hook_time(&context.caller, microseconds.sum());
    for decision in &judged.decisions {
        metrics::hook_ran(&tenancy.slug, decision);
    }
    if !judged.sick.is_empty() {
        plugins::set_aside(app, tenancy.id, &tenancy.slug, &judged.sick);
    }
    let Some(refusal) = judged.refusal() else {
        return Ok(None);
    };
    let kept = body.filter(|body| body.bytes.len() <= app.config.hooks.max_kept_input_bytes);
    app.store
        .judgement_insert(tenancy.id, judgement, judged.outcome(), kept)?;
    Ok(Some(refusal))
}
