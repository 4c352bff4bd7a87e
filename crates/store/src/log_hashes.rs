//! The stored hashes of a log's trees, for proofs.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Binary, Integer, Nullable};
use sigpersist_model::log::Epoch;
use sigpersist_tlog::{Hash, Stored, StoredRange};

use super::prepared::{Value, prepared};

/// The hashes of a tree. The session acts for its tenant.
pub(super) struct StoredTree<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) epoch: &'a Epoch,
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
        let column = |value: fn(&StoredRange) -> i64| ranges.iter().map(value).collect::<Vec<_>>();
        let levels: Vec<i16> = ranges.iter().map(|range| range.level.into()).collect();
        let values = [
            Value::Integer(self.epoch.tenant.0),
            Value::SmallInt(self.epoch.epoch),
            Value::SmallInts(levels),
            Value::BigInts(column(|range| {
                i64::try_from(range.first).unwrap_or(i64::MAX)
            })),
            Value::BigInts(column(|range| range.count.into())),
            Value::BigInt(self.epoch.first),
        ];
        // A row for each hash would take several times as long.
        let rows: Vec<RangeRow> = prepared(
            "SELECT r.place::integer, CASE r.level \
                 WHEN 0 THEN (SELECT string_agg(e.leaf, '') FROM ( \
                     SELECT leaf FROM log_entries \
                     WHERE tenant_id = $1 AND number >= $6 + r.first AND number < $6 + r.first + r.count \
                     ORDER BY number) AS e) \
                 ELSE (SELECT string_agg(n.hash, '') FROM ( \
                     SELECT hash FROM log_nodes \
                     WHERE tenant_id = $1 AND epoch = $2 AND level = r.level \
                       AND number >= r.first AND number < r.first + r.count \
                     ORDER BY number) AS n) END AS hashes \
             FROM unnest($3, $4, $5) WITH ORDINALITY AS r (level, first, count, place)",
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
}
