//! Exports the audit trail.

use sigpersist_model::audit::MAX_FAULTS;
use sigpersist_model::error::Result;
use sigpersist_model::tenant::Tenant;
use sigpersist_model::transfer::{AuditChain, AuditEvent, Line};
use sigpersist_store::{Snapshot, StoredChain};

use crate::audit::{Keys, Verified, verify_chain};

/// Events that are read at once.
const PAGE: i64 = 500;

/// Verifies the chains of a tenant's trail, in the order in which they are written: imported chains, then its own.
/// The file tells the faults of a chain before its events.
pub(in super::super) fn read(
    snapshot: &mut Snapshot<'_>,
    tenant: &Tenant,
    keys: &Keys,
    mut progress: impl FnMut(),
) -> Result<Vec<Verified>> {
    let stored = StoredChain {
        chain: tenant.id,
        tenant: Some(tenant.slug.to_string()),
        head: snapshot.audit_head(tenant.id)?,
    };
    let mut chains = verify_chain(snapshot, stored, keys, |_| progress())?;
    chains.rotate_left(1);
    Ok(chains)
}

/// Writes a chain and its events. At most one page of events is in memory.
pub(in super::super) fn write(
    snapshot: &mut Snapshot<'_>,
    chain: &Verified,
    mut write: impl FnMut(&Line) -> Result<()>,
) -> Result<()> {
    let faults = chain.faults.iter().cloned();
    let faults = faults.map(sigpersist_model::audit::Fault::into_found);
    let (tenant, tenant_id) = match &chain.part {
        Some(part) => (part.source.clone(), part.source_id),
        None => (chain.tenant.clone().unwrap_or_default(), chain.chain),
    };
    write(&Line::AuditChain(AuditChain {
        tenant,
        tenant_id: tenant_id.0,
        events: chain.events,
        head: chain.end.clone(),
        keyed: chain.keyed.events(),
        faults: faults.take(MAX_FAULTS).collect(),
    }))?;
    let mut after = i64::MIN;
    loop {
        let events = match &chain.part {
            Some(part) => snapshot.audit_part(chain.chain, part.number, after, PAGE)?,
            None => snapshot.audit_events(chain.chain, after, PAGE)?,
        };
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.number;
        for event in events {
            write(&Line::AuditEvent(AuditEvent::from(event)))?;
        }
    }
}
