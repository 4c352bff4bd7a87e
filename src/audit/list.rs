//! Lists events of the audit trail.

use sigpersist_model::audit::{Filter, Listed, Place};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::page::Page;

use crate::app::App;

/// The most events of one page.
pub const MAX_LIMIT: u32 = 200;

/// Lists a page of events, newest first, beginning after `after`. Blocks.
///
/// # Errors
///
/// Any error of the store.
pub fn list(
    app: &App,
    filter: &Filter,
    after: Option<&Place>,
    limit: u32,
) -> Result<Page<Listed, Place>> {
    let limit = usize::try_from(limit).map_err(Error::internal)?;
    // One more than the limit, to see whether there is a next page.
    let events = app.store.audit_list(filter, after, limit + 1)?;
    Ok(Page::cut(events, limit, Listed::place))
}
