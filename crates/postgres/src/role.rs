//! The role under which the server works, whatever its login.
//!
//! The role owns no table, so it can neither turn off
//! row-level security nor change append-only tables. If the login's only right is to take this role, it gains nothing
//! by leaving it. The owner of the tables, which migrations need, would gain rights.

use anyhow::{Context as _, bail};
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{OptionalExtension as _, QueryableByName, RunQueryDsl as _, sql_query};

/// The name of the role, to which migrations grant rights.
pub const SERVER_ROLE: &str = "sigpersist_server";

#[derive(QueryableByName)]
struct Role {
    /// Whether it bypasses row-level security.
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

/// Makes the role if it does not exist, and lets `login` take it; none stands for the connection's own login.
///
/// # Errors
///
/// If that needs more rights than the connection has. The error says what somebody with these rights must run.
pub fn make(connection: &mut PgConnection, login: Option<&str>) -> anyhow::Result<()> {
    let login = match login {
        Some(login) => login.to_owned(),
        None => self::login(connection)?,
    };
    let grant = grant(&login);
    let role = find(connection, &login)?;
    if role.as_ref().is_some_and(|role| role.bypasses) {
        bail!(
            "The database role {SERVER_ROLE} can bypass row-level security, so the server does not use it. Run `ALTER ROLE {SERVER_ROLE} NOSUPERUSER NOBYPASSRLS`."
        );
    }
    if role.as_ref().is_some_and(|role| role.taken_by_login) {
        return Ok(());
    }
    let made = match role {
        Some(_) => connection.batch_execute(&grant),
        None => connection.batch_execute(&format!("CREATE ROLE {SERVER_ROLE}; {grant}")),
    };
    // Another server on another database of the same Postgres may have made it meanwhile.
    if made.is_err() && find(connection, &login)?.is_some_and(|role| role.taken_by_login) {
        return Ok(());
    }
    made.with_context(|| {
        format!(
            "The server needs the database role {SERVER_ROLE}, and this login may not create it. As a login that may, run `CREATE ROLE {SERVER_ROLE}` if it does not exist, then `{grant}`"
        )
    })
}

/// Works under the role from now on, if it exists.
///
/// # Errors
///
/// If the login may not take the role. The error says what somebody who may grant it must run.
pub fn take(connection: &mut PgConnection) -> anyhow::Result<()> {
    let login = login(connection)?;
    let Err(refused) = connection.batch_execute(&format!("SET ROLE {SERVER_ROLE}")) else {
        return Ok(());
    };
    if find(connection, &login)?.is_none() {
        return Ok(());
    }
    let grant = grant(&login);
    Err(refused).with_context(|| {
        format!("The server needs the database role {SERVER_ROLE}, which this login may not use. As a login that may grant it, run `{grant}`")
    })
}

fn login(connection: &mut PgConnection) -> anyhow::Result<String> {
    let login = sql_query("SELECT session_user::text AS name").get_result::<Login>(connection)?;
    Ok(login.name)
}

/// The statement that lets a login take the role.
fn grant(login: &str) -> String {
    let quoted = login.replace('"', "\"\"");
    format!("GRANT {SERVER_ROLE} TO \"{quoted}\"")
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
