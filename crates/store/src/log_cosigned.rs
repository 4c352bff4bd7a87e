//! Checkpoints with the signatures of witnesses.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Text};
use sigpersist_model::error::Result;
use sigpersist_model::log::Epoch;

use super::pool::Store;
use super::prepared::{Value, prepared};

/// A checkpoint that witnesses have signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cosigned {
    /// The checkpoint, signed by the log.
    pub checkpoint: String,
    /// The lines of the witnesses.
    pub lines: String,
    /// The names of the witnesses.
    pub witnesses: Vec<String>,
}

/// The checkpoints of a tree that witnesses have signed.
#[derive(Debug, Clone, Default)]
pub struct Witnessed {
    /// Whether the log has witnesses.
    pub has_witnesses: bool,
    /// The newest checkpoint that enough of them have signed.
    pub newest: Option<Cosigned>,
    /// The checkpoint of the size that was asked for, if any of them has signed it.
    pub of_size: Option<Cosigned>,
}

#[derive(QueryableByName)]
struct KnownRow {
    #[diesel(sql_type = Bool)]
    has_witnesses: bool,
}

#[derive(QueryableByName)]
struct CosignedRow {
    #[diesel(sql_type = Text)]
    checkpoint: String,
    #[diesel(sql_type = Text)]
    lines: String,
    #[diesel(sql_type = Array<Text>)]
    witnesses: Vec<String>,
}

impl Store {
    /// The checkpoints of a tree that witnesses have signed: if `above` is given, the newest one with more entries that at
    /// least `least` of them have signed, and the one with `size` entries.
    pub fn log_witnessed(
        &self,
        epoch: &Epoch,
        above: Option<i64>,
        least: i64,
        size: i64,
    ) -> Result<Witnessed> {
        self.run(epoch.tenant, |connection| {
            let known: KnownRow = prepared(
                "SELECT EXISTS (SELECT FROM log_witnesses WHERE tenant_id = $1) AS has_witnesses",
                &[Value::Integer(epoch.tenant.0)],
            )
            .get_result(connection)?;
            if !known.has_witnesses {
                return Ok(Witnessed::default());
            }
            let newest_above = |above| newest(connection, epoch, above + 1, i64::MAX, least);
            Ok(Witnessed {
                has_witnesses: true,
                newest: above.map(newest_above).transpose()?.flatten(),
                of_size: newest(connection, epoch, size, size, 1)?,
            })
        })
    }
}

/// The newest checkpoint within these sizes, both included, that so many witnesses have signed.
fn newest(
    connection: &mut PgConnection,
    epoch: &Epoch,
    from: i64,
    to: i64,
    least: i64,
) -> QueryResult<Option<Cosigned>> {
    let row: Option<CosignedRow> = prepared(
        "SELECT c.checkpoint, s.lines, s.witnesses FROM log_checkpoints c \
         CROSS JOIN LATERAL ( \
             SELECT count(*) AS count, string_agg(s.line, '' ORDER BY s.witness) AS lines, \
                    array_agg(s.witness ORDER BY s.witness) AS witnesses \
             FROM log_cosignatures s \
             WHERE s.tenant_id = c.tenant_id AND s.epoch = c.epoch AND s.size = c.size) AS s \
         WHERE c.tenant_id = $1 AND c.epoch = $2 AND c.size BETWEEN $3 AND $4 AND s.count > 0 AND s.count >= $5 \
         ORDER BY c.size DESC LIMIT 1",
        &[
            Value::Integer(epoch.tenant.0),
            Value::SmallInt(epoch.epoch),
            Value::BigInt(from),
            Value::BigInt(to),
            Value::BigInt(least),
        ],
    )
    .get_result(connection)
    .optional()?;
    Ok(row.map(|row| Cosigned {
        checkpoint: row.checkpoint,
        lines: row.lines,
        witnesses: row.witnesses,
    }))
}
