//! Queries about the identity providers that tenants trust.

use chrono::{DateTime, Utc};
use diesel::dsl::{auto_type, now};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use serde_json::Value;
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, Tenancy, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::issuer::{Issuer, KeySource};

use super::changes::Change;
use super::pool::Store;
use super::schema::{issuers, tenants};
use super::snapshot::Snapshot;

/// The advisory lock under which providers are added, so that two for the same tokens do not meet.
const ADDING: i64 = i64::from_be_bytes(*b"sigissue");

/// A provider with its tenant's slug, and whether the tenant is suspended.
#[derive(Queryable)]
struct IssuerRow {
    tenant_id: i32,
    slug: String,
    suspended: bool,
    name: String,
    created_at: DateTime<Utc>,
    issuer: String,
    jwks_url: Option<String>,
    jwks: Option<String>,
    rules: Value,
    refreshed_at: Option<DateTime<Utc>>,
}

impl IssuerRow {
    fn into_issuer(self) -> QueryResult<Issuer> {
        let rules = serde_json::from_value(self.rules);
        Ok(Issuer {
            tenancy: Tenancy {
                id: TenantId(self.tenant_id),
                slug: self.slug.into(),
            },
            tenant_suspended: self.suspended,
            name: self.name,
            issuer: self.issuer,
            keys: match (self.jwks_url, self.jwks) {
                (Some(url), _) => KeySource::Url(url),
                (None, Some(text)) => KeySource::Given(text),
                (None, None) => KeySource::Discovery,
            },
            rules: rules.map_err(|error| DieselError::DeserializationError(error.into()))?,
            created_at: self.created_at,
            refreshed_at: self.refreshed_at,
        })
    }
}

fn all(rows: Vec<IssuerRow>) -> QueryResult<Vec<Issuer>> {
    rows.into_iter().map(IssuerRow::into_issuer).collect()
}

/// All providers of all tenants, as [`IssuerRow`]s.
#[auto_type(no_type_alias)]
fn stored() -> _ {
    issuers::table.inner_join(tenants::table).select((
        issuers::tenant_id,
        tenants::slug,
        tenants::suspended_at.is_not_null(),
        issuers::name,
        issuers::created_at,
        issuers::issuer,
        issuers::jwks_url,
        issuers::jwks,
        issuers::rules,
        issuers::refreshed_at,
    ))
}

fn find(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> QueryResult<Option<Issuer>> {
    let query = stored()
        .filter(issuers::tenant_id.eq(tenant.0))
        .filter(issuers::name.eq(name));
    let row: Option<IssuerRow> = query.first(connection).optional()?;
    row.map(IssuerRow::into_issuer).transpose()
}

fn list(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<Vec<Issuer>> {
    stored()
        .filter(issuers::tenant_id.eq(tenant.0))
        .order(issuers::name)
        .load(connection)
        .and_then(all)
}

fn of_issuer(connection: &mut PgConnection, issuer: &str) -> QueryResult<Vec<Issuer>> {
    stored()
        .filter(issuers::issuer.eq(issuer))
        .order((issuers::tenant_id, issuers::name))
        .load(connection)
        .and_then(all)
}

/// The result of adding a provider.
#[derive(Debug)]
pub enum IssuerInsertion {
    /// It was added.
    Added(Issuer),
    /// The tenant has one with this name.
    Taken(Issuer),
    /// Its tokens could not be told from those of this one, maybe of another tenant.
    NotApart(Issuer),
    /// The tenant has the most that it may have.
    TooMany,
}

impl Snapshot<'_> {
    /// The providers that the tenant trusts, by name.
    pub fn export_issuers(&mut self) -> Result<Vec<Issuer>> {
        let tenant = self.tenant;
        self.run(|connection| list(connection, tenant))
    }
}

impl Store {
    /// Adds a provider, unless its name is taken, its tokens can't be told from another's, or its tenant has `most`.
    pub fn issuer_insert(
        &self,
        new: &Issuer,
        most: usize,
        event: impl FnOnce(&Issuer) -> Event,
    ) -> Result<IssuerInsertion> {
        let tenant = new.tenancy.id;
        let rules = serde_json::to_value(&new.rules).map_err(Error::internal)?;
        let (jwks_url, jwks) = match &new.keys {
            KeySource::Discovery => (None, None),
            KeySource::Url(url) => (Some(url), None),
            KeySource::Given(text) => (None, Some(text)),
        };
        self.changing(Change::Keys(tenant), |connection| {
            sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<BigInt, _>(ADDING)
                .execute(connection)?;
            if let Some(taken) = find(connection, tenant, &new.name)? {
                return Ok(IssuerInsertion::Taken(taken));
            }
            let others = of_issuer(connection, &new.issuer)?;
            let mut others = others.into_iter();
            if let Some(other) = others.find(|other| !other.rules.are_apart_from(&new.rules)) {
                return Ok(IssuerInsertion::NotApart(other));
            }
            if list(connection, tenant)?.len() >= most {
                return Ok(IssuerInsertion::TooMany);
            }
            diesel::insert_into(issuers::table)
                .values((
                    issuers::tenant_id.eq(tenant.0),
                    issuers::name.eq(&new.name),
                    issuers::created_at.eq(new.created_at),
                    issuers::issuer.eq(&new.issuer),
                    issuers::jwks_url.eq(jwks_url),
                    issuers::jwks.eq(jwks),
                    issuers::rules.eq(&rules),
                ))
                .execute(connection)?;
            let added = find(connection, tenant, &new.name)?.ok_or(DieselError::NotFound)?;
            self.audit(connection, &event(&added))?;
            Ok(IssuerInsertion::Added(added))
        })
    }

    /// The providers whose tokens have this `iss`, of all tenants: what a token claims besides decides whose it is.
    pub fn issuers_of(&self, issuer: &str) -> Result<Vec<Issuer>> {
        self.run(PLATFORM, |connection| of_issuer(connection, issuer))
    }

    /// A tenant's providers, by name.
    pub fn issuer_list(&self, tenant: TenantId) -> Result<Vec<Issuer>> {
        self.run(PLATFORM, |connection| list(connection, tenant))
    }

    /// A tenant's provider with this name.
    pub fn issuer_get(&self, tenant: TenantId, name: &str) -> Result<Option<Issuer>> {
        self.run(PLATFORM, |connection| find(connection, tenant, name))
    }

    /// Makes all servers fetch a provider's keys again. Returns none if there is no such provider.
    pub fn issuer_refresh(
        &self,
        tenant: TenantId,
        name: &str,
        event: &Event,
    ) -> Result<Option<Issuer>> {
        self.changing(Change::Keys(tenant), |connection| {
            let refreshed = diesel::update(issuers::table)
                .filter(issuers::tenant_id.eq(tenant.0))
                .filter(issuers::name.eq(name))
                .set(issuers::refreshed_at.eq(now))
                .execute(connection)?;
            if refreshed > 0 {
                self.audit(connection, event)?;
            }
            find(connection, tenant, name)
        })
    }

    /// Removes a provider. Returns whether there was one.
    pub fn issuer_delete(
        &self,
        tenant: TenantId,
        name: &str,
        event: impl FnOnce(&Issuer) -> Event,
    ) -> Result<bool> {
        self.changing(Change::Keys(tenant), |connection| {
            let Some(before) = find(connection, tenant, name)? else {
                return Ok(false);
            };
            diesel::delete(issuers::table)
                .filter(issuers::tenant_id.eq(tenant.0))
                .filter(issuers::name.eq(name))
                .execute(connection)?;
            self.audit(connection, &event(&before))?;
            Ok(true)
        })
    }
}
