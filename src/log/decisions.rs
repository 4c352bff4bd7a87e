//! Compares the digests of decisions in a log with the decisions that are stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::Deserialize;
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::Result;
use sigpersist_store::{Snapshot, day_start};

use super::digests::{DIGEST, kept_since};

/// What imports begin with.
const IMPORT: &str = "tenant.import";

/// The digests in a log, as it is read.
#[derive(Debug, Default)]
pub(super) struct Decided {
    days: BTreeMap<NaiveDate, Vec<Told>>,
    /// The number of the last entry that tells of an import, which may have brought decisions of any day.
    last_import: i64,
    /// The time before which decisions may be deleted.
    kept_since: DateTime<Utc>,
}

/// A digest in the log.
#[derive(Debug)]
struct Told {
    number: i64,
    /// Whether it is in an imported tree. The decisions of its day may have stayed on the other server.
    is_imported: bool,
    digest: Digest,
}

/// The event of a digest.
#[derive(Debug, Deserialize)]
struct Digest {
    day: NaiveDate,
    count: u64,
    sha256: String,
    keep_days: u32,
}

/// Result of the comparison.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// The number of days whose decisions are as the log says.
    pub(super) whole: u64,
    /// The number of days whose decisions are not kept any more.
    pub(super) swept: u64,
    pub(super) faults: Vec<String>,
}

impl Decided {
    /// Takes note of an entry's event. `is_imported` says whether it is in an imported tree.
    pub(super) fn entry(&mut self, number: i64, at: DateTime<Utc>, event: &str, is_imported: bool) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Typed {
            r#type: String,
        }
        let typed: Typed = serde_json::from_str(event).unwrap_or_default();
        if typed.r#type.starts_with(IMPORT) {
            self.last_import = number;
        }
        if typed.r#type == DIGEST
            && let Ok(digest) = serde_json::from_str::<Digest>(event)
        {
            self.kept_since = self.kept_since.max(kept_since(at, digest.keep_days));
            let told = self.days.entry(digest.day).or_default();
            told.push(Told {
                number,
                is_imported,
                digest,
            });
        }
    }

    /// Compares the digests with what is stored. `keep_days` is the number of days for which decisions are kept now.
    pub(super) fn compare(
        mut self,
        snapshot: &mut Snapshot<'_>,
        keep_days: u32,
    ) -> Result<Compared> {
        self.kept_since = self.kept_since.max(kept_since(Utc::now(), keep_days));
        let mut compared = Compared::default();
        for (day, told) in &self.days {
            let Some((last, earlier)) = told.split_last() else {
                continue;
            };
            let changed = earlier.iter().find(|told| {
                told.digest.sha256 != last.digest.sha256 && told.number > self.last_import
            });
            if let Some(first) = changed {
                compared.faults.push(format!(
                    "The decisions of {day} were changed between entry {} and entry {}.",
                    first.number, last.number
                ));
                continue;
            }
            if day_start(*day) < self.kept_since {
                compared.swept += 1;
                continue;
            }
            let found = snapshot.decisions_of_day(*day)?;
            if last.is_imported && found.count == 0 {
                compared.swept += 1;
                continue;
            }
            let Told { number, digest, .. } = last;
            if to_hex(&found.sha256) == digest.sha256 {
                compared.whole += 1;
            } else if found.count == digest.count {
                compared.faults.push(format!(
                    "The decisions of {day} are not those that entry {number} says: some were changed."
                ));
            } else {
                compared.faults.push(format!(
                    "The decisions of {day} are not those that entry {number} says: it says {}, and {} are stored.",
                    digest.count, found.count
                ));
            }
        }
        self.undigested(snapshot, &mut compared)?;
        Ok(compared)
    }

    /// Looks for days with decisions of which the log had none when they were over.
    fn undigested(&self, snapshot: &mut Snapshot<'_>, compared: &mut Compared) -> Result<()> {
        let noted = snapshot.log_decided_on()?;
        let Some(last) = self.days.keys().next_back().copied().max(noted) else {
            return Ok(());
        };
        let mut since = self.kept_since;
        while let Some(at) = snapshot.decisions_first(since)? {
            let day = at.date_naive();
            if day > last {
                break;
            }
            if !self.days.contains_key(&day) && day_start(day) >= self.kept_since {
                compared.faults.push(format!(
                    "The log has no decisions of {day}, and some are stored: they were added later."
                ));
            }
            since = day_start(day + Days::new(1));
        }
        Ok(())
    }
}
