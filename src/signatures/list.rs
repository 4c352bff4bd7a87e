//! Listing a tenant's threads, newest first.

use sigpersist_model::context::Context;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{ListFilter, Position, Signature};

use crate::app::App;
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

/// A page of the tenant's threads; `reserve` is asked before so many bytes of signatures are read. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] where the page holds too many bytes, and those of `reserve` and the store.
pub fn list(
    app: &App,
    context: &Context,
    list: &List,
    reserve: impl Fn(usize) -> Result<()>,
) -> Result<Page> {
    let tenant = context.tenant()?;
    let read = |max_bytes| {
        let page = ListPage {
            after: list.after,
            limit: i64::from(list.limit),
            offset: i64::from(list.offset),
            max_bytes,
        };
        let mut signatures = app.store.signature_list(tenant, &list.filter, &page)?;
        let more = signatures.len() > list.limit as usize;
        signatures.truncate(list.limit as usize);
        Ok((signatures, more))
    };
    let (signatures, more) = if list.omit_body {
        read(-1)?
    } else {
        page(app, reserve, read, |(signatures, _)| signatures)?
    };
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

/// Most bytes of signatures that a page is asked for first, and how many times that it is asked for next.
const FIRST_BYTES: usize = 1024 * 1024;
const NEXT_BYTES: usize = 8;

/// A page with its signatures, where all together have no more bytes than one may. The store leaves them all out where they have
/// more than it is asked for: so it is asked for few at first, and for more where there are more, each time after bytes were
/// reserved for them.
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
    // The caller must ask for fewer.
    Err(Error::invalid(
        "limit",
        format!(
            "The signatures of this page have more than {} bytes together: lower `limit`, or leave them out with `omit=signature`.",
            app.config.http.max_list_bytes
        ),
    ))
}
