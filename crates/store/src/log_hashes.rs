//! The stored hashes of a log's trees, for proofs.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Binary, Integer, Nullable};
use serde_json::{Value as Json, json};
use sigpersist_model::log::Epoch;
use sigpersist_tlog::{Edge, Hash, Stored, StoredRange, edge_ranges};

use super::prepared::{Value, prepared};

/// The hashes of a tree. The session acts for its tenant.
pub(super) struct StoredTree<'a> {
    connection: &'a mut PgConnection,
    epoch: &'a Epoch,
    /// Roots that need not be read.
    known: Vec<(StoredRange, Hash)>,
}

impl<'a> StoredTree<'a> {
    /// The tree as its entries and nodes say.
    pub(super) fn new(connection: &'a mut PgConnection, epoch: &'a Epoch) -> Self {
        Self {
            connection,
            epoch,
            known: Vec::new(),
        }
    }

    /// For the tree when it has so many entries. If these are all, its edge is half of what a proof consists of, on average.
    pub(super) fn with_edge(self, size: u64) -> Self {
        let edge = Edge::from_bytes(size, &self.epoch.edge);
        let edge = edge.filter(|_| u64::try_from(self.epoch.size) == Ok(size));
        let known = edge.iter().flat_map(edge_ranges).collect();
        Self { known, ..self }
    }
}

#[derive(QueryableByName)]
struct RangeRow {
    #[diesel(sql_type = Integer)]
    place: i32,
    /// The hashes, one after another.
    #[diesel(sql_type = Nullable<Binary>)]
    hashes: Option<Vec<u8>>,
}

impl Stored for StoredTree<'_> {
    type Error = DieselError;

    fn hashes(&mut self, ranges: &[StoredRange]) -> QueryResult<Vec<Vec<Hash>>> {
        let range = |range: &StoredRange| json!([range.level, range.first, range.count]);
        let ranges_text = Value::Text(ranges.iter().map(range).collect::<Json>().to_string());
        let values = [
            Value::Integer(self.epoch.tenant.0),
            Value::SmallInt(self.epoch.epoch),
            ranges_text,
            Value::BigInt(self.epoch.first),
        ];
        // A row for each hash would take several times as long. The ranges are one value whose length Postgres does not look
        // into: it would plan the statement anew for each array.
        let rows: Vec<RangeRow> = prepared(
            "SELECT r.place::integer, CASE r.level \
                 WHEN 0 THEN (SELECT string_agg(e.leaf, '') FROM ( \
                     SELECT leaf FROM log_entries \
                     WHERE tenant_id = $1 AND number >= $4 + r.first AND number < $4 + r.first + r.count \
                     ORDER BY number) AS e) \
                 ELSE (SELECT string_agg(n.hash, '') FROM ( \
                     SELECT hash FROM log_nodes \
                     WHERE tenant_id = $1 AND epoch = $2 AND level = r.level \
                       AND number >= r.first AND number < r.first + r.count \
                     ORDER BY number) AS n) END AS hashes \
             FROM (SELECT place, (range ->> 0)::smallint AS level, (range ->> 1)::bigint AS first, \
                          (range ->> 2)::bigint AS count \
                   FROM json_array_elements($3::json) WITH ORDINALITY AS l (range, place)) AS r",
            &values,
        )
        .load(self.connection)?;
        let mut hashes = vec![Vec::new(); ranges.len()];
        for row in rows {
            let place = usize::try_from(row.place - 1).ok();
            if let Some(range) = place.and_then(|place| hashes.get_mut(place)) {
                let (whole, _) = row.hashes.as_deref().unwrap_or_default().as_chunks();
                *range = whole.to_vec();
            }
        }
        Ok(hashes)
    }

    fn known(&self, range: &StoredRange) -> Option<Hash> {
        let mut known = self.known.iter();
        known.find_map(|(other, root)| (other == range).then_some(*root))
    }
}
