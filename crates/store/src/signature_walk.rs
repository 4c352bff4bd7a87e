//! Finds the threads of a list. Each single filter walks an index in the order of the list, so that a page costs the
//! same however many threads there are. Further filters are checked during the walk.
//!
//! Statistics may be outdated: a tenant that had ten rows may have a million now. So the query leaves Postgres only
//! one plan, whatever the statistics say. Each part asks for an order that exactly one index yields, on connections
//! that do not sort if an index can yield the order (`connection.rs`). Postgres drops a column from an order if the
//! column equals a constant. So the columns that choose the index have a lower and an upper bound instead of an
//! equality.
//!
//! Only threads as a whole have an index in the order of their last change: if each filter had one, each save over a
//! version would write them all. If a filter matches few threads, they are gathered and sorted. Otherwise the walk meets
//! one of them soon.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Integer, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::signature::{ListFilter, OrderBy, Position, SignatureId};

/// The most threads that are gathered and sorted for one page.
pub(super) const GATHERED: i64 = 10_000;

/// The ids and times of the threads that a filter matches, in the order of the list.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) tenant_id: i32,
    filter: &'a ListFilter,
    /// Only threads after this place, by their time.
    low: Option<Position>,
    /// Only threads before this place, by their time.
    high: Option<Position>,
    /// The most threads of each value of a label that can be on the page; none if all threads are read.
    wanted: Option<i64>,
    /// The walk that gathers the threads before they are put in order.
    gathered: Option<Box<Self>>,
    /// Whether nothing but the path itself counts: no other filters, no bounds.
    bare: bool,
}

/// Texts that several threads share, and of which a thread may have several.
#[derive(Debug, Clone, Copy)]
struct Labels<'a> {
    /// The table, and its column.
    kind: (&'static str, &'static str),
    values: &'a [String],
    /// Whether a thread must have all of them, or only one.
    all: bool,
}

const TAGS: (&str, &str) = ("signature_tags", "tag");
const TERMS: (&str, &str) = ("signature_terms", "term");

/// What is walked.
#[derive(Debug, Clone, Copy)]
enum Path<'a> {
    /// The one thread of this document and name.
    One(&'a String, &'a String),
    /// Threads with labels.
    Labelled(Labels<'a>),
    /// Threads with this value in this column.
    Column(Column, &'a String),
    /// All threads.
    All,
}

/// A column of threads that has an index in the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Document,
    Thread,
    Stage,
}

impl Column {
    /// The column in the form of the index that serves lists.
    fn sql(self) -> &'static str {
        match self {
            Self::Document => "s.document COLLATE \"C\"",
            Self::Thread => "s.thread COLLATE \"C\"",
            Self::Stage => "s.stage",
        }
    }
}

impl<'a> Walk<'a> {
    /// The threads of a page.
    pub(super) fn page(
        tenant: TenantId,
        filter: &'a ListFilter,
        after: Option<Position>,
        wanted: i64,
        gathers: bool,
    ) -> Self {
        let mut walk = Self::all(tenant, filter);
        walk.wanted = Some(wanted);
        walk.gathered = gathers.then(|| Box::new(Self::bare(tenant, filter, Some(GATHERED))));
        match after {
            Some(after) if filter.order.ascending => walk.low = walk.low.max(Some(after)),
            Some(after) => {
                walk.high = Some(walk.high.map_or(after, |high| high.min(after)));
            }
            None => {}
        }
        walk
    }

    /// All threads that the filter matches.
    pub(super) fn all(tenant: TenantId, filter: &'a ListFilter) -> Self {
        // No thread has the id 0.
        let before_all = |at| Position {
            at,
            id: SignatureId(0),
        };
        Self {
            tenant_id: tenant.0,
            filter,
            low: filter.since.map(before_all),
            high: filter.until.map(before_all),
            wanted: None,
            gathered: Some(Box::new(Self::bare(tenant, filter, None))),
            bare: false,
        }
    }

    /// The threads of a filter's path, whatever else the filter says.
    fn bare(tenant: TenantId, filter: &'a ListFilter, wanted: Option<i64>) -> Self {
        Self {
            tenant_id: tenant.0,
            filter,
            low: None,
            high: None,
            wanted,
            gathered: None,
            bare: true,
        }
    }

    /// The direction of the order, in SQL.
    pub(super) fn direction(&self) -> &'static str {
        match self.filter.order.ascending {
            true => "ASC",
            false => "DESC",
        }
    }

    fn path(&self) -> Path<'a> {
        let filter = self.filter;
        let terms = |values: &'a Vec<String>| Labels {
            kind: TERMS,
            values,
            all: false,
        };
        match (&filter.document, &filter.thread) {
            (Some(document), Some(thread)) => return Path::One(document, thread),
            // First, since it has few threads, and those of other documents must make no difference to who may see only one.
            (Some(document), None) => return Path::Column(Column::Document, document),
            _ if !filter.signers.is_empty() => return Path::Labelled(terms(&filter.signers)),
            _ if !filter.tags.is_empty() => return Path::Labelled(self.tags()),
            (None, Some(thread)) => return Path::Column(Column::Thread, thread),
            (None, None) => {}
        }
        match &filter.stage {
            _ if !filter.verdicts.is_empty() => Path::Labelled(terms(&filter.verdicts)),
            Some(stage) => Path::Column(Column::Stage, stage),
            None => Path::All,
        }
    }

    fn tags(&self) -> Labels<'a> {
        Labels {
            kind: TAGS,
            values: &self.filter.tags,
            all: self.filter.all_tags,
        }
    }
}

impl QueryFragment<Pg> for Walk<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let path = self.path();
        if self.bare || self.filter.order.by == OrderBy::Created {
            return self.push_path(&mut out, path);
        }
        match (path, &self.gathered) {
            (Path::One(document, thread), _) => self.push_one(&mut out, document, thread),
            (Path::Labelled(_) | Path::Column(..), Some(gathered)) => {
                self.push_gathered(&mut out, path, gathered)
            }
            _ => self.push_recent(&mut out, path),
        }
    }
}

impl<'a> Walk<'a> {
    /// Selects threads on a path, in the order of their creation.
    fn push_path<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, path: Path<'b>) -> QueryResult<()> {
        match path {
            Path::One(document, thread) => self.push_one(out, document, thread),
            Path::Labelled(labels) if labels.all => self.push_all_labels(out, path, labels),
            Path::Labelled(labels) => self.push_any_label(out, path, labels),
            Path::Column(column, value) => self.push_column(out, path, column, value),
            Path::All => {
                out.push_sql(
                    "SELECT s.id, s.created_at AS at FROM signatures s WHERE s.tenant_id = ",
                );
                out.push_bind_param::<Integer, _>(&self.tenant_id)?;
                self.push_rest(out, path, ["s.created_at", "s.id"])
            }
        }
    }

    /// Selects the one thread of this document and name, if it exists and matches the other filters.
    fn push_one<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        document: &'b String,
        thread: &'b String,
    ) -> QueryResult<()> {
        let at = match self.filter.order.by {
            OrderBy::Created => "s.created_at",
            OrderBy::Updated => "s.updated_at",
        };
        out.push_sql(&format!("SELECT s.id, {at} AS at FROM ("));
        push_key(out, &self.tenant_id, document, thread)?;
        out.push_sql(") s WHERE true");
        self.push_checks(out, Path::One(document, thread), "s.id")?;
        self.push_bounds(out, &format!("{at}, s.id"))
    }

    /// Selects threads along the index of a column.
    fn push_column<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        column: Column,
        value: &'b String,
    ) -> QueryResult<()> {
        let sql = column.sql();
        out.push_sql("SELECT s.id, s.created_at AS at FROM signatures s WHERE s.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        for (bound, comparison) in [(&self.low, ">"), (&self.high, "<")] {
            match bound {
                Some(bound) => {
                    out.push_sql(&format!(" AND ({sql}, s.created_at, s.id) {comparison} ("));
                    out.push_bind_param::<Text, _>(value)?;
                    out.push_sql(", ");
                    push_position(out, bound)?;
                    out.push_sql(")");
                }
                None => {
                    out.push_sql(&format!(" AND {sql} {comparison}= "));
                    out.push_bind_param::<Text, _>(value)?;
                }
            }
        }
        self.push_checks(out, path, "s.id")?;
        self.push_order(out, &[sql, "s.created_at", "s.id"]);
        Ok(())
    }

    /// Walks the label that is the rarest from here on: the label whose hundredth thread is the furthest away, or that
    /// has no hundredth thread. The other labels are looked up for each thread on the way.
    fn push_all_labels<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        labels: Labels<'b>,
    ) -> QueryResult<()> {
        let (table, column) = labels.kind;
        self.push_labelled(out, path, labels)?;
        out.push_sql("(SELECT wanted.value FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(labels.values)?;
        out.push_sql(&format!(
            "::text[]) AS wanted (value) ORDER BY (SELECT t.created_at FROM {table} t WHERE t.tenant_id = "
        ));
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(&format!(" AND t.{column} = wanted.value"));
        self.push_bounds(out, "t.created_at, t.signature_id")?;
        self.push_order(out, &["t.created_at", "t.signature_id"]);
        let furthest = match self.filter.order.ascending {
            true => "DESC",
            false => "ASC",
        };
        out.push_sql(&format!(
            " OFFSET 99 LIMIT 1) {furthest} NULLS FIRST LIMIT 1)"
        ));
        self.push_labels_of(out, labels, "t.signature_id")?;
        self.push_rest(out, path, ["t.created_at", "t.signature_id"])
    }

    /// Merges the threads of each label. A thread with several of the labels appears once.
    fn push_any_label<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        labels: Labels<'b>,
    ) -> QueryResult<()> {
        out.push_sql("SELECT DISTINCT one.id, one.at FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(labels.values)?;
        out.push_sql("::text[]) AS wanted (value) CROSS JOIN LATERAL (");
        self.push_labelled(out, path, labels)?;
        out.push_sql("wanted.value");
        self.push_rest(out, path, ["t.created_at", "t.signature_id"])?;
        if let Some(wanted) = &self.wanted {
            out.push_sql(" LIMIT ");
            out.push_bind_param::<BigInt, _>(wanted)?;
        }
        out.push_sql(") one");
        if self.wanted.is_some() {
            self.push_order(out, &["one.at", "one.id"]);
        }
        Ok(())
    }

    /// Selects the threads whose label equals the expression that is pushed next. The threads are joined only if one of
    /// their columns is checked.
    fn push_labelled<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        labels: Labels<'b>,
    ) -> QueryResult<()> {
        let (table, column) = labels.kind;
        out.push_sql(&format!(
            "SELECT t.signature_id AS id, t.created_at AS at FROM {table} t"
        ));
        if self.checked(path).next().is_some() {
            out.push_sql(" CROSS JOIN LATERAL (");
            self.push_thread(out, "t.signature_id")?;
            out.push_sql(") s");
        }
        out.push_sql(" WHERE t.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(&format!(" AND t.{column} = "));
        Ok(())
    }

    /// Selects the threads that another walk gathers, in the order of their last change.
    fn push_gathered<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        gathered: &'b Self,
    ) -> QueryResult<()> {
        out.push_sql("SELECT g.id, s.updated_at AS at FROM (");
        gathered.walk_ast(out.reborrow())?;
        if let Some(most) = &gathered.wanted {
            out.push_sql(" LIMIT ");
            out.push_bind_param::<BigInt, _>(most)?;
        }
        out.push_sql(") g CROSS JOIN LATERAL (");
        self.push_thread(out, "g.id")?;
        out.push_sql(") s WHERE true");
        self.push_checks(out, path, "g.id")?;
        self.push_bounds(out, "s.updated_at, g.id")?;
        if self.wanted.is_some() {
            self.push_order(out, &["s.updated_at", "g.id"]);
        }
        Ok(())
    }

    /// Selects threads along the index of all versions, in the order of their last change.
    fn push_recent<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, path: Path<'b>) -> QueryResult<()> {
        out.push_sql(
            "SELECT v.signature_id AS id, v.created_at AS at FROM signature_versions v CROSS JOIN LATERAL (",
        );
        self.push_thread(out, "v.signature_id")?;
        // As the index has it.
        out.push_sql(") s WHERE v.tenant_id::bigint = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(" AND s.version = v.version");
        if let Path::Labelled(labels) = path {
            self.push_labels_of(out, labels, "v.signature_id")?;
        }
        // Nothing of the path is known on this one.
        self.push_rest(out, Path::All, ["v.created_at", "v.signature_id"])
    }

    /// Selects the thread with this id.
    pub(super) fn push_thread<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        id: &str,
    ) -> QueryResult<()> {
        out.push_sql("SELECT * FROM signatures s WHERE s.tenant_id = ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(&format!(
            " AND s.id BETWEEN {id} AND {id} ORDER BY s.id LIMIT 1"
        ));
        Ok(())
    }

    /// The conditions on the thread's own columns that a path leaves open.
    fn checked(&self, path: Path<'a>) -> impl Iterator<Item = (Column, &'a String)> {
        let filter = self.filter;
        let columns = [
            (Column::Document, &filter.document),
            (Column::Thread, &filter.thread),
            (Column::Stage, &filter.stage),
        ];
        let columns = columns
            .into_iter()
            .filter_map(|(column, value)| Some((column, value.as_ref()?)));
        columns
            .filter(move |(column, _)| match path {
                Path::One(..) => *column == Column::Stage,
                Path::Column(walked, _) => *column != walked,
                Path::Labelled(_) | Path::All => true,
            })
            .filter(|_| !self.bare)
    }

    /// Checks what the path leaves open, and that the time and the id are within the bounds, and orders by them.
    fn push_rest<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        [at, id]: [&str; 2],
    ) -> QueryResult<()> {
        self.push_checks(out, path, id)?;
        self.push_bounds(out, &format!("{at}, {id}"))?;
        self.push_order(out, &[at, id]);
        Ok(())
    }

    /// Checks what the path leaves open.
    fn push_checks<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        path: Path<'b>,
        id: &str,
    ) -> QueryResult<()> {
        for (column, value) in self.checked(path) {
            out.push_sql(&format!(" AND {} = ", column.sql()));
            out.push_bind_param::<Text, _>(value)?;
        }
        if self.bare {
            return Ok(());
        }
        let walked = match path {
            Path::Labelled(labels) => Some(labels.values.as_ptr()),
            _ => None,
        };
        let filter = self.filter;
        let terms = |values: &'b Vec<String>| Labels {
            kind: TERMS,
            values,
            all: false,
        };
        for labels in [self.tags(), terms(&filter.signers), terms(&filter.verdicts)] {
            if !labels.values.is_empty() && walked != Some(labels.values.as_ptr()) {
                self.push_labels_of(out, labels, id)?;
            }
        }
        if !filter.not_signed_by.is_empty() {
            out.push_sql(" AND NOT (true");
            self.push_labels_of(out, terms(&filter.not_signed_by), id)?;
            out.push_sql(")");
        }
        Ok(())
    }

    /// Checks that the thread with this id has these labels.
    fn push_labels_of<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        labels: Labels<'b>,
        id: &str,
    ) -> QueryResult<()> {
        let (table, column) = labels.kind;
        out.push_sql(&format!(
            " AND ARRAY(SELECT o.{column} FROM {table} o WHERE o.tenant_id = "
        ));
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        let contains = if labels.all { "@>" } else { "&&" };
        out.push_sql(&format!(
            " AND o.signature_id BETWEEN {id} AND {id} ORDER BY o.signature_id, o.{column}) {contains} "
        ));
        out.push_bind_param::<Array<Text>, _>(labels.values)
    }

    /// Checks that a time and an id are within the bounds.
    fn push_bounds<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, place: &str) -> QueryResult<()> {
        for (bound, comparison) in [(&self.low, ">"), (&self.high, "<")] {
            if let Some(bound) = bound {
                out.push_sql(&format!(" AND ({place}) {comparison} ("));
                push_position(out, bound)?;
                out.push_sql(")");
            }
        }
        Ok(())
    }

    fn push_order(&self, out: &mut AstPass<'_, '_, Pg>, columns: &[&str]) {
        let direction = self.direction();
        let columns: Vec<_> = columns
            .iter()
            .map(|column| format!("{column} {direction}"))
            .collect();
        out.push_sql(&format!(" ORDER BY {}", columns.join(", ")));
    }
}

/// The number of threads on the path of a filter that has one, up to one more than can be gathered.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    walk: Walk<'a>,
    most: i64,
}

impl<'a> Gathering<'a> {
    /// Prepares the query; none if the filter walks all threads, or finds one by its key.
    pub(super) fn new(tenant: TenantId, filter: &'a ListFilter) -> Option<Self> {
        let most = GATHERED + 1;
        let walk = Walk::bare(tenant, filter, Some(most));
        match walk.path() {
            Path::One(..) | Path::All => None,
            Path::Labelled(_) | Path::Column(..) => Some(Self { walk, most }),
        }
    }
}

impl Query for Gathering<'_> {
    type SqlType = BigInt;
}

/// The text depends on the filter, so Diesel caches the prepared statement by its text.
impl QueryId for Gathering<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<PgConnection> for Gathering<'_> {}

impl QueryFragment<Pg> for Gathering<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.walk.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.most)?;
        out.push_sql(") few");
        Ok(())
    }
}

fn push_position<'b>(out: &mut AstPass<'_, 'b, Pg>, position: &'b Position) -> QueryResult<()> {
    out.push_bind_param::<Timestamptz, _>(&position.at)?;
    out.push_sql(", ");
    out.push_bind_param::<BigInt, _>(&position.id.0)
}

/// Selects the thread of this document and name.
fn push_key<'b>(
    out: &mut AstPass<'_, 'b, Pg>,
    tenant_id: &'b i32,
    document: &'b String,
    thread: &'b String,
) -> QueryResult<()> {
    out.push_sql("SELECT * FROM signatures s WHERE s.tenant_id = ");
    out.push_bind_param::<Integer, _>(tenant_id)?;
    for comparison in [">=", "<="] {
        out.push_sql(&format!(" AND (s.document, s.thread) {comparison} ("));
        out.push_bind_param::<Text, _>(document)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(thread)?;
        out.push_sql(")");
    }
    out.push_sql(" ORDER BY s.document, s.thread LIMIT 1");
    Ok(())
}
