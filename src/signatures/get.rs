//! Reading a thread: one version of it, or its history.

use sigpersist_model::context::Context;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{Signature, ThreadKey};

use super::list::page;
use crate::app::App;

/// One version of a thread; the current one if none is named. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], and the errors of the store.
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

/// A page of a thread's history, newest first, and the version before which the next page starts, if there is more.
///
/// `reserve` is called with a number of bytes before signatures of that size are read. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`] for a thread that does not exist, [`Error::InvalidParameter`] if the page holds too
/// many bytes, and the errors of `reserve` and the store.
pub fn history(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    before: Option<u32>,
    limit: u32,
    with_body: bool,
    reserve: impl Fn(usize) -> Result<()>,
) -> Result<(Vec<Signature>, Option<u32>)> {
    let tenant = context.tenant()?;
    let read = |max_bytes| {
        let limit = i64::from(limit);
        app.store
            .signature_history(tenant, key, before, limit, max_bytes)?
            .ok_or(Error::SignatureNotFound)
    };
    let versions = if with_body {
        page(app, reserve, |bytes| read(Some(bytes)), |versions| versions)?
    } else {
        read(None)?
    };
    let next = versions
        .last()
        .filter(|last| versions.len() == limit as usize && last.version > 1)
        .map(|last| last.version);
    Ok((versions, next))
}
