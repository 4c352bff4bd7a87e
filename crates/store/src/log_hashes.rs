//! The stored hashes of a log's trees, for proofs.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Binary, Integer};
use sigpersist_model::log::Epoch;
use sigpersist_tlog::{Hash, Stored, StoredRange};

use super::prepared::{Value, prepared};

/// The hashes of a tree. The session acts for its tenant.
pub(super) struct StoredTree<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) epoch: &'a Epoch,
}

#[derive(QueryableByName)]
struct HashRow {
    #[diesel(sql_type = Integer)]
    place: i32,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
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
        let rows: Vec<HashRow> = prepared(
            "SELECT r.place::integer, h.hash \
             FROM unnest($3, $4, $5) WITH ORDINALITY AS r (level, first, count, place) \
             CROSS JOIN LATERAL ( \
                 SELECT e.number, e.leaf AS hash FROM log_entries e \
                 WHERE e.tenant_id = $1 AND r.level = 0 \
                   AND e.number >= $6 + r.first AND e.number < $6 + r.first + r.count \
                 UNION ALL \
                 SELECT n.number, n.hash FROM log_nodes n \
                 WHERE n.tenant_id = $1 AND n.epoch = $2 AND r.level > 0 AND n.level = r.level \
                   AND n.number >= r.first AND n.number < r.first + r.count) AS h \
             ORDER BY r.place, h.number",
            &values,
        )
        .load(self.connection)?;
        let mut hashes = vec![Vec::new(); ranges.len()];
        for row in rows {
            let place = usize::try_from(row.place - 1).ok();
            if let (Some(range), Ok(hash)) = (
                place.and_then(|place| hashes.get_mut(place)),
                row.hash.try_into(),
            ) {
                range.push(hash);
            }
        }
        Ok(hashes)
    }
}
