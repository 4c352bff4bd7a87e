//! Lists threads. Each single filter walks an index in the order of the list, newest first, so that a page costs the
//! same however many threads there are. Further filters are checked during the walk.
//!
//! Statistics may be outdated: a tenant that had ten rows may have a million now. So the query leaves Postgres only
//! one plan, whatever the statistics say. Each part asks for an order that exactly one index yields, on connections
//! that do not sort if an index can yield the order (`connection.rs`). Postgres drops a column from an order if the
//! column equals a constant. So the columns that choose the index have a lower and an upper bound instead of an
//! equality.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::{ListFilter, Position, Signature};

use super::pool::Store;
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
    /// A page of a tenant's threads with their current versions, newest first.
    pub fn signature_list(
        &self,
        tenant: TenantId,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Signature>> {
        let query = ListQuery::new(tenant, filter, page);
        let rows = self.run(tenant, |connection| query.load::<SignatureRow>(connection))?;
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
    threads: Threads<'a>,
    page: &'a ListPage,
    /// The page's limit and one more thread, which comes without its signature.
    one_more: i64,
}

impl<'a> ListQuery<'a> {
    pub(super) fn new(tenant: TenantId, filter: &'a ListFilter, page: &'a ListPage) -> Self {
        let one_more = page.limit.saturating_add(1);
        Self {
            threads: Threads {
                tenant_id: tenant.0,
                filter,
                after: page.after.as_ref(),
                after_id: page.after.map_or(0, |position| position.id.0),
                wanted: Some(page.offset.saturating_add(one_more)),
            },
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
             ORDER BY v.signature_id, v.version LIMIT 1) v ORDER BY s.created_at DESC, s.id DESC",
        );
        Ok(())
    }
}

/// The query of the number of threads.
#[derive(Debug)]
pub(super) struct CountQuery<'a>(Threads<'a>);

impl<'a> CountQuery<'a> {
    pub(super) fn new(tenant: TenantId, filter: &'a ListFilter) -> Self {
        Self(Threads {
            tenant_id: tenant.0,
            filter,
            after: None,
            after_id: 0,
            wanted: None,
        })
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

/// The ids and creation times of the threads that a filter matches, in the order of the list.
#[derive(Debug)]
struct Threads<'a> {
    tenant_id: i32,
    filter: &'a ListFilter,
    /// Only threads after this place.
    after: Option<&'a Position>,
    after_id: i64,
    /// The most threads of each tag that can be on the page; none if all threads are read.
    wanted: Option<i64>,
}

impl QueryFragment<Pg> for Threads<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if self.filter.tags.is_empty() {
            return match (&self.filter.document, &self.filter.thread) {
                (Some(document), Some(thread)) => self.push_one(&mut out, document, thread),
                _ => self.push_walk(&mut out),
            };
        }
        if self.filter.all_tags {
            self.push_tagged(&mut out)?;
            // Walks the tag that is the rarest from here on: the tag whose hundredth thread is the furthest away, or
            // that has no hundredth thread. The other tags are looked up for each thread on the way.
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
                 AND ARRAY(SELECT o.tag FROM signature_tags o WHERE o.tenant_id = ",
            );
            out.push_bind_param::<Integer, _>(&self.tenant_id)?;
            out.push_sql(
                " AND o.signature_id BETWEEN t.signature_id AND t.signature_id ORDER BY o.signature_id, o.tag) @> ",
            );
            out.push_bind_param::<Array<Text>, _>(&self.filter.tags)?;
            push_equal(columns(self.filter), &mut out)?;
            self.push_after(&mut out, "t.created_at", "t.signature_id")?;
            out.push_sql(" ORDER BY t.created_at DESC, t.signature_id DESC");
        } else {
            // Merges the newest threads of each tag. A thread with several of the tags appears once.
            out.push_sql("SELECT DISTINCT one.id, one.created_at FROM unnest(");
            out.push_bind_param::<Array<Text>, _>(&self.filter.tags)?;
            out.push_sql("::text[]) AS wanted (tag) CROSS JOIN LATERAL (");
            self.push_tagged(&mut out)?;
            out.push_sql("wanted.tag");
            push_equal(columns(self.filter), &mut out)?;
            self.push_after(&mut out, "t.created_at", "t.signature_id")?;
            out.push_sql(" ORDER BY t.created_at DESC, t.signature_id DESC");
            if let Some(wanted) = &self.wanted {
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(wanted)?;
            }
            out.push_sql(") one");
            if self.wanted.is_some() {
                out.push_sql(" ORDER BY one.created_at DESC, one.id DESC");
            }
        }
        Ok(())
    }
}

impl Threads<'_> {
    /// Selects the one thread of this document and name, if it exists and matches the other filters.
    fn push_one<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        document: &'b String,
        thread: &'b String,
    ) -> QueryResult<()> {
        out.push_sql(
            "SELECT s.id, s.created_at FROM (SELECT * FROM signatures s WHERE s.tenant_id = ",
        );
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        for comparison in [">=", "<="] {
            out.push_sql(&format!(" AND (s.document, s.thread) {comparison} ("));
            out.push_bind_param::<Text, _>(document)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(thread)?;
            out.push_sql(")");
        }
        out.push_sql(" ORDER BY s.document, s.thread LIMIT 1) s WHERE true");
        push_equal(columns(self.filter), out)?;
        self.push_after(out, "s.created_at", "s.id")
    }

    /// Selects threads along the index of the first filtered column, or along the index of all threads without a
    /// filter.
    fn push_walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT s.id, s.created_at FROM signatures s WHERE s.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        let mut columns = columns(self.filter);
        let Some((column, value)) = columns.next() else {
            self.push_after(out, "s.created_at", "s.id")?;
            out.push_sql(" ORDER BY s.created_at DESC, s.id DESC");
            return Ok(());
        };
        out.push_sql(&format!(" AND {column} >= "));
        out.push_bind_param::<Text, _>(value)?;
        if let Some(after) = self.after {
            out.push_sql(&format!(" AND ({column}, s.created_at, s.id) < ("));
            out.push_bind_param::<Text, _>(value)?;
            out.push_sql(", ");
            out.push_bind_param::<Timestamptz, _>(&after.created_at)?;
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(&self.after_id)?;
            out.push_sql(")");
        } else {
            out.push_sql(&format!(" AND {column} <= "));
            out.push_bind_param::<Text, _>(value)?;
        }
        push_equal(columns, out)?;
        out.push_sql(&format!(
            " ORDER BY {column} DESC, s.created_at DESC, s.id DESC"
        ));
        Ok(())
    }

    /// Selects the threads whose tag equals the expression that is pushed next. The threads are joined only if
    /// another column is filtered.
    fn push_tagged<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT t.signature_id AS id, t.created_at FROM signature_tags t");
        if columns(self.filter).next().is_some() {
            out.push_sql(" CROSS JOIN LATERAL (");
            self.push_thread(out, "t.signature_id")?;
            out.push_sql(") s");
        }
        out.push_sql(" WHERE t.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(" AND t.tag = ");
        Ok(())
    }

    /// Selects the thread with this id.
    fn push_thread<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, id: &str) -> QueryResult<()> {
        out.push_sql("SELECT * FROM signatures s WHERE s.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(&format!(
            " AND s.id BETWEEN {id} AND {id} ORDER BY s.id LIMIT 1"
        ));
        Ok(())
    }

    fn push_after<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        created_at: &str,
        id: &str,
    ) -> QueryResult<()> {
        let Some(after) = self.after else {
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

/// The conditions on the thread's own columns, in the form of the index that serves them. Document and thread
/// together identify one thread. Each by itself has an index in the order of the list.
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

fn push_equal<'b>(
    columns: impl Iterator<Item = (&'static str, &'b String)>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    for (column, value) in columns {
        out.push_sql(&format!(" AND {column} = "));
        out.push_bind_param::<Text, _>(value)?;
    }
    Ok(())
}
