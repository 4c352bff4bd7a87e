//! Reading what happened to a tenant, in order.

use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::view::HappeningView;
use sigpersist_model::webhook::is_wanted;

use crate::app::App;

/// Entries that one call looks at, at most.
const SCANNED: i64 = 1_000;

/// The greatest number of events on a page.
pub const MAX_LIMIT: u32 = 1_000;

/// Some of what happened.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, in order.
    pub events: Vec<HappeningView>,
    /// The number after which to go on. It grows even if no event has one of the types that were asked for.
    pub next: i64,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After this number.
    Number(i64),
    /// After what has happened so far.
    Now,
}

/// Reads at most `limit` events after a number, of these types or, if there are none, of all. A type that ends with a dot
/// stands for all that begin so. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn read(
    app: &App,
    tenant: TenantId,
    after: After,
    limit: u32,
    types: &[String],
) -> Result<Page> {
    let mut next = match after {
        After::Number(number) => number,
        After::Now => {
            return Ok(Page {
                events: Vec::new(),
                next: app.store.log_head(tenant)?,
            });
        }
    };
    let most = if types.is_empty() {
        limit.into()
    } else {
        SCANNED
    };
    let (entries, epochs) = app.store.log_happenings(tenant, next, most)?;
    let mut events = Vec::new();
    for logged in entries {
        let number = logged.numbered.number;
        // The database went back in time, and these numbers had been told.
        while next + 1 < number && events.len() < limit as usize {
            next += 1;
            let lost = HappeningView::lost(next, logged.numbered.what.at);
            if is_wanted(types, &lost.kind) {
                events.push(lost);
            }
        }
        if next + 1 < number {
            break;
        }
        let epoch = epochs.iter().rfind(|epoch| epoch.first <= number);
        let origin = epoch.map_or("", |epoch| epoch.origin.as_str());
        let view = HappeningView::new(logged, origin);
        if is_wanted(types, &view.kind) {
            events.push(view);
        }
        next = number;
        if events.len() >= limit as usize {
            break;
        }
    }
    Ok(Page { events, next })
}
