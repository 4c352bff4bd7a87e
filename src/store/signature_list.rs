//! Listing threads: each filter on its own walks an index that yields the order of the list, newest first, so that a
//! page costs the same however many threads there are. Further filters are checked on the way.
//!
//! The text leaves Postgres few choices, since a plan for any values would get them wrong: with ten million threads, a join of
//! all that have one tag with all that have another takes seconds.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, CChar, Integer, Nullable, Text, Timestamptz};

use super::pool::Store;
use super::signatures::SignatureRow;
use crate::context::TenantId;
use crate::error::Result;
use crate::signatures::model::{ListFilter, Position, Signature};

/// How much of the list, and from where.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// Only what comes after this place.
    pub after: Option<Position>,
    /// At most so many, and one more without its signature where there is one: it tells that the list goes on.
    pub limit: i64,
    /// After leaving out so many.
    pub offset: i64,
    /// Leave signatures out where all of the page together have more bytes than this; -1 leaves them out always.
    pub max_bytes: i64,
}

impl Store {
    /// A page of a tenant's threads with their current versions, newest first.
    pub fn signature_list(
        &self,
        tenant: TenantId,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Signature>> {
        let one_more = page.limit.saturating_add(1);
        let query = ListQuery {
            tenant_id: tenant.0,
            filter,
            page,
            one_more,
            wanted: page.offset.saturating_add(one_more),
            tags: i64::try_from(filter.tags.len()).unwrap_or(i64::MAX),
            after_id: page.after.map_or(0, |position| position.id.0),
        };
        let rows = self.run(tenant, |connection| query.load::<SignatureRow>(connection))?;
        rows.into_iter().map(SignatureRow::into_signature).collect()
    }

    /// How many threads a filter matches.
    pub fn signature_count(&self, tenant: TenantId, filter: &ListFilter) -> Result<i64> {
        let query = CountQuery {
            tenant_id: tenant.0,
            filter,
        };
        self.run(tenant, |connection| query.get_result(connection))
    }
}

#[derive(Debug)]
struct ListQuery<'a> {
    tenant_id: i32,
    filter: &'a ListFilter,
    page: &'a ListPage,
    /// The page and the thread after it, which comes without its signature.
    one_more: i64,
    /// The offset and these together: how much of each tag's own list can be in the page.
    wanted: i64,
    /// How many tags.
    tags: i64,
    after_id: i64,
}

impl Query for ListQuery<'_> {
    type SqlType = (
        BigInt,
        Text,
        Text,
        Timestamptz,
        Timestamptz,
        Integer,
        Timestamptz,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Array<Text>,
        CChar,
        Binary,
        Nullable<Binary>,
    );
}

/// The text depends on the filter, so Diesel caches the prepared statement by its text.
impl QueryId for ListQuery<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for ListQuery<'_> {}

impl QueryFragment<Pg> for ListQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT s.id, s.document, s.thread, s.created_at, s.updated_at, v.version, v.created_at, v.stage, \
                    v.created_by, v.comment, v.tags, v.encoding, v.sha256, \
                    CASE WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.page.limit)?;
        out.push_sql(") OVER () <= ");
        out.push_bind_param::<BigInt, _>(&self.page.max_bytes)?;
        out.push_sql(" AND page.place <= ");
        out.push_bind_param::<BigInt, _>(&self.page.limit)?;
        out.push_sql(
            " THEN v.signature END FROM ( \
             SELECT ids.id, row_number() OVER (ORDER BY ids.created_at DESC, ids.id DESC) AS place FROM (",
        );
        if self.filter.tags.is_empty() {
            out.push_sql("SELECT s.id, s.created_at FROM signatures s WHERE s.tenant_id = ");
            out.push_bind_param::<Integer, _>(&self.tenant_id)?;
            push_columns(self.filter, &mut out)?;
            self.push_after(&mut out, "s.created_at", "s.id")?;
        } else if self.filter.all_tags {
            self.push_tagged(&mut out)?;
            // The walk goes along the tag that is the rarest from here on: the one whose hundredth thread is the furthest, or
            // that has none. The others are looked up for each thread on the way.
            out.push_sql("(SELECT wanted.tag FROM unnest(");
            out.push_bind_param::<Array<Text>, _>(&self.filter.tags)?;
            out.push_sql(
                "::text[]) AS wanted (tag) ORDER BY ( \
                 SELECT t.created_at FROM signature_tags t WHERE t.tenant_id = ",
            );
            out.push_bind_param::<Integer, _>(&self.tenant_id)?;
            out.push_sql(" AND t.tag = wanted.tag");
            self.push_after(&mut out, "t.created_at", "t.signature_id")?;
            out.push_sql(
                " ORDER BY t.created_at DESC, t.signature_id DESC OFFSET 99 LIMIT 1) NULLS FIRST LIMIT 1) \
                 AND (SELECT count(*) FROM signature_tags o WHERE o.tenant_id = ",
            );
            out.push_bind_param::<Integer, _>(&self.tenant_id)?;
            out.push_sql(" AND o.signature_id = t.signature_id AND o.tag = ANY (");
            out.push_bind_param::<Array<Text>, _>(&self.filter.tags)?;
            out.push_sql(")) = ");
            out.push_bind_param::<BigInt, _>(&self.tags)?;
            push_columns(self.filter, &mut out)?;
            self.push_after(&mut out, "t.created_at", "t.signature_id")?;
        } else {
            // The newest of each tag, merged: a thread with several of the tags appears once.
            out.push_sql("SELECT DISTINCT one.id, one.created_at FROM unnest(");
            out.push_bind_param::<Array<Text>, _>(&self.filter.tags)?;
            out.push_sql("::text[]) AS wanted (tag) CROSS JOIN LATERAL (");
            self.push_tagged(&mut out)?;
            out.push_sql("wanted.tag");
            push_columns(self.filter, &mut out)?;
            self.push_after(&mut out, "t.created_at", "t.signature_id")?;
            out.push_sql(" ORDER BY t.created_at DESC, t.signature_id DESC LIMIT ");
            out.push_bind_param::<BigInt, _>(&self.wanted)?;
            out.push_sql(") one");
        }
        out.push_sql(" ORDER BY created_at DESC, id DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.one_more)?;
        out.push_sql(" OFFSET ");
        out.push_bind_param::<BigInt, _>(&self.page.offset)?;
        // Looked up one by one: a plan for any limit would think of a page as a tenth of all there is.
        out.push_sql(
            ") ids) page CROSS JOIN LATERAL (SELECT * FROM signatures s WHERE s.tenant_id = ",
        );
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(
            " AND s.id = page.id LIMIT 1) s CROSS JOIN LATERAL ( \
             SELECT * FROM signature_versions v WHERE v.tenant_id = s.tenant_id AND v.signature_id = s.id \
             AND v.version = s.version LIMIT 1) v ORDER BY s.created_at DESC, s.id DESC",
        );
        Ok(())
    }
}

impl ListQuery<'_> {
    /// The threads whose tag equals what is pushed next. They are looked up only where something else is asked of them.
    fn push_tagged<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT t.signature_id AS id, t.created_at FROM signature_tags t");
        if columns(self.filter).next().is_some() {
            out.push_sql(
                " JOIN signatures s ON s.tenant_id = t.tenant_id AND s.id = t.signature_id",
            );
        }
        out.push_sql(" WHERE t.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(" AND t.tag = ");
        Ok(())
    }

    fn push_after<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        created_at: &str,
        id: &str,
    ) -> QueryResult<()> {
        let Some(after) = &self.page.after else {
            return Ok(());
        };
        out.push_sql(&format!(" AND ({created_at}, {id}) < ("));
        out.push_bind_param::<Timestamptz, _>(&after.created_at)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.after_id)?;
        out.push_sql(")");
        Ok(())
    }
}

/// What is asked of the thread's own columns, in the words of the index that serves it: there is one thread at most of a
/// document and thread, and each by itself has an index in the order of the list.
fn columns(filter: &ListFilter) -> impl Iterator<Item = (&'static str, &String)> {
    let [document, thread] = match (&filter.document, &filter.thread) {
        (Some(_), Some(_)) => ["s.document", "s.thread"],
        _ => ["s.document COLLATE \"C\"", "s.thread COLLATE \"C\""],
    };
    let columns = [
        (document, &filter.document),
        (thread, &filter.thread),
        ("s.stage", &filter.stage),
    ];
    columns
        .into_iter()
        .filter_map(|(column, value)| Some((column, value.as_ref()?)))
}

/// The same as conditions on `s`.
fn push_columns<'b>(filter: &'b ListFilter, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    for (column, value) in columns(filter) {
        out.push_sql(&format!(" AND {column} = "));
        out.push_bind_param::<Text, _>(value)?;
    }
    Ok(())
}

#[derive(Debug)]
struct CountQuery<'a> {
    tenant_id: i32,
    filter: &'a ListFilter,
}

impl Query for CountQuery<'_> {
    type SqlType = BigInt;
}

impl QueryId for CountQuery<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for CountQuery<'_> {}

impl QueryFragment<Pg> for CountQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM signatures s WHERE s.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        push_columns(self.filter, &mut out)?;
        if self.filter.tags.is_empty() {
            return Ok(());
        }
        if self.filter.all_tags {
            for tag in &self.filter.tags {
                out.push_sql(
                    " AND EXISTS (SELECT FROM signature_tags o WHERE o.tenant_id = s.tenant_id \
                     AND o.signature_id = s.id AND o.tag = ",
                );
                out.push_bind_param::<Text, _>(tag)?;
                out.push_sql(")");
            }
            return Ok(());
        }
        out.push_sql(
            " AND s.id IN (SELECT t.signature_id FROM signature_tags t WHERE t.tenant_id = ",
        );
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(" AND t.tag = ANY (");
        out.push_bind_param::<Array<Text>, _>(&self.filter.tags)?;
        out.push_sql("))");
        Ok(())
    }
}
