//! Imports the audit trail of a file: checks each event by its hash, compares it with stored events, and writes new
//! ones.

use std::mem;

use serde_json::json;
use sigpersist_model::audit::{
    Actor, Event, Fault, Head, MAX_FAULTS, Recorded, STATEMENT, Statement,
};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::transfer::AuditChain;
use sigpersist_model::transfer::Imported;
use sigpersist_store::ChainOf;

use crate::app::App;
use crate::audit::Walk;

/// Events in one transaction.
const BATCH_EVENTS: usize = 1_000;
/// Bytes of events in one transaction. A single larger event is written by itself.
const BATCH_BYTES: i64 = 4 * 1024 * 1024;
/// The most chains that are imported into one tenant: each move adds one.
const MAX_PARTS: i32 = 1_000;
/// Attempts to write a batch while somebody else imports into the same tenant.
const ATTEMPTS: usize = 5;

/// The state of importing or only checking a trail.
pub(in super::super) struct Trail<'a> {
    app: &'a App,
    /// The tenant and its slug here; none if it does not exist yet.
    tenant: Option<(TenantId, &'a str)>,
    /// The importing actor; none if nothing is to be written.
    actor: Option<&'a Actor>,
    chain: Option<Chain>,
}

/// The chain whose events come next.
struct Chain {
    line: AuditChain,
    left: u64,
    walk: Walk,
    /// The stored chain that this one is; none if it is not stored, or was not looked for yet.
    place: Option<ChainOf>,
    is_looked_for: bool,
    batch: Vec<Recorded>,
    bytes: i64,
}

impl<'a> Trail<'a> {
    /// Checks a trail without writing, for a tenant that may not exist yet.
    pub(in super::super) fn looked_at(app: &'a App, tenant: Option<(TenantId, &'a str)>) -> Self {
        Self {
            app,
            tenant,
            actor: None,
            chain: None,
        }
    }

    /// Imports a trail into a tenant.
    pub(in super::super) fn into_tenant(
        app: &'a App,
        tenant: TenantId,
        slug: &'a str,
        actor: &'a Actor,
    ) -> Self {
        Self {
            app,
            tenant: Some((tenant, slug)),
            actor: Some(actor),
            chain: None,
        }
    }

    /// Begins a chain, whose events come next.
    pub(in super::super) fn begin(
        &mut self,
        line: AuditChain,
        imported: &mut Imported,
    ) -> Result<()> {
        imported.tell_faults(&line.tenant, &line.faults);
        if line.events == 0 {
            // Without events, a later import could not recognise the chain.
            imported.leave_out(
                &format!("A part of the audit trail of `{}`", line.tenant),
                "none of its events is in the file",
            );
            return Ok(());
        }
        self.chain = Some(Chain {
            left: line.events,
            line,
            walk: Walk::new(),
            place: None,
            is_looked_for: false,
            batch: Vec::new(),
            bytes: 0,
        });
        Ok(())
    }

    /// Takes the next event of the chain.
    pub(in super::super) fn event(
        &mut self,
        event: Recorded,
        imported: &mut Imported,
    ) -> Result<()> {
        let Some(mut chain) = self.chain.take() else {
            return Err(Error::internal(
                "an event without its chain was let through",
            ));
        };
        let is_full = chain.batch.len() >= BATCH_EVENTS || chain.bytes >= BATCH_BYTES;
        if is_full && let Some(last) = chain.batch.last() {
            let head = Head {
                number: last.number,
                hash: last.hash.clone(),
            };
            self.flush(&mut chain, Some(head), imported)?;
        }
        let before = chain.walk.faults().len();
        chain.walk.step(&event);
        let found = chain.walk.faults().get(before..);
        refuse_new(&chain.line, found.unwrap_or_default())?;
        chain.bytes += event.size();
        chain.batch.push(event);
        chain.left -= 1;
        if chain.left > 0 {
            self.chain = Some(chain);
            return Ok(());
        }
        let head = chain.line.head.clone();
        let walked = mem::take(&mut chain.walk).end(head.as_ref());
        refuse_new(&chain.line, &walked.faults)?;
        self.flush(&mut chain, head, imported)
    }

    /// Writes the events of the batch that are not stored yet. The chain then ends with `head`.
    fn flush(&self, chain: &mut Chain, head: Option<Head>, imported: &mut Imported) -> Result<()> {
        let batch = mem::take(&mut chain.batch);
        chain.bytes = 0;
        let Some((tenant, slug)) = self.tenant else {
            return Ok(());
        };
        for _ in 0..ATTEMPTS {
            let known = chain.compare(self.app, tenant, &batch)?;
            let is_new = |event: &&Recorded| known.last.is_none_or(|last| event.number > last);
            let new: Vec<_> = batch.iter().filter(is_new).collect();
            let Some(actor) = self.actor.filter(|_| !new.is_empty()) else {
                imported.same_events += (batch.len() - new.len()) as u64;
                return Ok(());
            };
            let statement = Statement {
                part: known.part,
                source: chain.line.tenant.clone(),
                source_id: chain.line.tenant_id,
                head: head.clone(),
                keyed: chain.line.keyed,
                faults: chain.line.faults.clone(),
            };
            let source = chain.line.tenant.as_str();
            let event =
                Event::new(Some(tenant), actor.clone(), STATEMENT, source).after(json!(statement));
            let store = &self.app.store;
            if store.import_events(tenant, slug, known.part, known.last, &new, &event)? {
                chain.place = Some(ChainOf::Part(known.part));
                imported.new_events += new.len() as u64;
                imported.same_events += (batch.len() - new.len()) as u64;
                return Ok(());
            }
            // Somebody else is importing into the tenant, maybe the same chain.
            chain.is_looked_for = chain.place.is_some();
        }
        Err(Error::Overloaded)
    }
}

/// The stored part of an imported chain.
struct Known {
    /// The number of the chain here.
    part: i32,
    /// The number of its last event here.
    last: Option<i64>,
}

impl Chain {
    /// Compares events with the stored ones. New events must follow the last stored event.
    fn compare(&mut self, app: &App, tenant: TenantId, batch: &[Recorded]) -> Result<Known> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Err(Error::internal("a batch without events was compared"));
        };
        let store = &app.store;
        if !mem::replace(&mut self.is_looked_for, true) {
            self.place = store.import_chain_of(tenant, first.number, &first.hash)?;
        }
        let Some(place) = self.place else {
            let part = store.import_last_part(tenant)?.saturating_add(1);
            if part > MAX_PARTS {
                return Err(Error::refused(format!(
                    "The tenant has {MAX_PARTS} imported audit trails already, the maximum; import into a new tenant."
                )));
            }
            return Ok(Known { part, last: None });
        };
        let known = store.import_known_events(tenant, place, first.number, last.number)?;
        let is_there = |event: &Recorded| {
            known.last.is_some_and(|last| event.number <= last) || place == ChainOf::Own
        };
        for event in batch.iter().filter(|event| is_there(event)) {
            if known.hashes.get(&event.number) != Some(&event.hash) {
                return Err(Error::refused(format!(
                    "Event {} of the audit trail of `{}` is different here: one of the two was restored from a backup, or forged. Import into a new tenant to keep both.",
                    event.number, self.line.tenant
                )));
            }
        }
        Ok(Known {
            part: match place {
                ChainOf::Own => 0,
                ChainOf::Part(part) => part,
            },
            last: known.last,
        })
    }
}

/// Refuses a chain with faults that it did not have when it was exported.
fn refuse_new(line: &AuditChain, found: &[Fault]) -> Result<()> {
    // The list of known faults is full, so others may be missing from it.
    if line.faults.len() >= MAX_FAULTS {
        return Ok(());
    }
    match found.iter().find(|fault| !fault.is_among(&line.faults)) {
        None => Ok(()),
        Some(fault) => Err(Error::refused(format!(
            "The audit trail of `{}` was changed after its export: {fault}. Export it again.",
            line.tenant
        ))),
    }
}
