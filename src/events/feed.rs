//! Reading what happened to a tenant, in order.

use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Logged};
use sigpersist_model::view::HappeningView;
use sigpersist_model::webhook::is_wanted;

use crate::app::App;

/// Entries that one call looks at, at most.
const SCANNED: usize = 1_000;
/// Entries that are in memory at once.
const CHUNK: usize = 50;
/// A page with this many bytes is full.
const FULL_BYTES: usize = 512 * 1024;

/// The memory that a page takes while it is read, in bytes: a full one, and the entries of the last chunk.
pub const PAGE_BYTES: usize = 1024 * 1024;

/// The greatest number of events on a page.
pub const MAX_LIMIT: u32 = 1_000;

/// Some of what happened.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, in order.
    pub events: Vec<HappeningView>,
    /// The number after which to go on. It grows even if no event has one of the types that were asked for.
    pub next: i64,
    /// About how many bytes it takes.
    pub bytes: usize,
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
    let mut page = Page {
        events: Vec::new(),
        next: match after {
            After::Number(number) => number,
            After::Now => app.store.log_head(tenant)?,
        },
        bytes: 0,
    };
    if after == After::Now {
        return Ok(page);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut scanned = 0;
    while scanned < SCANNED && page.events.len() < limit && page.bytes < FULL_BYTES {
        let most = CHUNK.min(limit - page.events.len());
        let (entries, epochs) = app.store.log_happenings(tenant, page.next, most as i64)?;
        let is_last = entries.len() < most;
        scanned += entries.len();
        for logged in entries {
            page.bytes += logged.bytes();
            page.add(logged, &epochs, types, limit);
        }
        if is_last {
            break;
        }
    }
    Ok(page)
}

impl Page {
    /// Adds an entry, and before it those that the database has lost: it went back in time, and their numbers had been told.
    fn add(&mut self, logged: Logged, epochs: &[Epoch], types: &[String], limit: usize) {
        let number = logged.numbered.number;
        while self.next + 1 < number && self.events.len() < limit {
            let lost = HappeningView::lost(self.next + 1, logged.numbered.what.at);
            self.tell(lost, types);
        }
        if self.next + 1 == number && self.events.len() < limit {
            self.tell(HappeningView::new(logged, epochs), types);
        }
    }

    fn tell(&mut self, view: HappeningView, types: &[String]) {
        self.next = view.number;
        if is_wanted(types, &view.kind) {
            self.events.push(view);
        }
    }
}
