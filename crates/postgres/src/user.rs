//! The user that runs Postgres, which does not run as root, and the folders that this user can reach.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use nix::unistd::{Gid, Uid, User, geteuid};

use super::cluster::FILES;

/// Whether the user that would run Postgres can reach this folder; always true if we are not root.
pub fn reachable(folder: &Path) -> bool {
    match other_user(&folder.join(FILES)) {
        Ok(Some(user)) => matches!(first_closed_folder(folder, user.uid, user.gid), Ok(None)),
        _ => true,
    }
}

/// The folder nearest to the root, on the way to this one, that the user can't enter.
pub(super) fn first_closed_folder(
    folder: &Path,
    uid: Uid,
    gid: Gid,
) -> std::io::Result<Option<PathBuf>> {
    let mut closed = None;
    for ancestor in folder.ancestors() {
        let metadata = fs::metadata(ancestor)?;
        let may_enter = if metadata.uid() == uid.as_raw() {
            0o100
        } else if metadata.gid() == gid.as_raw() {
            0o010
        } else {
            0o001
        };
        if metadata.mode() & may_enter == 0 {
            closed = Some(ancestor.to_owned());
        }
    }
    Ok(closed)
}

/// The user that runs Postgres if we are root: the owner of existing files, otherwise `postgres` or `nobody`. None if
/// we are not root.
pub(super) fn other_user(files: &Path) -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    if let Ok(metadata) = fs::metadata(files)
        && metadata.uid() != 0
        && let Some(user) = User::from_uid(Uid::from_raw(metadata.uid()))?
    {
        return Ok(Some(user));
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!(
        "Postgres does not run as root, and this machine has no user `postgres` or `nobody` to run it as."
    )
}
