//! The embedded database, which is the default: a private Postgres in a data directory.
//!
//! The server makes and runs it with the Postgres programs installed on the machine, on a Unix socket, with checksums
//! and full durability.
//!
//! This file decides which process runs Postgres. The holder of the lock on `lock` owns the directory and runs
//!   Postgres; it first stops the orphan of a killed owner. A command that finds the lock held uses the owner's
//!   Postgres as a guest, and holds a shared lock on `guests.lock`. An owner that is itself a command waits for that
//!   lock before it stops.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use tracing::warn;

use crate::cluster::{self, Cluster};
use crate::supervisor::{Supervisor, TELL_AFTER};

/// The most time to wait for another process to finish with the directory.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// The file whose lock its owner holds, in the data directory.
const LOCK: &str = "lock";

/// The purpose for which the directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Serving until told to stop: two servers never share a directory.
    Serve,
    /// One command, beside a running server or without one, on a database that exists.
    Command,
    /// A command that makes the database if there is none.
    FirstCommand,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Serve => "server",
            Self::Command | Self::FirstCommand => "command",
        }
    }
}

/// A data directory without a database, opened for [`Purpose::Command`].
#[derive(Debug, PartialEq, Eq)]
pub struct NoDatabase {
    data_dir: PathBuf,
}

impl fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "There is no database in {}. If you have one elsewhere, name it: its directory with --data-dir or SIGPERSIST_DATA_DIR, your own Postgres with DATABASE_URL, or a running server with --server. To begin with a new database, run `sigpersist tenant create NAME` or `sigpersist serve`.",
            self.data_dir.display()
        )
    }
}

impl std::error::Error for NoDatabase {}

/// The embedded database, open. If this process runs Postgres, dropping this stops it.
#[derive(Debug)]
pub struct Embedded {
    pub(crate) url: String,
    pub(crate) is_new: bool,
    pub(crate) role: Role,
}

#[derive(Debug)]
pub(crate) enum Role {
    Owner {
        supervisor: Supervisor,
        purpose: Purpose,
        guests: PathBuf,
        _lock: File,
    },
    Guest {
        _guest: File,
    },
    /// Runs a copy that an upgrade tests; the upgrade holds the locks.
    Copy {
        _supervisor: Supervisor,
    },
}

impl Embedded {
    /// Opens the database of a data directory, and makes both if they do not exist, unless it is for [`Purpose::Command`].
    ///
    /// `settings` are added to Postgres's command line, after our own.
    ///
    /// # Errors
    ///
    /// [`NoDatabase`] if none may be made, and otherwise a sentence that says what is missing and what to do, for example if there are no Postgres programs, if the
    /// directory can't be entered by its user, or if another server runs on it.
    pub fn open(
        data_dir: &Path,
        purpose: Purpose,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let no_database = || NoDatabase {
            data_dir: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()),
        };
        // Whoever holds the lock may be about to make the database.
        if purpose == Purpose::Command && !cluster::exists(data_dir) && !is_locked(data_dir) {
            return Err(no_database().into());
        }
        let cluster = Cluster::new(data_dir)?;
        let lock_path = cluster.data_dir().join(LOCK);
        let guests_path = cluster.data_dir().join("guests.lock");
        let deadline = Instant::now() + PATIENCE;
        let mut tell_at = Instant::now() + TELL_AFTER;
        loop {
            let lock = open_lock(&lock_path)?;
            match lock.try_lock() {
                Ok(()) => {
                    let is_new = !cluster::exists(data_dir);
                    if is_new && purpose == Purpose::Command {
                        return Err(no_database().into());
                    }
                    write_owner(&lock, purpose.word())?;
                    let supervisor = Supervisor::start(cluster, settings)?;
                    make_role(supervisor.cluster())?;
                    return Ok(Self {
                        url: supervisor.cluster().url("sigpersist"),
                        is_new,
                        role: Role::Owner {
                            supervisor,
                            purpose,
                            guests: guests_path,
                            _lock: lock,
                        },
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error)
                        .with_context(|| format!("{} can't be locked", lock_path.display()));
                }
            }
            let owner = read_owner(lock);
            if purpose != Purpose::Serve {
                let guest = open_lock(&guests_path)?;
                let url = cluster.url("sigpersist");
                if guest.try_lock_shared().is_ok()
                    && cluster.socket_is_trusted()
                    && crate::connection::connect(&url).is_ok()
                {
                    // The owner may not have made the role yet.
                    make_role(&cluster)?;
                    return Ok(Self {
                        url,
                        is_new: false,
                        role: Role::Guest { _guest: guest },
                    });
                }
            } else if owner.starts_with(Purpose::Serve.word()) {
                bail!(
                    "Another Sigpersist {owner} runs on {}. Stop it, or give this one its own --data-dir.",
                    data_dir.display()
                );
            }
            if Instant::now() > tell_at {
                warn!(
                    data_dir = %data_dir.display(),
                    "Waiting for another Sigpersist {owner} to finish with the data directory"
                );
                tell_at += TELL_AFTER;
            }
            if Instant::now() > deadline {
                bail!(
                    "The data directory {} has been in use by a Sigpersist {owner} for {} s. Try again when it is done.",
                    data_dir.display(),
                    PATIENCE.as_secs()
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// Whether this process made the database.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The connection string of the database, for libpq.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The connection string of another database of the same Postgres, for libpq.
    pub fn url_of(&self, database: &str) -> String {
        self.url
            .replace("dbname=sigpersist", &format!("dbname={database}"))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let Role::Owner {
            supervisor,
            purpose,
            guests,
            ..
        } = &mut self.role
        else {
            return;
        };
        // Held until Postgres has stopped, so that no guest comes in between.
        let _guests = (*purpose != Purpose::Serve).then(|| wait_for_guests(guests));
        supervisor.stop();
    }
}

fn wait_for_guests(path: &Path) -> Option<File> {
    let file = open_lock(path).ok()?;
    let deadline = Instant::now() + PATIENCE;
    while file.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    Some(file)
}

/// Makes the role under which the server works: our own login may not make roles.
pub(crate) fn make_role(cluster: &Cluster) -> anyhow::Result<()> {
    let mut connection = crate::connection::connect(&cluster.url_as("postgres", "postgres"))?;
    crate::role::make(&mut connection, Some("sigpersist"))
}

/// Whether a process uses the directory. Makes no file.
fn is_locked(data_dir: &Path) -> bool {
    match File::open(data_dir.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_err(),
        // Another user's is opened, and refused, in the usual way.
        Err(error) => !cluster::is_missing(&error),
    }
}

pub(crate) fn open_lock(path: &Path) -> anyhow::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Anybody who can open it can lock everybody out.
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} can't be opened", path.display()))
}

pub(crate) fn write_owner(mut lock: &File, word: &str) -> anyhow::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    write!(lock, "{word} (process {})", std::process::id())?;
    Ok(())
}

pub(crate) fn read_owner(mut lock: File) -> String {
    let mut owner = String::new();
    match lock.read_to_string(&mut owner) {
        Ok(1..) => owner,
        _ => "process".to_owned(),
    }
}
