//! Maps failed queries to errors.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use sigpersist_model::error::{Error, Noun};

use super::kept::{Forgotten, is_forgotten};

/// Whether a connection can't be used any more after this error.
pub(super) fn is_connection_lost(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, information) => {
            matches!(
                kind,
                DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    // The host was the primary before. A new connection finds the present primary.
                    | DatabaseErrorKind::ReadOnlyTransaction
            ) || is_shutdown_message(information.message())
                || is_forgotten(error)
        }
        DieselError::BrokenTransactionManager => true,
        _ => false,
    }
}

/// Whether a query waited too long for a lock.
pub(super) fn is_lock_timeout(error: &dyn std::error::Error) -> bool {
    error.to_string().contains("lock timeout")
}

fn is_out_of_time(message: &str) -> bool {
    message.contains("statement timeout") || message.contains("lock timeout")
}

/// Whether the database lacks a resource for this query (SQLSTATE 53100 to 53400: disk, memory, locks, connections).
/// It may be there again for the next query. Diesel passes on only the message.
fn lacks_resources(message: &str) -> bool {
    [
        "No space left on device",
        "Disk quota exceeded",
        // The message of Postgres when the disk took only a part of a page.
        "wrote only",
        "out of memory",
        "out of shared memory",
        "temporary file size exceeds",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// Whether the database is shutting down, crashed or starting up, or the connection was lost.
///
/// Diesel does not pass on SQLSTATE 57P01 to 57P03, only their messages; and libpq's own messages for a lost connection
/// arrive as an unknown kind of error.
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

/// Maps a failed query to the error that the caller gets.
pub(super) fn query_error(error: DieselError) -> Error {
    if is_forgotten(&error) {
        return Error::DatabaseUnavailable(Forgotten.into());
    }
    if matches!(error, DieselError::RollbackTransaction) {
        // Only given-up work ends with this error.
        return Error::DatabaseUnavailable(error.into());
    }
    let passes = matches!(&error, DieselError::DatabaseError(_, information)
        if is_out_of_time(information.message()) || lacks_resources(information.message()));
    // The revision that a hook is to run was deleted meanwhile.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && matches!(
            information.constraint_name(),
            Some("hooks_shadow_fkey" | "hooks_plugin_id_sha256_fkey")
        )
    {
        return Error::NotFound(Noun::Revision);
    }
    // The tenant was removed meanwhile. It was suspended before that.
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
