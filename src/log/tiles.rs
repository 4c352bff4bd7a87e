//! The tiles of a log (C2SP tlog-tiles): parts that monitors read and keep.

use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::log::Epoch;
use sigpersist_tlog::{StoredRange, TileContent, TilePath, entry_bundle};

use super::proof::signed;
use crate::app::App;

/// The tile at this path. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if the signed tree has no such tile, [`Error::Refused`] if it is not signed, and the errors of the
/// store.
pub fn tile(app: &App, epoch: &Epoch, path: &str) -> Result<Vec<u8>> {
    let missing = || Error::NotFound(Noun::Tile);
    let path: TilePath = path.parse().map_err(|_| missing())?;
    let (checkpoint, _) = signed(epoch)?;
    let range = path.range(checkpoint.size).ok_or_else(missing)?;
    match path.content {
        TileContent::Entries => entries(app, epoch, &range),
        TileContent::Hashes { .. } => Ok(app.store.log_hashes(epoch, &range)?.concat()),
    }
}

fn entries(app: &App, epoch: &Epoch, range: &StoredRange) -> Result<Vec<u8>> {
    let first = epoch.first.saturating_add_unsigned(range.first);
    let entries = app
        .store
        .log_happenings(epoch.tenant, first - 1, range.count.into())?
        .0;
    let texts = entries
        .iter()
        .map(|logged| logged.numbered.entry().to_text());
    entry_bundle(&texts.collect::<Vec<_>>()).map_err(Error::internal)
}
