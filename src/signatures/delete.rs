//! Deleting a thread with all its versions.

use super::model::{Preconditions, Signature, ThreadKey};
use crate::app::App;
use crate::context::Context;
use crate::decisions;
use crate::decisions::model::{Circumstances, Input, Judgement};
use crate::error::{Error, Result};
use crate::plugins::Judges;
use crate::plugins::model::Operation;
use crate::tenants;

/// How often a delete is judged anew because a version was saved while it was judged.
const ATTEMPTS: usize = 5;

/// Deletes a thread with all its versions and tags. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], [`Error::PreconditionFailed`], [`Error::VersionConflict`] where others save versions
/// faster than the delete can be judged, and those of the hooks and the store.
pub fn delete(
    app: &App,
    context: &Context,
    judges: &Judges,
    key: &ThreadKey,
    preconditions: &Preconditions,
) -> Result<()> {
    let tenant = context.tenant()?;
    let mut current_version = 0;
    for _ in 0..ATTEMPTS {
        // What is deleted is what was judged: a version that came in between is judged anew.
        let judged = if judges.chain.judges(Operation::Delete) {
            app.store.signature_get(tenant, key, None)?
        } else {
            None
        };
        current_version = match &judged {
            Some(signature) => signature.version,
            None => app.store.signature_current_version(tenant, key)?,
        };
        if !preconditions.hold(current_version) {
            return Err(Error::PreconditionFailed { current_version });
        }
        if current_version == 0 {
            return Err(Error::SignatureNotFound);
        }
        let judgement = match &judged {
            Some(signature) => Some(ask(app, context, judges, signature)?),
            None => None,
        };
        let deleted =
            app.store
                .signature_delete(tenant, key, current_version, judgement.as_ref())?;
        if deleted {
            tenants::forget_usage(app, context);
            return Ok(());
        }
    }
    Err(Error::VersionConflict { current_version })
}

/// Asks the hooks about the delete; gives what is to be recorded with it. What they refuse is recorded here.
fn ask(app: &App, context: &Context, judges: &Judges, signature: &Signature) -> Result<Judgement> {
    let circumstances = Circumstances::now(context)?;
    let judged = judges.chain.judge_delete(&circumstances, signature);
    let judgement = Judgement::new(
        Operation::Delete,
        &signature.key,
        signature.version,
        &Input::of_delete(&circumstances, signature),
        &judged.decisions,
    )?;
    match decisions::settle(app, context, &judged, &judgement, None)? {
        None => Ok(judgement),
        Some(refusal) => Err(refusal),
    }
}
