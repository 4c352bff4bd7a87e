//! Exports the log.

use sigpersist_model::error::Result;
use sigpersist_model::log::Logged;
use sigpersist_model::transfer::{Counts, Line, LogEntry, LogEpoch, LogQueued};
use sigpersist_store::Snapshot;
use sigpersist_tlog::{Salt, seal};

use super::Walk;
use crate::log::{KeysOfLog, VerifyingKey};

/// Entries that are read at once.
const PAGE: i64 = 1_000;

/// A log that can be exported.
#[derive(Debug, Default)]
pub(in super::super) struct Readable {
    epochs: Vec<LogEpoch>,
}

/// Verifies the log of a tenant, and counts its lines. Returns none if the tenant has no log.
///
/// `progress` is called for each entry. The inner error says why an import would not take the log, as the rest of a sentence.
pub(in super::super) fn read(
    snapshot: &mut Snapshot<'_>,
    keys: Vec<VerifyingKey>,
    counts: &mut Counts,
    mut progress: impl FnMut(),
) -> Result<Result<Option<Readable>, String>> {
    let epochs = snapshot.log_epochs()?;
    if epochs.iter().all(|epoch| epoch.size == 0) {
        return Ok(Ok(None));
    }
    let keys = KeysOfLog::new(keys, snapshot.log_imported_keys()?);
    let mut walk = Walk::new();
    let mut readable = Readable::default();
    for epoch in epochs {
        let line = LogEpoch::new(epoch.clone(), &keys.of(epoch.epoch));
        if let Err(fault) = walk.epoch(line.clone()) {
            return Ok(Err(fault));
        }
        let mut next = epoch.first;
        let mut fault = None;
        entries(snapshot, &line, |logged| {
            let number = logged.numbered.number;
            if number != next {
                return Ok(false);
            }
            next += 1;
            progress();
            let line = LogEntry::from(logged.numbered.clone());
            fault = fault.take().or(walk.entry(line).err());
            fault = fault.take().or(faulty(&logged));
            Ok(fault.is_none())
        })?;
        if let Some(fault) = fault {
            return Ok(Err(fault));
        }
        if next < epoch.next() {
            return Ok(Err(format!("entry {next} of the log is missing")));
        }
        counts.log_epochs += 1;
        counts.log_entries += epoch.size.unsigned_abs();
        readable.epochs.push(line);
    }
    counts.log_queued = snapshot.export_queued_count()?.unsigned_abs();
    Ok(Ok(Some(readable)))
}

/// Why a version would not be taken for what its entry says.
fn faulty(logged: &Logged) -> Option<String> {
    let what = &logged.numbered.what;
    let version = logged.version.as_ref()?;
    if !what.kind.is_of_version() {
        return None;
    }
    let salt: Option<Salt> = version
        .salt
        .as_deref()
        .and_then(|salt| salt.try_into().ok());
    let sealed = salt.map(|salt| seal(&version.sha256, &version.metadata().blind(&salt)));
    (sealed != Some(what.seal)).then(|| {
        format!(
            "version {} of `{}`/`{}` is not what entry {} of the log says",
            version.version, version.key.document, version.key.thread, logged.numbered.number
        )
    })
}

/// Reads the entries of a tree, until `each` returns false.
fn entries(
    snapshot: &mut Snapshot<'_>,
    epoch: &LogEpoch,
    mut each: impl FnMut(Logged) -> Result<bool>,
) -> Result<()> {
    let end = epoch.first.saturating_add(epoch.size);
    let mut after = epoch.first - 1;
    while after + 1 < end {
        let page = snapshot.export_entries(after, PAGE.min(end - 1 - after))?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.numbered.number;
        for logged in page {
            if logged.numbered.number < end && !each(logged)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Writes a log.
pub(in super::super) fn write(
    snapshot: &mut Snapshot<'_>,
    log: Readable,
    mut write: impl FnMut(&Line) -> Result<()>,
) -> Result<()> {
    for epoch in log.epochs {
        write(&Line::LogEpoch(epoch.clone()))?;
        entries(snapshot, &epoch, |logged| {
            write(&Line::LogEntry(LogEntry::from(logged.numbered)))?;
            Ok(true)
        })?;
    }
    let mut after = 0;
    loop {
        let page = snapshot.export_queued(after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.id;
        for queued in page {
            write(&Line::LogQueued(LogQueued::from(queued)))?;
        }
    }
}
