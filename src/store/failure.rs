//! What failed queries mean.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use sigpersist_model::error::{Error, Noun};

use super::kept::{Forgotten, is_forgotten};

/// Whether a connection is of no more use.
pub(super) fn is_connection_lost(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, information) => {
            matches!(
                kind,
                DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    // It leads to what was the primary: a new one leads to what is.
                    | DatabaseErrorKind::ReadOnlyTransaction
            ) || is_shutdown_message(information.message())
                || is_forgotten(error)
        }
        DieselError::BrokenTransactionManager => true,
        _ => false,
    }
}

/// Whether an error says that a query waited too long for a lock.
pub(super) fn is_lock_timeout(error: &dyn std::error::Error) -> bool {
    error.to_string().contains("lock timeout")
}

fn is_out_of_time(message: &str) -> bool {
    message.contains("statement timeout") || message.contains("lock timeout")
}

/// Whether the database lacks what it needs for this query (SQLSTATE 53100 to 53400: disk, memory, locks, connections),
/// which may be there again for the next. Diesel passes on its words alone.
fn lacks_resources(message: &str) -> bool {
    [
        "No space left on device",
        "Disk quota exceeded",
        // What Postgres says where the disk took a part of a page.
        "wrote only",
        "out of memory",
        "out of shared memory",
        "temporary file size exceeds",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// Diesel does not pass on SQLSTATE 57P01 to 57P03 (shutting down, crashed, starting up), only their words; and libpq's
/// own words for a lost connection arrive as an unknown kind of error.
fn is_shutdown_message(message: &str) -> bool {
    [
        "terminating connection",
        "the database system is",
        "server closed the connection",
        "no connection to the server",
        "could not receive data from server",
        "could not send data to server",
        "SSL connection has been closed",
        "SSL SYSCALL error",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// What a failed query means to the caller.
pub(super) fn query_error(error: DieselError) -> Error {
    if is_forgotten(&error) {
        return Error::DatabaseUnavailable(Forgotten.into());
    }
    if matches!(error, DieselError::RollbackTransaction) {
        // Only what was given up ends so.
        return Error::DatabaseUnavailable(error.into());
    }
    let passes = matches!(&error, DieselError::DatabaseError(_, information)
        if is_out_of_time(information.message()) || lacks_resources(information.message()));
    // What a hook is to run was deleted meanwhile.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && matches!(
            information.constraint_name(),
            Some("hooks_shadow_fkey" | "hooks_plugin_id_sha256_fkey")
        )
    {
        return Error::NotFound(Noun::Revision);
    }
    // The tenant was removed meanwhile: it was suspended before.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && information
            .constraint_name()
            .is_some_and(|name| name.ends_with("_tenant_id_fkey"))
    {
        return Error::TenantSuspended;
    }
    if passes || is_connection_lost(&error) {
        Error::DatabaseUnavailable(error.into())
    } else {
        Error::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: &str) -> Error {
        let information = Box::new(message.to_owned());
        query_error(DieselError::DatabaseError(
            DatabaseErrorKind::Unknown,
            information,
        ))
    }

    #[test]
    fn what_passes_is_no_error_of_ours() {
        for message in [
            "could not extend file \"base/5/16466\": No space left on device",
            "could not extend file \"base/5/16466\": wrote only 4096 of 8192 bytes at block 7",
            "out of shared memory",
            "canceling statement due to statement timeout",
            "terminating connection due to administrator command",
        ] {
            let error = failed(message);
            assert!(matches!(error, Error::DatabaseUnavailable(_)), "{message}");
        }
        let error = failed("division by zero");
        assert!(matches!(error, Error::Internal(_)), "{error}");
    }
}
