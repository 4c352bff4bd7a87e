//! Connections to a Postgres, whoever runs it.

use diesel::pg::PgConnection;
use diesel::result::ConnectionError;
use diesel::{Connection as _, ConnectionResult};

use crate::url::{with_defaults, without_password};

/// Opens a connection outside the pool, for migrations and notifications.
pub fn connect(url: &str) -> ConnectionResult<PgConnection> {
    establish(&with_defaults(url))
}

/// Connects to a URL that has its defaults already.
pub fn establish(url: &str) -> ConnectionResult<PgConnection> {
    PgConnection::establish(url).map_err(|error| match error {
        ConnectionError::BadConnection(message) => {
            ConnectionError::BadConnection(without_password(&message, url))
        }
        error => error,
    })
}
