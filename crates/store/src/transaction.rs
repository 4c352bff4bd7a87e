//! Parts of transactions that several queries share.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Text};
use sigpersist_model::context::TenantId;

/// Acts for another tenant until the end of the transaction.
pub(super) fn set_tenant(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<()> {
    sql_query("SELECT set_config('sigpersist.tenant', $1, true)")
        .bind::<Text, _>(tenant.to_string())
        .execute(connection)
        .map(drop)
}

/// Takes an advisory lock until the end of the transaction. Returns whether nobody else has it.
pub(super) fn try_lock(connection: &mut PgConnection, key: i64) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Lock {
        #[diesel(sql_type = Bool)]
        has_lock: bool,
    }
    let lock: Lock = sql_query("SELECT pg_try_advisory_xact_lock($1) AS has_lock")
        .bind::<BigInt, _>(key)
        .get_result(connection)?;
    Ok(lock.has_lock)
}
