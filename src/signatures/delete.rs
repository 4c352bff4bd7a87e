//! Deleting a thread with all its versions.

use super::model::{Preconditions, ThreadKey};
use crate::app::App;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::plugins::Judges;

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
    let tenant = context.tenant();
    let mut current_version = 0;
    for _ in 0..ATTEMPTS {
        // What is deleted is what was judged: a version that came in between is judged anew.
        let judged = if judges.chain.judges_deletes() {
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
        if let Some(signature) = &judged {
            judges.chain.judge_delete(context, signature)?;
        }
        if app.store.signature_delete(tenant, key, current_version)? {
            return Ok(());
        }
    }
    Err(Error::VersionConflict { current_version })
}
