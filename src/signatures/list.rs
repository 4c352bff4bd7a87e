//! Listing a tenant's threads, newest first.

use sigpersist_model::context::Context;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::page::Page;
use sigpersist_model::signature::{ListFilter, Position, Signature};
use sigpersist_store::ListPage;

use crate::app::App;

/// Greatest number of threads on a page.
pub const MAX_LIMIT: u32 = 1000;

/// The parameters of a list.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The threads to list.
    pub filter: ListFilter,
    /// The place after which the page starts.
    pub after: Option<Position>,
    /// Greatest number of threads on the page, up to [`MAX_LIMIT`].
    pub limit: u32,
    /// Number of threads to skip.
    pub offset: u32,
    /// Whether to count all matching threads.
    pub count: bool,
    /// Whether to omit the signatures themselves.
    pub omit_body: bool,
}

/// A page of threads with their current versions.
#[derive(Debug, Clone)]
pub struct Threads {
    /// The page.
    pub page: Page<Signature, Position>,
    /// Number of matching threads before limit and offset, if it was asked for.
    pub nb_results: Option<i64>,
}

/// A page of the tenant's threads. `reserve` is called with a number of bytes before signatures of that size are read.
/// Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if the page holds too many bytes, and the errors of `reserve` and the store.
pub fn list(
    app: &App,
    context: &Context,
    list: &List,
    reserve: impl Fn(usize) -> Result<()>,
) -> Result<Threads> {
    let tenant = context.tenant()?;
    let read = |max_bytes| {
        let page = ListPage {
            after: list.after,
            limit: i64::from(list.limit),
            offset: i64::from(list.offset),
            max_bytes,
        };
        let signatures = app.store.signature_list(tenant, &list.filter, &page)?;
        let position = |last: &Signature| Position {
            created_at: last.created_at,
            id: last.id,
        };
        Ok(Page::cut(signatures, list.limit as usize, position))
    };
    let page = if list.omit_body {
        read(-1)?
    } else {
        page(app, reserve, read, |page| &page.items)?
    };
    let nb_results = match list.count {
        true => Some(app.store.signature_count(tenant, &list.filter)?),
        false => None,
    };
    Ok(Threads { page, nb_results })
}

/// Bytes of signatures that the first attempt to read a page may load, and the factor for each further attempt.
const FIRST_BYTES: usize = 1024 * 1024;
const NEXT_BYTES: usize = 8;

/// Reads a page with its signatures, if they have no more bytes together than a page may have.
///
/// If the signatures have more bytes than an attempt allows, the store omits them all. So the first attempt allows few
/// bytes and each further one more, each after these bytes were reserved.
pub(super) fn page<P>(
    app: &App,
    reserve: impl Fn(usize) -> Result<()>,
    read: impl Fn(i64) -> Result<P>,
    signatures: impl Fn(&P) -> &[Signature],
) -> Result<P> {
    let most = app.config.http.max_list_bytes;
    let mut bytes = FIRST_BYTES.min(most);
    loop {
        reserve(bytes)?;
        let page = read(i64::try_from(bytes).unwrap_or(i64::MAX))?;
        if signatures(&page)
            .iter()
            .all(|signature| signature.body.is_some())
        {
            return Ok(page);
        }
        if bytes == most {
            break;
        }
        bytes = bytes.saturating_mul(NEXT_BYTES).min(most);
    }
    // The caller must ask for fewer threads.
    Err(Error::invalid(
        "limit",
        format!(
            "The signatures of this page have more than {} bytes together: lower `limit`, or leave them out with `omit=signature`.",
            app.config.http.max_list_bytes
        ),
    ))
}
