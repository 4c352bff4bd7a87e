//! Deleting a thread with all its versions.

use std::time::{Duration, Instant};

use chrono::Utc;
use sigpersist_hooks::VerdictSource;
use sigpersist_model::context::Context;
use sigpersist_model::decision::{Circumstances, Input, Judgement};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::{Preconditions, Signature, ThreadKey};
use sigpersist_store::Deletion;

use super::audited;
use super::judging::judging;
use crate::app::App;
use crate::decisions;
use crate::plugins::ReadyChain;
use crate::tenants;

/// Least number of attempts before a delete gives up because a version is saved during each of them.
const ATTEMPTS: u32 = 5;
/// Least time before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deletes a thread with all its versions and tags. Blocks.
///
/// Hooks judge the current version. If another version is saved meanwhile, they judge again.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], [`Error::PreconditionFailed`], [`Error::RateLimited`] if the tenant saves versions
/// faster than its hooks can judge the delete, and the errors of the hooks and the store.
pub fn delete(
    app: &App,
    context: &Context,
    ready_chain: &ReadyChain,
    key: &ThreadKey,
    preconditions: &Preconditions,
) -> Result<()> {
    let deleted = attempt(app, context, ready_chain, key, preconditions);
    if let Err(error) = &deleted {
        decisions::tell(app, context, Operation::Delete, key, error);
    }
    deleted
}

fn attempt(
    app: &App,
    context: &Context,
    ready_chain: &ReadyChain,
    key: &ThreadKey,
    preconditions: &Preconditions,
) -> Result<()> {
    let tenant = context.tenant()?;
    let check = |current_version| {
        if !preconditions.hold(current_version) {
            Err(Error::PreconditionFailed { current_version })
        } else if current_version == 0 {
            Err(Error::SignatureNotFound)
        } else {
            Ok(())
        }
    };
    let (since, mut attempts) = (Instant::now(), 0);
    loop {
        let judged = if ready_chain.chain.judges(Operation::Delete) {
            let signature = app.store.signature_get(tenant, key, None)?;
            check(signature.as_ref().map_or(0, |signature| signature.version))?;
            let signature = signature.ok_or(Error::SignatureNotFound)?;
            let judgement = ask(app, context, ready_chain, &signature)?;
            Some((signature.version, judgement))
        } else {
            None
        };
        let (version, judgement) = judged.unzip();
        let found = app.store.signature_delete(
            tenant,
            key,
            judgement.as_ref(),
            |current_version| {
                version.is_none_or(|judged| judged == current_version)
                    && preconditions.hold(current_version)
            },
            |version, sha256| audited::deleted(context.actor(), tenant, key, version, sha256),
        )?;
        let Deletion::Refused { current_version } = found else {
            tenants::forget_usage(app, context);
            return Ok(());
        };
        check(current_version)?;
        attempts += 1;
        if attempts >= ATTEMPTS && since.elapsed() >= PATIENCE {
            return Err(Error::RateLimited);
        }
    }
}

/// Asks the hooks about the delete. Returns the judgement to record with it; a refusal is recorded here.
fn ask(
    app: &App,
    context: &Context,
    ready_chain: &ReadyChain,
    signature: &Signature,
) -> Result<Judgement> {
    let now = Utc::now();
    let circumstances = Circumstances::at(now, context)?;
    let judging = if ready_chain.chain.wants_verdicts(Operation::Delete) {
        judging(app, context.tenant()?, signature, now)?
    } else {
        VerdictSource::default()
    };
    let judged = ready_chain
        .chain
        .judge_delete(&circumstances, signature, &judging);
    let judgement = Judgement::new(
        Operation::Delete,
        &signature.key,
        signature.version,
        &Input::of_delete(&circumstances, signature).with_verdicts(judged.verdicts.clone()),
        &judged.decisions,
    )?;
    match decisions::settle(app, context, &judged, &judgement, None)? {
        None => Ok(judgement),
        Some(refusal) => Err(refusal),
    }
}
