//! Reading a thread: one version of it, or its history.

use super::model::{Signature, ThreadKey};
use crate::app::App;
use crate::context::Context;
use crate::error::{Error, Result};

/// One version of a thread, the current one where none is named. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], and those of the store.
pub fn get(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    version: Option<u32>,
) -> Result<Signature> {
    app.store
        .signature_get(context.tenant()?, key, version)?
        .ok_or(Error::SignatureNotFound)
}

/// A page of a thread's history, newest first, and the version to go on before where there is more. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`] for a thread that does not exist, [`Error::InvalidParameter`] where the page holds too
/// many bytes, and those of the store.
pub fn history(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    before: Option<u32>,
    limit: u32,
    with_body: bool,
) -> Result<(Vec<Signature>, Option<u32>)> {
    let max_bytes = with_body.then(|| super::list::max_page_bytes(app));
    let versions = app
        .store
        .signature_history(context.tenant()?, key, before, i64::from(limit), max_bytes)?
        .ok_or(Error::SignatureNotFound)?;
    if with_body {
        super::list::check_page_bytes(app, &versions)?;
    }
    let next = versions
        .last()
        .filter(|last| versions.len() == limit as usize && last.version > 1)
        .map(|last| last.version);
    Ok((versions, next))
}
