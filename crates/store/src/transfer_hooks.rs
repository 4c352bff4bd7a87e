//! Queries that import hooks and their decisions from a tenant's file.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::plugin::Binding;
use sigpersist_model::signature::SignatureBody;
use sigpersist_model::transfer::{HookBinding, InForce, Judgement};

use super::changes::Change;
use super::hooks::BindingRow;
use super::log_decisions;
use super::pool::Store;
use super::schema::{hook_bindings, hook_inputs, hooks};
use super::signatures::{encoding_to_code, version_to_column};
use super::tenants::lock_tenant;

impl Store {
    /// Adds a binding to a hook's history, unchanged. Returns whether there was none with this number.
    pub fn import_binding(
        &self,
        tenant: TenantId,
        hook: &str,
        line: &HookBinding,
        plugin_id: i32,
    ) -> Result<bool> {
        let row = BindingRow::new(&line.to_binding(plugin_id))?;
        let added = self.run(tenant, |connection| {
            diesel::insert_into(hook_bindings::table)
                .values((
                    hook_bindings::tenant_id.eq(tenant.0),
                    hook_bindings::hook.eq(hook),
                    hook_bindings::number.eq(version_to_column(line.number)),
                    row,
                    hook_bindings::set_by.eq(&line.set_by),
                    hook_bindings::set_at.eq(line.set_at),
                ))
                .on_conflict_do_nothing()
                .execute(connection)
        })?;
        Ok(added > 0)
    }

    /// Puts an imported binding in force, in place of the binding with the number `over`; 0 if there must be no hook.
    /// Returns whether it did.
    pub fn import_hook(
        &self,
        tenant: TenantId,
        name: &str,
        over: u32,
        binding: &Binding,
        in_force: &InForce,
        event: &Event,
    ) -> Result<bool> {
        let row = BindingRow::new(binding)?;
        let quarantine = in_force.quarantine.as_ref();
        let values = (
            hooks::binding.eq(version_to_column(in_force.binding)),
            hooks::plugin_id.eq(row.plugin_id),
            hooks::sha256.eq(&row.sha256),
            hooks::shadow_sha256.eq(row.shadow_sha256.as_ref()),
            hooks::quarantined_at.eq(quarantine.map(|quarantine| quarantine.since)),
            hooks::quarantine_reason.eq(quarantine.map(|quarantine| &quarantine.reason)),
        );
        self.changing(Change::Hooks(tenant), |connection| {
            lock_tenant(connection, tenant)?;
            let written = if over == 0 {
                diesel::insert_into(hooks::table)
                    .values((
                        hooks::tenant_id.eq(tenant.0),
                        hooks::name.eq(name),
                        hooks::created_at.eq(in_force.created_at),
                        values,
                    ))
                    .on_conflict_do_nothing()
                    .execute(connection)?
            } else {
                let hook = hooks::table.find((tenant.0, name));
                diesel::update(hook.filter(hooks::binding.eq(version_to_column(over))))
                    .set(values)
                    .execute(connection)?
            };
            if written > 0 {
                self.audit(connection, event)?;
            }
            Ok(written > 0)
        })
    }

    /// Records judgements under their original ids, and lets the log have digests of their days again. Returns how many were
    /// not stored yet.
    pub fn import_judgements(&self, tenant: TenantId, judgements: &[Judgement]) -> Result<usize> {
        macro_rules! each {
            ($judgement:ident => $value:expr) => {
                judgements
                    .iter()
                    .map(|$judgement| $value)
                    .collect::<Vec<_>>()
            };
        }
        let query = sql_query(
            "INSERT INTO hook_judgements (tenant_id, at, id, version, operation, outcome, document, thread, input_sha256, input, \
                                          decisions) \
             OVERRIDING SYSTEM VALUE \
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Array<Timestamptz>, _>(each!(j => j.at))
        .bind::<Array<BigInt>, _>(each!(j => j.id))
        .bind::<Array<Integer>, _>(each!(j => version_to_column(j.version)))
        .bind::<Array<Text>, _>(each!(j => j.operation.as_str()))
        .bind::<Array<Text>, _>(each!(j => j.outcome.as_str()))
        .bind::<Array<Text>, _>(each!(j => j.document.as_str()))
        .bind::<Array<Text>, _>(each!(j => j.thread.as_str()))
        .bind::<Array<Binary>, _>(each!(j => &j.input_sha256.0[..]))
        .bind::<Array<Jsonb>, _>(each!(j => &j.input))
        .bind::<Array<Jsonb>, _>(each!(j => &j.decisions));
        let first = judgements.iter().map(|judgement| judgement.at).min();
        self.transaction(tenant, |connection| {
            let added = query.execute(connection)?;
            if let Some(first) = first.filter(|_| added > 0) {
                log_decisions::reset(connection, tenant, first.date_naive())?;
            }
            Ok(added)
        })
    }

    /// Keeps a signature that hooks refused. Returns whether it was not stored yet.
    pub fn import_input(
        &self,
        tenant: TenantId,
        at: DateTime<Utc>,
        body: &SignatureBody,
    ) -> Result<bool> {
        let added = self.run(tenant, |connection| {
            diesel::insert_into(hook_inputs::table)
                .values((
                    hook_inputs::tenant_id.eq(tenant.0),
                    hook_inputs::sha256.eq(&body.sha256[..]),
                    hook_inputs::encoding.eq(encoding_to_code(body.encoding)),
                    hook_inputs::at.eq(at),
                    hook_inputs::signature.eq(&body.bytes[..]),
                ))
                .on_conflict_do_nothing()
                .execute(connection)
        })?;
        Ok(added > 0)
    }
}
