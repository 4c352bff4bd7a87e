//! Queries about policies and trust anchors of tenants.

use std::collections::HashSet;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::plugin::Digest;
use sigpersist_model::policy::{Policy, TrustAnchor};

use super::changes::Change;
use super::plugins::digest_from_column;
use super::pool::Store;
use super::schema::{policies, trust_anchors};
use super::snapshot::Snapshot;
use super::tenants::lock_tenant;

fn get(connection: &mut diesel::PgConnection, tenant: TenantId) -> QueryResult<Policy> {
    let row: Option<(String, String, String, bool, bool, Vec<String>)> = policies::table
        .find(tenant.0)
        .select((
            policies::accept,
            policies::detached,
            policies::revocation,
            policies::record_verdicts,
            policies::index_signers,
            policies::cors_origins,
        ))
        .first(connection)
        .optional()?;
    let Some((accept, detached, revocation, record_verdicts, index_signers, cors_origins)) = row
    else {
        return Ok(Policy::default());
    };
    Ok(Policy {
        accept: parse(&accept)?,
        detached: parse(&detached)?,
        revocation: parse(&revocation)?,
        record_verdicts,
        index_signers,
        cors_origins,
    })
}

/// Parses the word in a column.
fn parse<T: FromStr<Err = String>>(word: &str) -> QueryResult<T> {
    word.parse()
        .map_err(|error: String| DieselError::DeserializationError(error.into()))
}

type AnchorRow = (Vec<u8>, DateTime<Utc>, Vec<u8>);

fn anchors(connection: &mut diesel::PgConnection, tenant: TenantId) -> QueryResult<Vec<AnchorRow>> {
    trust_anchors::table
        .filter(trust_anchors::tenant_id.eq(tenant.0))
        .order((trust_anchors::created_at, trust_anchors::sha256))
        .select((
            trust_anchors::sha256,
            trust_anchors::created_at,
            trust_anchors::certificate,
        ))
        .load(connection)
}

fn into_anchor((sha256, created_at, certificate): AnchorRow) -> Result<TrustAnchor> {
    Ok(TrustAnchor {
        sha256: digest_from_column(sha256)?,
        created_at,
        certificate,
    })
}

impl Snapshot<'_> {
    /// The tenant's policy and trust anchors; none if nothing is set.
    pub fn export_policy(&mut self) -> Result<Option<(Policy, Vec<TrustAnchor>)>> {
        let tenant = self.tenant;
        let policy = self.run(|connection| get(connection, tenant))?;
        let rows = self.run(|connection| anchors(connection, tenant))?;
        let anchors: Vec<_> = rows.into_iter().map(into_anchor).collect::<Result<_>>()?;
        let is_set = policy != Policy::default() || !anchors.is_empty();
        Ok(is_set.then_some((policy, anchors)))
    }
}

impl Store {
    /// A tenant's policy.
    pub fn policy_get(&self, tenant: TenantId) -> Result<Policy> {
        self.run(tenant, |connection| get(connection, tenant))
    }

    /// The origins that any tenant's policy names. A preflight of a page has no token, so nobody knows its tenant.
    pub fn policy_origins(&self) -> Result<HashSet<String>> {
        let named: Vec<Vec<String>> = self.run(PLATFORM, |connection| {
            policies::table
                .filter(policies::cors_origins.ne(Vec::<String>::new()))
                .select(policies::cors_origins)
                .load(connection)
        })?;
        Ok(named.into_iter().flatten().collect())
    }

    /// Changes a tenant's policy to the result of `becomes`.
    pub fn policy_update(
        &self,
        tenant: TenantId,
        becomes: impl Fn(Policy) -> Policy,
        event: impl Fn(Policy, Policy) -> Event,
    ) -> Result<()> {
        self.changing(Change::Policy(tenant), |connection| {
            lock_tenant(connection, tenant)?;
            let before = get(connection, tenant)?;
            let after = becomes(before.clone());
            if after == before {
                return Ok(());
            }
            let columns = (
                policies::accept.eq(after.accept.as_str()),
                policies::detached.eq(after.detached.as_str()),
                policies::revocation.eq(after.revocation.as_str()),
                policies::record_verdicts.eq(after.record_verdicts),
                policies::index_signers.eq(after.index_signers),
                policies::cors_origins.eq(&after.cors_origins),
            );
            diesel::insert_into(policies::table)
                .values((policies::tenant_id.eq(tenant.0), columns))
                .on_conflict(policies::tenant_id)
                .do_update()
                .set(columns)
                .execute(connection)?;
            self.audit(connection, &event(before, after))
        })
    }

    /// A tenant's trust anchors, the oldest first.
    pub fn anchor_list(&self, tenant: TenantId) -> Result<Vec<TrustAnchor>> {
        let rows = self.run(tenant, |connection| anchors(connection, tenant))?;
        rows.into_iter().map(into_anchor).collect()
    }

    /// Adds trust anchors that are not stored yet. Returns their number, or adds nothing and returns none if there
    /// would be more than `most`.
    pub fn anchor_insert(
        &self,
        tenant: TenantId,
        anchors: &[TrustAnchor],
        most: usize,
        event: impl Fn(&TrustAnchor) -> Event,
    ) -> Result<Option<usize>> {
        self.changing(Change::Policy(tenant), |connection| {
            lock_tenant(connection, tenant)?;
            let known: Vec<Vec<u8>> = trust_anchors::table
                .filter(trust_anchors::tenant_id.eq(tenant.0))
                .select(trust_anchors::sha256)
                .load(connection)?;
            let mut new: Vec<&TrustAnchor> = Vec::new();
            for anchor in anchors {
                let is_known = known.iter().any(|known| known[..] == anchor.sha256.0)
                    || new.iter().any(|other| other.sha256 == anchor.sha256);
                if !is_known {
                    new.push(anchor);
                }
            }
            if known.len() + new.len() > most {
                return Ok(None);
            }
            for anchor in &new {
                diesel::insert_into(trust_anchors::table)
                    .values((
                        trust_anchors::tenant_id.eq(tenant.0),
                        trust_anchors::sha256.eq(&anchor.sha256.0[..]),
                        trust_anchors::created_at.eq(anchor.created_at),
                        trust_anchors::certificate.eq(&anchor.certificate),
                    ))
                    .execute(connection)?;
                self.audit(connection, &event(anchor))?;
            }
            Ok(Some(new.len()))
        })
    }

    /// Removes a trust anchor. Returns whether it was there.
    pub fn anchor_delete(&self, tenant: TenantId, sha256: Digest, event: &Event) -> Result<bool> {
        self.changing(Change::Policy(tenant), |connection| {
            let anchor = trust_anchors::table.find((tenant.0, &sha256.0[..]));
            let deleted = diesel::delete(anchor).execute(connection)?;
            if deleted > 0 {
                self.audit(connection, event)?;
            }
            Ok(deleted > 0)
        })
    }
}
