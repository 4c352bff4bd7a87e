//! Puts an upgraded copy in place. Whatever interrupts an upgrade, the old or the new database is in place, complete.
//!
//! 1. The copy is made and tested in `upgrade/postgres`, while `postgres` is the old database and nobody changes it.
//! 2. `upgrade/postgres` becomes `postgres.proven`.
//! 3. `postgres` becomes `postgres.15`, which is kept.
//! 4. `postgres.proven` becomes `postgres`.
//!
//! If an upgrade is interrupted before step 3, the copy is deleted, since the old database may be changed from then
//! on. If it is interrupted after step 3, only step 4 remains. `settle` does either when the directory is opened.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tracing::warn;

use super::super::cluster::{Cluster, FILES};
use super::super::orphan::{stop_orphan, wait_for_others_in};

/// The folder in which a copy is made.
const WORK: &str = "upgrade";
/// The folder of a copy that was tested successfully.
pub(crate) const PROVEN: &str = "postgres.proven";

/// The folder in which the upgrade works.
pub(super) fn work(cluster: &Cluster) -> PathBuf {
    cluster.data_dir().join(WORK)
}

/// The name under which the database of an old version is kept.
pub(super) fn kept(cluster: &Cluster, major: u32) -> PathBuf {
    cluster.data_dir().join(format!("{FILES}.{major}"))
}

/// Puts a proven copy in place of the database, which is kept under another name. Neither may be running.
pub(super) fn put_in_place(cluster: &Cluster, copy: &Path, kept: &Path) -> anyhow::Result<()> {
    let proven = cluster.data_dir().join(PROVEN);
    rename(copy, &proven)?;
    rename(cluster.files(), kept)?;
    rename(&proven, cluster.files())?;
    fs::remove_dir_all(work(cluster)).context("What is left of the upgrade can't be removed")
}

/// Renames a folder. The rename survives a loss of power.
fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    let context = || format!("{} can't be renamed to {}", from.display(), to.display());
    fs::rename(from, to).with_context(context)?;
    let folder = to.parent().context("it is in the data directory")?;
    File::open(folder)?.sync_all().with_context(context)
}

/// Completes or undoes an interrupted upgrade. Only for the holder of the lock, while Postgres does not run.
pub(crate) fn settle(cluster: &Cluster) -> anyhow::Result<()> {
    let files = cluster.files();
    let proven = cluster.data_dir().join(PROVEN);
    if !files.exists() && proven.exists() {
        rename(&proven, files)?;
        warn!(
            data_dir = %cluster.data_dir().display(),
            "An upgrade of Postgres was interrupted after its copy was verified; the copy is now the database, and the old one is kept beside it"
        );
    }
    discard(cluster, |leftover| {
        warn!(
            leftover = %leftover.display(),
            "An upgrade of Postgres was interrupted, and the database was not changed; removing the unfinished copy. \
             To upgrade, stop the server and run `sigpersist upgrade-data` again"
        );
    })?;
    if files.exists() {
        return Ok(());
    }
    if let Some(kept) = kept_folder(cluster.data_dir())? {
        bail!(
            "The data directory {} has no folder `{FILES}`, but one called `{kept}`, which an upgrade kept. To go back to it, rename it to `{FILES}`.",
            cluster.data_dir().display()
        );
    }
    Ok(())
}

/// The name of a folder with an old database that an upgrade kept, if there is one.
pub(crate) fn kept_folder(data_dir: &Path) -> std::io::Result<Option<String>> {
    let prefix = format!("{FILES}.");
    let mut names = data_dir
        .read_dir()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.find(|name| {
        let version = name.strip_prefix(&prefix);
        version.is_some_and(|version| version.parse::<u32>().is_ok())
    }))
}

/// Removes folders that an upgrade made and did not put in place. Calls `tell` for each folder first.
pub(super) fn discard(cluster: &Cluster, tell: impl Fn(&Path)) -> anyhow::Result<()> {
    let proven = cluster.data_dir().join(PROVEN);
    let work = work(cluster);
    for (leftover, files) in [(&work, work.join(FILES)), (&proven, proven.clone())] {
        if leftover.exists() {
            tell(leftover);
            // These programs may have been about to start either Postgres.
            wait_for_others_in(leftover)?;
            stop_orphan(cluster)?;
            stop_orphan(&cluster.with_files(files))?;
            fs::remove_dir_all(leftover)
                .with_context(|| format!("{} can't be removed", leftover.display()))?;
        }
    }
    Ok(())
}
