//! Lists threads: a page of them with their current versions, or their number. `signature_walk.rs` finds the threads.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::{ListFilter, OrderBy, Position, Signature};

use super::pool::Store;
use super::signature_walk::{GATHERED, Gathering, Walk};
use super::signatures::SignatureRow;

/// The limits of a page.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// Only threads after this place.
    pub after: Option<Position>,
    /// The most threads of the page. If there are more, one more comes without its signature, which shows that the
    /// list goes on.
    pub limit: i64,
    /// The number of threads that are skipped.
    pub offset: i64,
    /// If the signatures of the page together have more bytes than this, they are left out; -1 always leaves them
    /// out.
    pub max_bytes: i64,
}

impl Store {
    /// A page of a tenant's threads with their current versions, in the order of the filter.
    pub fn signature_list(
        &self,
        tenant: TenantId,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Signature>> {
        let rows = self.run(tenant, |connection| {
            let gathers = match filter.order.by {
                OrderBy::Created => false,
                OrderBy::Updated => match Gathering::new(tenant, filter) {
                    Some(gathering) => gathering.get_result::<i64>(connection)? <= GATHERED,
                    None => false,
                },
            };
            ListQuery::new(tenant, filter, page, gathers).load::<SignatureRow>(connection)
        })?;
        rows.into_iter().map(SignatureRow::into_signature).collect()
    }

    /// The number of threads that a filter matches.
    pub fn signature_count(&self, tenant: TenantId, filter: &ListFilter) -> Result<i64> {
        let query = CountQuery::new(tenant, filter);
        self.run(tenant, |connection| query.get_result(connection))
    }
}

/// The query of a page. `crates/store/sql/signature_list.sql` shows it for each kind of filter.
#[derive(Debug)]
pub(super) struct ListQuery<'a> {
    threads: Walk<'a>,
    page: &'a ListPage,
    /// The page's limit and one more thread, which comes without its signature.
    one_more: i64,
}

impl<'a> ListQuery<'a> {
    /// `gathers` says whether few enough threads match for a walk that gathers them all ([`Gathering`]).
    pub(super) fn new(
        tenant: TenantId,
        filter: &'a ListFilter,
        page: &'a ListPage,
        gathers: bool,
    ) -> Self {
        let one_more = page.limit.saturating_add(1);
        let wanted = page.offset.saturating_add(one_more);
        Self {
            threads: Walk::page(tenant, filter, page.after, wanted, gathers),
            page,
            one_more,
        }
    }
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
        let direction = self.threads.direction();
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
        out.push_sql(&format!(
            " THEN v.signature END FROM ( \
             SELECT ids.id, row_number() OVER (ORDER BY ids.at {direction}, ids.id {direction}) AS place FROM (",
        ));
        self.threads.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.one_more)?;
        out.push_sql(" OFFSET ");
        out.push_bind_param::<BigInt, _>(&self.page.offset)?;
        out.push_sql(") ids) page CROSS JOIN LATERAL (");
        self.threads.push_thread(&mut out, "page.id")?;
        out.push_sql(
            ") s CROSS JOIN LATERAL ( \
             SELECT * FROM signature_versions v WHERE v.tenant_id = ",
        );
        out.push_bind_param::<Integer, _>(&self.threads.tenant_id)?;
        out.push_sql(
            " AND (v.signature_id, v.version) >= (s.id, s.version) AND (v.signature_id, v.version) <= (s.id, s.version) \
             ORDER BY v.signature_id, v.version LIMIT 1) v ORDER BY page.place",
        );
        Ok(())
    }
}

/// The query of the number of threads.
#[derive(Debug)]
pub(super) struct CountQuery<'a>(Walk<'a>);

impl<'a> CountQuery<'a> {
    pub(super) fn new(tenant: TenantId, filter: &'a ListFilter) -> Self {
        Self(Walk::all(tenant, filter))
    }
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
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") ids");
        Ok(())
    }
}
