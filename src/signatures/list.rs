//! Listing a tenant's threads, newest first.

use super::model::{ListFilter, Position, Signature};
use crate::app::App;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::store::ListPage;

/// Most threads of one page.
pub const MAX_LIMIT: u32 = 1000;

/// What a list is asked for.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Which threads.
    pub filter: ListFilter,
    /// Only what comes after this place.
    pub after: Option<Position>,
    /// At most so many, up to [`MAX_LIMIT`].
    pub limit: u32,
    /// After leaving out so many.
    pub offset: u32,
    /// Whether to count all matches.
    pub count: bool,
    /// Whether to leave the signatures themselves out.
    pub omit_body: bool,
}

/// A page of threads with their current versions.
#[derive(Debug, Clone)]
pub struct Page {
    /// The threads.
    pub signatures: Vec<Signature>,
    /// Where to go on; nothing at the end.
    pub next: Option<Position>,
    /// How many threads match, before limit and offset, where that was asked.
    pub nb_results: Option<i64>,
}

/// A page of the tenant's threads. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] where the page holds too many bytes, and those of the store.
pub fn list(app: &App, context: &Context, list: &List) -> Result<Page> {
    let tenant = context.tenant()?;
    let limit = i64::from(list.limit);
    let page = ListPage {
        after: list.after,
        limit,
        offset: i64::from(list.offset),
        max_bytes: if list.omit_body {
            -1
        } else {
            max_page_bytes(app)
        },
    };
    let mut signatures = app.store.signature_list(tenant, &list.filter, &page)?;
    let more = signatures.len() > list.limit as usize;
    signatures.truncate(list.limit as usize);
    if !list.omit_body {
        check_page_bytes(app, &signatures)?;
    }
    let next = signatures.last().filter(|_| more).map(|last| Position {
        created_at: last.created_at,
        id: last.id,
    });
    let nb_results = match list.count {
        true => Some(app.store.signature_count(tenant, &list.filter)?),
        false => None,
    };
    Ok(Page {
        signatures,
        next,
        nb_results,
    })
}

/// Most bytes of signatures in one page, since a page is held in memory.
pub(super) fn max_page_bytes(app: &App) -> i64 {
    i64::try_from(app.config.http.max_list_bytes).unwrap_or(i64::MAX)
}

/// The store leaves all bodies out where together they are too many: then the caller must ask for fewer.
pub(super) fn check_page_bytes(app: &App, signatures: &[Signature]) -> Result<()> {
    if signatures.iter().all(|signature| signature.body.is_some()) {
        return Ok(());
    }
    Err(Error::invalid(
        "limit",
        format!(
            "The signatures of this page have more than {} bytes together: lower `limit`, or leave them out with `omit=signature`.",
            app.config.http.max_list_bytes
        ),
    ))
}
