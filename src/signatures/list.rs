//! Listing a tenant's threads.

use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::page::Page;
use sigpersist_model::signature::{ListFilter, OrderBy, Position, Signature};
use sigpersist_store::ListPage;

use crate::app::App;
use crate::policy;

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
    /// Whether the list may be wrong, because it filters by signers and those of some versions are not indexed yet.
    pub incomplete: bool,
}

/// A page of the tenant's threads. `reserve` is called with a number of bytes before signatures of that size are read.
/// Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if the page holds too many bytes or signers are not indexed, and the errors of `reserve` and the store.
pub fn list(
    app: &App,
    context: &Context,
    list: &List,
    reserve: impl Fn(usize) -> Result<()>,
) -> Result<Threads> {
    let tenant = context.tenant()?;
    let incomplete = are_signers_missing(app, tenant, &list.filter)?;
    let read = |max_bytes| {
        let page = ListPage {
            after: list.after,
            limit: i64::from(list.limit),
            offset: i64::from(list.offset),
            max_bytes,
        };
        let signatures = app.store.signature_list(tenant, &list.filter, &page)?;
        let position = |last: &Signature| Position {
            at: match list.filter.order.by {
                OrderBy::Created => last.created_at,
                OrderBy::Updated => last.updated_at,
            },
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
    Ok(Threads {
        page,
        nb_results,
        incomplete,
    })
}

/// Whether a filter asks for signers and those of some versions are not indexed yet. This is looked up before the list,
/// so that a list that was not complete is never said to be.
fn are_signers_missing(app: &App, tenant: TenantId, filter: &ListFilter) -> Result<bool> {
    let parameter = match (filter.signers.is_empty(), filter.not_signed_by.is_empty()) {
        (true, true) => return Ok(false),
        (false, _) => "signer",
        (true, false) => "not_signed_by",
    };
    if !policy::in_force(app, tenant)?.policy.index_signers {
        let message = format!(
            "`{parameter}` needs an index of signers, which your policy does not keep: set `index_signers` in it."
        );
        return Err(Error::invalid(parameter, message));
    }
    app.store.signers_are_missing(tenant)
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
