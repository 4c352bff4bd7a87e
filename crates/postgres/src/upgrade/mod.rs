//! Upgrades the embedded database to the programs of a newer Postgres, by `pg_upgrade`.
//!
//! The database is copied, the copy is tested with its own Postgres, and only then put in place. The old database is
//! kept. [`mod@pg_upgrade`] runs that program, [`place`] renames the folders, and [`facts`] compares both databases.

mod facts;
mod pg_upgrade;
mod place;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use nix::sys::statvfs::statvfs;
use sigpersist_model::size;
use tracing::error;

use super::cluster::{Cluster, FILES};
use super::orphan::stop_orphan;
use super::programs::{Programs, folders_in_words};
use super::supervisor::Supervisor;
use crate::embedded::Embedded;
use crate::embedded::Role;
use crate::embedded::open_lock;
use crate::embedded::read_owner;
use crate::embedded::write_owner;
use facts::Facts;
pub(super) use place::{PROVEN, kept_folder, settle};

/// The space that an empty cluster and its write-ahead log need beside the copied data.
const EMPTY_CLUSTER_BYTES: u64 = 256 * 1024 * 1024;

/// An upgrade in progress, which locks the directory. If it is dropped before it is finished, everything stays as it
/// was.
#[derive(Debug)]
pub struct Upgrade {
    cluster: Cluster,
    from: Programs,
    to: Programs,
    bytes: u64,
    _lock: File,
    _guests: File,
}

/// The result of beginning an upgrade.
#[derive(Debug)]
pub enum Begun {
    /// The directory has the newest version that this machine has programs for, which is this one.
    NothingToDo(u32),
    /// The upgrade is ready to run.
    Upgrade(Box<Upgrade>),
}

/// The compared values of the database before the copy.
#[derive(Debug)]
pub struct Before(Facts);

impl Upgrade {
    /// Locks a data directory, and checks that everything is there that the upgrade needs.
    ///
    /// It needs the programs of the directory's version, in `from` or a usual place; the new programs, in `to` or,
    /// without it, the newest of this machine; and space.
    ///
    /// # Errors
    ///
    /// A sentence that says what is missing and what to do.
    pub fn begin(data_dir: &Path, from: Option<&Path>, to: Option<&Path>) -> anyhow::Result<Begun> {
        ensure!(
            data_dir.exists(),
            "There is no data directory {}, so there is nothing to upgrade.",
            data_dir.display()
        );
        let cluster = Cluster::new(data_dir)?;
        let lock = lock(&cluster, "lock")?;
        write_owner(&lock, "upgrade")?;
        // Held throughout, so that no command comes in as a guest.
        let guests = self::lock(&cluster, "guests.lock")?;
        stop_orphan(&cluster)?;
        settle(&cluster)?;
        let Some(major) = cluster.major()? else {
            bail!(
                "The data directory {} has no database yet, so there is nothing to upgrade.",
                data_dir.display()
            );
        };
        let to = match to {
            Some(folder) => Programs::in_folder(folder).with_context(|| {
                format!("There are no Postgres programs in {}.", folder.display())
            })?,
            None => {
                let newest = Programs::find(None)?;
                if newest.major <= major {
                    return Ok(Begun::NothingToDo(major));
                }
                newest
            }
        };
        to.ensure_supported()?;
        ensure!(
            to.major >= major,
            "The data directory belongs to Postgres {major}, and {} has Postgres {}: a downgrade is not possible.",
            to.folder().display(),
            to.version
        );
        ensure!(
            to.path("pg_upgrade").is_file(),
            "The program pg_upgrade of Postgres {} is not in {}. Install it (Debian, Ubuntu: apt-get install postgresql-{}; Fedora: \
             dnf install postgresql-upgrade), or name another folder with --to.",
            to.major,
            to.folder().display(),
            to.major
        );
        let upgrade = Self {
            from: old_programs(major, from)?,
            to,
            bytes: bytes_to_copy(cluster.files())?,
            cluster,
            _lock: lock,
            _guests: guests,
        };
        upgrade.ensure_place()?;
        let cluster = &upgrade.cluster;
        cluster.make_private_dir(cluster.socket_dir())?;
        Ok(Begun::Upgrade(Box::new(upgrade)))
    }

    /// The full version of the old programs. Their major version made the directory.
    pub fn from(&self) -> &str {
        &self.from.version
    }

    /// The full version of the new programs.
    pub fn to(&self) -> &str {
        &self.to.version
    }

    /// Whether the new programs are found from then on without naming their folder.
    pub fn will_be_found(&self) -> bool {
        Programs::of_major(self.to.major).is_some()
    }

    /// The folders of the old and of the new programs.
    pub fn folders(&self) -> [&Path; 2] {
        [self.from.folder(), self.to.folder()]
    }

    /// The number of bytes to copy.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The folder in which the old database will be kept.
    pub fn kept(&self) -> PathBuf {
        place::kept(&self.cluster, self.from.major)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.cluster.data_dir()
    }

    /// Checks that there is space for the copy, and that the old database can be kept beside it.
    fn ensure_place(&self) -> anyhow::Result<()> {
        let kept = self.kept();
        ensure!(
            !kept.exists(),
            "{} already exists, from an earlier upgrade. Remove it, or move it elsewhere.",
            kept.display()
        );
        let (files, data_dir) = (self.cluster.files(), self.data_dir());
        ensure!(
            fs::symlink_metadata(files)?.is_dir()
                && fs::metadata(files)?.dev() == fs::metadata(data_dir)?.dev(),
            "{} is a link or on another disk. The upgrade renames it, so it must be an ordinary folder of the data directory.",
            files.display()
        );
        ensure!(
            !has_tablespaces(files)?,
            "The database has tablespaces outside of the data directory, which this command does not copy: use pg_upgrade yourself."
        );
        let disk = statvfs(data_dir)?;
        #[allow(
            clippy::useless_conversion,
            clippy::allow_attributes,
            reason = "blocks are counted in 32 bits on macOS"
        )]
        let free = u64::from(disk.blocks_available()).saturating_mul(disk.fragment_size());
        let wanted = self.bytes + EMPTY_CLUSTER_BYTES;
        ensure!(
            free >= wanted,
            "The upgrade copies the database, which needs {}, but only {} are free on the disk of {}. Free some space and try again.",
            size::in_words(wanted),
            size::in_words(free),
            data_dir.display()
        );
        Ok(())
    }

    /// Reads from the old database the values that must be the same later, and leaves it stopped cleanly.
    ///
    /// # Errors
    ///
    /// If it does not start, or can't be read.
    pub fn look(&self) -> anyhow::Result<Before> {
        let mut old = Supervisor::start_with(self.cluster.clone(), self.from.clone(), &[])?;
        let facts = Facts::read(old.cluster());
        old.stop();
        Ok(Before(facts?))
    }

    /// Copies the database into a cluster of the new version.
    ///
    /// # Errors
    ///
    /// If `pg_upgrade` fails. The error quotes its last messages, and says where the rest is.
    pub fn copy(&self) -> anyhow::Result<()> {
        let work = place::work(&self.cluster);
        self.cluster.make_private_dir(&work)?;
        let copy = work.join(FILES);
        self.cluster.make_private_dir(&copy)?;
        self.cluster.initdb(&self.to, &copy)?;
        pg_upgrade::run(&self.cluster, &work, [&self.from, &self.to])
    }

    /// Starts the copy with the new programs, and checks that it holds what the database held before.
    ///
    /// # Errors
    ///
    /// If it does not start, or holds something else.
    pub fn open_copy(&self, before: &Before) -> anyhow::Result<Embedded> {
        let copy = place::work(&self.cluster).join(FILES);
        let copy = self.cluster.with_files(copy);
        let supervisor = Supervisor::start_with(copy, self.to.clone(), &[])?;
        let cluster = supervisor.cluster();
        before.0.compare(&Facts::read(cluster)?)?;
        facts::analyze(cluster)?;
        crate::embedded::make_role(cluster)?;
        Ok(Embedded {
            url: cluster.url("sigpersist"),
            is_new: false,
            role: Role::Copy {
                _supervisor: supervisor,
            },
        })
    }

    /// Puts the copy, which must be stopped, in place of the database.
    ///
    /// # Errors
    ///
    /// If a folder can't be renamed. The next start then completes or undoes the upgrade.
    pub fn put_in_place(self) -> anyhow::Result<()> {
        let copy = place::work(&self.cluster).join(FILES);
        place::put_in_place(&self.cluster, &copy, &self.kept())
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        // Between the two renames, the copy is the only database. The next start puts it in place.
        if self.cluster.files().exists()
            && let Err(cause) = place::discard(&self.cluster, |_| {})
        {
            error!(
                cause = format!("{cause:#}"),
                "The files of the upgrade can't be removed; the next start removes them"
            );
        }
    }
}

/// Takes one of the directory's locks. Fails if another process holds it.
fn lock(cluster: &Cluster, name: &str) -> anyhow::Result<File> {
    let path = cluster.data_dir().join(name);
    let lock = open_lock(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "A Sigpersist {} uses {}. An upgrade needs it for itself: stop the server, wait until commands end, and try again.",
            read_owner(lock),
            cluster.data_dir().display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} can't be locked", path.display()))
        }
    }
}

/// Finds the programs of the version that made the directory.
fn old_programs(major: u32, folder: Option<&Path>) -> anyhow::Result<Programs> {
    let programs = match folder {
        Some(folder) => {
            let programs = Programs::to_upgrade_from(folder).with_context(|| {
                format!("There are no Postgres programs in {}.", folder.display())
            })?;
            ensure!(
                programs.major == major,
                "The data directory was made by Postgres {major}, and {} has Postgres {}.",
                folder.display(),
                programs.version
            );
            programs
        }
        None => Programs::of_major(major).with_context(|| {
            format!(
                "The data directory was made by Postgres {major}, whose programs the upgrade needs, too. They were not found in {}. Install them beside the new ones (Debian, Ubuntu: apt-get install postgresql-{major}), or name their folder with --from.",
                folders_in_words()
            )
        })?,
    };
    for name in ["pg_ctl", "pg_controldata", "pg_resetwal"] {
        ensure!(
            programs.path(name).is_file(),
            "The program {name} of Postgres {}, which pg_upgrade needs, is not in {}. Name another folder with --from.",
            programs.version,
            programs.folder().display()
        );
    }
    Ok(programs)
}

fn has_tablespaces(files: &Path) -> anyhow::Result<bool> {
    Ok(files.join("pg_tblspc").read_dir()?.next().is_some())
}

/// The bytes on disk of a cluster's files, without the write-ahead log, since the copy gets its own.
fn bytes_to_copy(files: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![files.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir();
        for entry in entries.with_context(|| format!("{} can't be read", folder.display()))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if !metadata.is_dir() {
                bytes += metadata.blocks() * 512;
            } else if entry.file_name() != "pg_wal" {
                folders.push(entry.path());
            }
        }
    }
    Ok(bytes)
}
