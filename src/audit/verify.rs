//! Verifies that the audit trail is intact: walks each chain from its first event to its end, both the tenants' own
//! chains and the imported ones.

use std::collections::BTreeMap;

use sigpersist_model::audit::{EventOwner, Fault, Head, Recorded, STATEMENT, Statement};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::view::{ChainView, OriginView};
use sigpersist_runtime::seal::{StoredSeal, StoredSealKey};
use sigpersist_runtime::vault::Vault;
use sigpersist_store::{Snapshot, StoredChain};

use super::seals::SealKeys;
use super::walk::Walk;
use crate::app::App;

/// The most events that are held in memory at once.
const BATCH: i64 = 1_000;

/// The result of checking the seals of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// The seals can't be checked without a master key.
    NotChecked,
    /// There are no seals, since no server with a master key has written here.
    None,
    /// The seals were checked.
    Checked {
        /// The number of events whose seal is valid.
        events: u64,
        /// The first event whose seal is valid. It and the sealed events after it vouch for all events before them.
        since: Option<i64>,
    },
}

impl Keyed {
    /// The number of events whose seal is valid; none if seals were not checked.
    pub fn events(self) -> Option<u64> {
        match self {
            Self::NotChecked => None,
            Self::None => Some(0),
            Self::Checked { events, .. } => Some(events),
        }
    }
}

/// The origin of an imported chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedPart {
    /// The number of the imported chain within the tenant, from 1.
    pub number: i32,
    /// The slug that the tenant had on the exporting server.
    pub source: String,
    /// The number that the tenant had there.
    pub source_id: TenantId,
    /// The number of the event in the tenant's own chain that states where this chain ends.
    pub stated_by: Option<i64>,
}

/// The result of verifying a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The tenant, which may be deleted by now, or the platform.
    pub chain: TenantId,
    /// The tenant's slug; none for the platform.
    pub tenant: Option<String>,
    /// The origin, if the chain was imported into the tenant.
    pub part: Option<ImportedPart>,
    /// The number of events.
    pub events: u64,
    /// The last event.
    pub head: Head,
    /// The end that the chain must have; none if that is not stored.
    pub end: Option<Head>,
    /// The result of checking seals; hashes are always checked. Seals are not imported, so an imported chain has the
    /// result from its export.
    pub keyed: Keyed,
    /// The first hundred faults; empty if the chain is intact.
    pub faults: Vec<Fault>,
}

impl Verified {
    /// Adds a fault if there are no seals, or none that could be checked.
    pub fn require_seals(&mut self) {
        // A chain that was imported is vouched for by the tenant's own.
        let is_own = self.part.is_none();
        if is_own && self.events > 0 && !matches!(self.keyed, Keyed::Checked { .. }) {
            self.faults.push(Fault::NotKeyed);
        }
    }
}

impl From<Verified> for ChainView {
    fn from(chain: Verified) -> Self {
        let stated_by = chain.part.as_ref().and_then(|part| part.stated_by);
        Self {
            tenant: chain.tenant,
            events: chain.events,
            keyed: chain.keyed.events(),
            keyed_since: match chain.keyed {
                Keyed::Checked { since, .. } => since,
                Keyed::NotChecked | Keyed::None => None,
            },
            head: chain.head.to_string(),
            faults: chain.faults.iter().map(ToString::to_string).collect(),
            origin: chain.part.map(|part| OriginView {
                tenant: part.source,
                part: part.number,
            }),
            stated_by,
        }
    }
}

/// Verifies chains in one snapshot. Blocks.
///
/// `expected` is an event that was noted before and must be in one of the chains. `progress` receives the number of
/// events checked so far, and of all events.
///
/// # Errors
///
/// Any error of the store: then nothing is known about the chains.
pub fn verify(
    app: &App,
    whose: &EventOwner,
    expected: Option<&Head>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Verified>> {
    app.store.snapshot(PLATFORM, |snapshot| {
        let stored = snapshot.seal_keys()?;
        let keys = Keys::open(&stored, app.vault.as_deref(), snapshot)?;
        let mut chains = snapshot.audit_chains()?;
        chains.retain(|chain| match whose {
            EventOwner::All => true,
            EventOwner::Platforms => chain.chain == PLATFORM,
            EventOwner::Tenants(tenancy) => chain.chain == tenancy.id,
            EventOwner::Named(slug) => chain.tenant.as_ref() == Some(slug),
        });
        let mut all = 0;
        for chain in &chains {
            all += snapshot.audit_count(chain.chain)?;
        }
        let mut seen = 0;
        let mut verified = Vec::new();
        let mut as_noted = expected.is_none_or(|head| *head == Head::empty());
        for stored in chains {
            verified.extend(verify_chain(snapshot, stored, &keys, |event| {
                as_noted |= expected
                    .is_some_and(|head| head.number == event.number && head.hash == event.hash);
                seen += 1;
                if seen % BATCH.unsigned_abs() == 0 || seen == all {
                    progress(seen, all);
                }
            })?);
        }
        if let Some(expected) = expected.filter(|_| !as_noted)
            && let Some(newest) = verified.iter_mut().rfind(|chain| chain.part.is_none())
        {
            newest.faults.push(Fault::NotAsNoted(expected.number));
        }
        Ok(verified)
    })
}

/// The keys with which the seals of a trail are checked.
#[derive(Debug)]
pub struct Keys {
    opened: Option<SealKeys>,
    is_keyed: bool,
}

impl Keys {
    /// Opens the stored keys with the master key, if there is one.
    ///
    /// # Errors
    ///
    /// Any error of the store.
    pub fn open(
        stored: &[StoredSealKey],
        vault: Option<&Vault>,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<Self> {
        let opened = vault.map(|vault| {
            let keys = stored.iter();
            keys.map(|stored| (stored.number, stored.open(vault).ok()))
                .collect()
        });
        Ok(Self {
            opened,
            // If no server has ever made a key, no event needs a seal.
            is_keyed: !stored.is_empty() || snapshot.audit_has_seals()?,
        })
    }
}

/// Verifies a chain, then the chains that were imported into its tenant. `each` is called for every event.
///
/// # Errors
///
/// Any error of the store.
pub fn verify_chain(
    snapshot: &mut Snapshot<'_>,
    stored: StoredChain,
    keys: &Keys,
    mut each: impl FnMut(&Recorded),
) -> Result<Vec<Verified>> {
    let StoredChain {
        chain,
        tenant,
        head,
    } = stored;
    let mut statements = BTreeMap::new();
    let mut walk = Walk::with_reach();
    loop {
        let events = snapshot.audit_events(chain, walk.after(), BATCH)?;
        let seals = match (&keys.opened, events.first(), events.last()) {
            (Some(_), Some(first), Some(last)) => {
                snapshot.audit_seals(chain, first.number, last.number)?
            }
            _ => Vec::new(),
        };
        for event in &events {
            each(event);
            walk.step(event);
            if let Some(opened) = keys.opened.as_ref().filter(|_| keys.is_keyed) {
                walk.seals.step(opened, event, of(&seals, event.number));
            }
            if event.action == STATEMENT
                && let Some(statement) = Statement::of(event)
            {
                statements.insert(statement.part, (event.number, statement));
            }
        }
        if is_last(events.len()) {
            break;
        }
    }
    walk.end_seals();
    let keyed = match keys.opened {
        None => Keyed::NotChecked,
        Some(_) if !keys.is_keyed => Keyed::None,
        Some(_) => Keyed::Checked {
            events: walk.seals.events,
            since: walk.seals.since,
        },
    };
    let walked = walk.end(head.as_ref());
    let own = Verified {
        chain,
        tenant: tenant.clone(),
        part: None,
        events: walked.events,
        head: walked.last,
        end: head,
        keyed,
        faults: walked.faults,
    };
    let mut verified = vec![own];
    let mut parts: BTreeMap<_, _> = snapshot
        .audit_parts(chain)?
        .into_iter()
        .map(|part| (part.number, (part.source, part.source_id)))
        .collect();
    for (number, (_, statement)) in &statements {
        let source = || (statement.source.clone(), TenantId(statement.source_id));
        parts.entry(*number).or_insert_with(source);
    }
    for (number, (source, source_id)) in parts {
        let (stated_by, statement) = statements.remove(&number).unzip();
        let part = ImportedPart {
            number,
            source,
            source_id,
            stated_by,
        };
        let tenant = tenant.clone();
        verified.push(verify_part(
            snapshot, chain, tenant, part, statement, &mut each,
        )?);
    }
    Ok(verified)
}

/// Verifies an imported chain against the statement of its import.
fn verify_part(
    snapshot: &mut Snapshot<'_>,
    chain: TenantId,
    tenant: Option<String>,
    part: ImportedPart,
    statement: Option<Statement>,
    each: &mut impl FnMut(&Recorded),
) -> Result<Verified> {
    let mut walk = Walk::with_reach();
    loop {
        let events = snapshot.audit_part(chain, part.number, walk.after(), BATCH)?;
        for event in &events {
            each(event);
            walk.step(event);
        }
        if is_last(events.len()) {
            break;
        }
    }
    let (end, keyed, at_source) = match statement {
        Some(statement) => (statement.head, statement.keyed, statement.faults),
        None => (None, None, Vec::new()),
    };
    let walked = walk.end(end.as_ref());
    let mut faults = walked.faults;
    for fault in at_source {
        if !fault.is_among(&faults) {
            faults.push(Fault::AtSource(Box::new(fault)));
        }
    }
    Ok(Verified {
        chain,
        tenant,
        part: Some(part),
        events: walked.events,
        head: walked.last,
        end,
        keyed: keyed.map_or(Keyed::NotChecked, |events| Keyed::Checked {
            events,
            since: None,
        }),
        faults,
    })
}

/// Whether a page with this many events was the last one.
fn is_last(events: usize) -> bool {
    events < usize::try_from(BATCH).unwrap_or_default()
}

/// The seals of one event, out of seals in order.
fn of(seals: &[StoredSeal], number: i64) -> &[StoredSeal] {
    let from = seals.partition_point(|seal| seal.number < number);
    let to = seals.partition_point(|seal| seal.number <= number);
    seals.get(from..to).unwrap_or_default()
}
