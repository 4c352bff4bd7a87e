//! Lists events of the audit trail.

use sigpersist_model::audit::{Filter, Listed, Place};
use sigpersist_model::error::Result;

use crate::app::App;

/// The most events of one page.
pub const MAX_LIMIT: usize = 200;

/// A page of events.
#[derive(Debug)]
pub struct Page {
    /// The events, newest first.
    pub events: Vec<Listed>,
    /// The place after which the next page begins; none at the end.
    pub next: Option<Place>,
}

/// Lists a page of events, newest first, beginning after `after`. Blocks.
///
/// # Errors
///
/// Any error of the store.
pub fn list(app: &App, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Page> {
    let mut events = app
        .store
        .audit_list(filter, after, limit.saturating_add(1))?;
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(Listed::place);
    Ok(Page { events, next })
}
