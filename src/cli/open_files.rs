//! The limit on open files, raised to make room for connections.

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::config::Config;

/// Files beside connections: logs, plugins, the runtime's own.
const OTHERS: u64 = 128;
/// Files of a connection to Postgres, and of one that is made anew meanwhile.
const OF_DATABASE: u64 = 2;
/// Fewest connections that a server is of use with.
const LEAST: u64 = 16;

/// Raises the limit of open files as far as connections need it and the system lets it. Where that is not far enough, there
/// are fewer connections.
pub(super) fn make_room(config: &mut Config) -> anyhow::Result<()> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("The limit of open files can't be read")?;
    let others = OTHERS
        + OF_DATABASE * u64::from(config.database.pool_size)
        + config.http.max_watch_connections() as u64;
    let needed = (config.http.max_connections as u64).saturating_add(others);
    let wanted = needed.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
            .context("The limit of open files can't be raised")?;
    }
    if hard < needed {
        let room = hard.saturating_sub(others).max(LEAST);
        warn!(
            "The limit of open files allows {room} connections, not the {} of http.max_connections: this process may open {hard} files and needs {needed} (raise LimitNOFILE of systemd, or ulimit -Hn)",
            config.http.max_connections
        );
        config.http.max_connections = usize::try_from(room)?;
    }
    Ok(())
}
