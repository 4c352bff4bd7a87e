//! The role that the server works under, whoever it logs in as: it owns no table, so that it can neither turn row-level
//! security off nor change what is only ever added to.

use anyhow::{Context as _, bail};
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{OptionalExtension as _, QueryableByName, RunQueryDsl as _, sql_query};

/// The role; migrations grant to it by this name.
pub(super) const SERVER_ROLE: &str = "sigpersist_server";

#[derive(QueryableByName)]
struct Role {
    /// Whether row-level security does not bind it.
    #[diesel(sql_type = Bool)]
    bypasses: bool,
    #[diesel(sql_type = Bool)]
    taken_by_login: bool,
}

#[derive(QueryableByName)]
struct Login {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Makes the role where it does not exist, and lets the login take it; none for whoever is logged in.
///
/// # Errors
///
/// Where that needs more rights than the connection has, with what somebody who has them can do.
pub(super) fn make(connection: &mut PgConnection, login: Option<&str>) -> anyhow::Result<()> {
    let login = match login {
        Some(login) => login.to_owned(),
        None => {
            sql_query("SELECT session_user::text AS name")
                .get_result::<Login>(connection)?
                .name
        }
    };
    let quoted = login.replace('"', "\"\"");
    let grant = format!("GRANT {SERVER_ROLE} TO \"{quoted}\"");
    let role = find(connection, &login)?;
    if role.as_ref().is_some_and(|role| role.bypasses) {
        bail!(
            "The database role {SERVER_ROLE} can bypass row-level security; the server does not work under it. Run `ALTER ROLE {SERVER_ROLE} NOSUPERUSER NOBYPASSRLS`."
        );
    }
    if role.as_ref().is_some_and(|role| role.taken_by_login) {
        return Ok(());
    }
    let made = match role {
        Some(_) => connection.batch_execute(&grant),
        None => connection.batch_execute(&format!("CREATE ROLE {SERVER_ROLE}; {grant}")),
    };
    // Another server on another database of the same Postgres may have been faster.
    if made.is_err() && find(connection, &login)?.is_some_and(|role| role.taken_by_login) {
        return Ok(());
    }
    made.with_context(|| {
        format!(
            "The server works under the database role {SERVER_ROLE}, and this login may not make it. As one that may, run `CREATE ROLE {SERVER_ROLE}` if it does not exist, then `{grant}`"
        )
    })
}

fn find(connection: &mut PgConnection, login: &str) -> anyhow::Result<Option<Role>> {
    let role = sql_query(
        "SELECT rolsuper OR rolbypassrls AS bypasses, pg_has_role($1, oid, 'MEMBER') AS taken_by_login \
         FROM pg_roles WHERE rolname = $2",
    )
    .bind::<Text, _>(login)
    .bind::<Text, _>(SERVER_ROLE)
    .get_result(connection)
    .optional();
    role.context("The database's roles can't be read")
}
