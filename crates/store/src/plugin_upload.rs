//! The query that stores an uploaded component.

use std::cmp::Ordering;

use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};
use semver::Version;
use serde_json::Value;
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::plugin::{Digest, Revision};
use sigpersist_model::publisher::Publisher;

use super::plugins::{RevisionRow, acting, newest, revision_columns};
use super::pool::Store;
use super::schema::{plugin_revisions, plugins};

/// Columns that come with a component and may be changed by a later upload of the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = plugin_revisions, treat_none_as_null = true)]
struct Beside {
    cases: Value,
    origin: Option<String>,
    signature: Option<String>,
    signed_version: Option<String>,
    publisher_key: Option<String>,
}

/// A component that is to be stored.
#[derive(Debug)]
pub struct NewRevision<'a> {
    /// Its digest.
    pub sha256: Digest,
    /// Its bytes.
    pub component: &'a [u8],
    /// Interfaces of the contract that it exports.
    pub exports: &'a [String],
    /// Interfaces of the contract that it imports.
    pub imports: &'a [String],
    /// Its own description.
    pub description: &'a str,
    /// Test cases that it passed.
    pub cases: Value,
    /// Artefact that it came from.
    pub origin: Option<&'a str>,
    /// Its publisher's signature.
    pub publisher: Option<&'a Publisher>,
}

/// The result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginUpload {
    /// The revision is the newest one now. The flag says whether anything changed.
    Done(Box<Revision>, bool),
    /// A newer version with a verified signature was uploaded before: this one.
    Older(Version),
    /// Other bytes with a verified signature were uploaded under this version before: these.
    Taken(Digest),
}

impl Store {
    /// Stores a component as the newest revision of a plugin, and returns whether anything changed.
    ///
    /// The plugin is made if it does not exist. Bytes that are stored already become the newest revision again; they keep
    /// their cases, origin and signature unless the upload has others. A version whose signature was verified is refused if
    /// such a signature of a newer version, or of other bytes for the same version, is stored. The event gets the newest
    /// revisions before and after the upload.
    pub fn plugin_upload(
        &self,
        owner: Option<TenantId>,
        name: &str,
        revision: &NewRevision<'_>,
        event: &Event,
    ) -> Result<PluginUpload> {
        let uploaded = self.transaction(acting(owner), |connection| {
            // The index is on an expression, which Diesel can't name as a conflict target.
            diesel::insert_into(plugins::table)
                .values((
                    plugins::tenant_id.eq(owner.map(|owner| owner.0)),
                    plugins::name.eq(name),
                ))
                .on_conflict_do_nothing()
                .execute(connection)?;
            let plugin_id = plugins::table
                .filter(plugins::tenant_id.is_not_distinct_from(owner.map(|owner| owner.0)))
                .filter(plugins::name.eq(name))
                .select(plugins::id)
                .for_no_key_update()
                .first::<i32>(connection)?;
            if let Some(refusal) = version_refusal(connection, plugin_id, revision)? {
                return Ok(Err(refusal));
            }
            let newest = newest(connection, plugin_id)?;
            let before = newest.as_ref().map_or(Value::Null, RevisionRow::audited);
            let has_cases = revision
                .cases
                .as_array()
                .is_some_and(|cases| !cases.is_empty());
            let stored = plugin_revisions::table
                .filter(plugin_revisions::plugin_id.eq(plugin_id))
                .filter(plugin_revisions::sha256.eq(&revision.sha256.0[..]))
                .select((
                    plugin_revisions::cases,
                    plugin_revisions::origin,
                    plugin_revisions::signature,
                    plugin_revisions::signed_version,
                    plugin_revisions::publisher_key,
                ))
                .first::<Beside>(connection)
                .optional()?;
            // An upload without cases, origin or signature keeps the stored ones.
            let mut beside = stored.clone().unwrap_or_default();
            if has_cases || stored.is_none() {
                beside.cases = revision.cases.clone();
            }
            if let Some(origin) = revision.origin {
                beside.origin = Some(origin.to_owned());
            }
            // A server without trusted keys only reads signatures: what it read never replaces what another one verified.
            if let Some(publisher) = revision.publisher
                && (publisher.key.is_some() || beside.publisher_key.is_none())
            {
                beside.signature = Some(publisher.signature.clone());
                beside.signed_version = Some(publisher.version.to_string());
                beside.publisher_key = publisher.key.clone();
            }
            if let Some(newest) = newest.filter(|row| row.sha256 == revision.sha256.0)
                && stored.as_ref() == Some(&beside)
            {
                return Ok(Ok((newest, false)));
            }
            let row: RevisionRow = diesel::insert_into(plugin_revisions::table)
                .values((
                    plugin_revisions::plugin_id.eq(plugin_id),
                    plugin_revisions::sha256.eq(&revision.sha256.0[..]),
                    plugin_revisions::component.eq(revision.component),
                    plugin_revisions::exports.eq(revision.exports),
                    plugin_revisions::imports.eq(revision.imports),
                    plugin_revisions::description.eq(revision.description),
                    &beside,
                    plugin_revisions::uploaded_by.eq(&event.actor.subject),
                ))
                .on_conflict((plugin_revisions::plugin_id, plugin_revisions::sha256))
                .do_update()
                .set((
                    &beside,
                    plugin_revisions::uploaded_by.eq(&event.actor.subject),
                    plugin_revisions::uploaded_at.eq(sql::<Timestamptz>("clock_timestamp()")),
                ))
                .returning(revision_columns!())
                .get_result(connection)?;
            let event = event.clone().before(before).after(row.audited());
            self.audit(connection, &event)?;
            Ok(Ok((row, true)))
        })?;
        Ok(match uploaded {
            Ok((row, changed)) => PluginUpload::Done(Box::new(row.into_revision()?), changed),
            Err(refusal) => refusal,
        })
    }
}

/// Whether verified signatures that are stored rule out the version of a verified one.
fn version_refusal(
    connection: &mut PgConnection,
    plugin_id: i32,
    revision: &NewRevision<'_>,
) -> QueryResult<Option<PluginUpload>> {
    let Some(publisher) = revision.publisher.filter(|it| it.key.is_some()) else {
        return Ok(None);
    };
    let signed: Vec<(Vec<u8>, Option<String>)> = plugin_revisions::table
        .filter(plugin_revisions::plugin_id.eq(plugin_id))
        .filter(plugin_revisions::publisher_key.is_not_null())
        .select((plugin_revisions::sha256, plugin_revisions::signed_version))
        .load(connection)?;
    let mut newer = None;
    for (sha256, version) in signed {
        let Some(version) = version.and_then(|version| version.parse::<Version>().ok()) else {
            continue;
        };
        // The build metadata of a version says nothing about its order.
        match publisher.version.cmp_precedence(&version) {
            Ordering::Less => newer = newer.max(Some(version)),
            Ordering::Equal if sha256 != revision.sha256.0 => {
                let taken = sha256.try_into().map(Digest);
                return Ok(Some(PluginUpload::Taken(taken.unwrap_or(revision.sha256))));
            }
            Ordering::Equal | Ordering::Greater => {}
        }
    }
    Ok(newer.map(PluginUpload::Older))
}
