//! Detects that the programs on disk are no longer the running ones, for example after an upgrade of the system's
//! packages.
//!
//! A Postgres whose files were replaced keeps running. But each new connection loads the library of PL/pgSQL from the
//! disk, and a library of another release does not fit. Package managers replace one file after another, so nothing
//! is reported until all files have been there, unchanged, for a while. Each replacement is reported once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::programs::Programs;

/// The interval between checks of the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The time that the files must be unchanged before they count as complete.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// The running programs, and the state of their files at the start.
#[derive(Debug)]
pub(super) struct Running {
    programs: Programs,
    files: Vec<PathBuf>,
    at_start: Vec<Option<Identity>>,
    looked_at: Instant,
    /// The state that was found instead, and since when.
    found: Option<(Vec<Option<Identity>>, Instant)>,
    /// The state that was reported last.
    told: Option<Vec<Option<Identity>>>,
    told_of_nothing: bool,
}

/// The programs that replaced the running ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// Programs that can run the same database.
    By(Programs),
    /// Programs of another major version, which can't run the same database.
    ByOthers(Programs),
    /// No programs that run.
    ByNothing,
}

/// Attributes that distinguish a file from its replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl Running {
    /// Records the present state of the files. Call this before the start, so that no replacement in between is
    /// missed.
    pub(super) fn new(programs: Programs) -> Self {
        let mut files = vec![programs.path("postgres")];
        files.extend(programs.library());
        Self {
            at_start: identities(&files),
            programs,
            files,
            looked_at: Instant::now(),
            found: None,
            told: None,
            told_of_nothing: false,
        }
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Reports each replacement of the programs once. This is cheap, and may be called at any rate.
    pub(super) fn look(&mut self) -> Option<Replaced> {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return None;
        }
        self.look_now(SETTLED_AFTER)
    }

    fn look_now(&mut self, settled_after: Duration) -> Option<Replaced> {
        self.looked_at = Instant::now();
        let now = identities(&self.files);
        if now == self.at_start || self.told.as_ref() == Some(&now) {
            self.found = None;
            self.told_of_nothing = false;
            return None;
        }
        let since = match &self.found {
            Some((found, since)) if *found == now => *since,
            _ => self.looked_at,
        };
        self.found = Some((now.clone(), since));
        if since.elapsed() < settled_after {
            return None;
        }
        self.found = None;
        let replaced = self.replaced(&now);
        if replaced == Replaced::ByNothing {
            // Missing files may still come, so they are checked again.
            return (!std::mem::replace(&mut self.told_of_nothing, true)).then_some(replaced);
        }
        self.told = Some(now);
        Some(replaced)
    }

    fn replaced(&self, now: &[Option<Identity>]) -> Replaced {
        // If files are missing, the others may not fit together.
        let is_complete = now.iter().all(Option::is_some);
        let here = Programs::in_folder(self.programs.folder()).filter(|_| is_complete);
        let programs = here.or_else(|| Programs::find(Some(self.programs.major)).ok());
        match programs {
            None => Replaced::ByNothing,
            Some(programs) if programs.major == self.programs.major => Replaced::By(programs),
            Some(programs) => Replaced::ByOthers(programs),
        }
    }
}

fn identities(files: &[PathBuf]) -> Vec<Option<Identity>> {
    files.iter().map(|file| Identity::of(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Installs a program as package managers do: under another name, renamed over the old one when it is complete.
    fn install(folder: &Path, version: &str) {
        for name in ["postgres", "initdb"] {
            // In a process of its own: a program can't be run while another test's child has it open for writing.
            let script = format!(
                "printf '#!/bin/sh\\necho \"postgres (PostgreSQL) {version}\"\\n' > new && chmod 755 new && mv new {name}"
            );
            let mut shell = std::process::Command::new("sh");
            let status = shell.arg("-c").arg(script).current_dir(folder).status();
            assert!(status.unwrap().success());
        }
    }

    /// The version that is reported, and whether it can run the same database.
    fn told(replaced: Option<Replaced>) -> Option<(String, bool)> {
        match replaced? {
            Replaced::By(programs) => Some((programs.version, true)),
            Replaced::ByOthers(programs) => Some((programs.version, false)),
            Replaced::ByNothing => Some(("none".to_owned(), false)),
        }
    }

    fn is(version: &str, fits: bool) -> Option<(String, bool)> {
        Some((version.to_owned(), fits))
    }

    #[test]
    fn each_replacement_is_told_once_when_it_is_complete() {
        let home = tempfile::tempdir().unwrap();
        // A version of which this machine has no programs.
        let folder = home.path().join("bin");
        let library = home.path().join("lib/plpgsql.so");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(home.path().join("lib")).unwrap();
        fs::write(&library, "").unwrap();
        install(&folder, "97.1");
        let programs = Programs::in_folder(&folder).unwrap();
        let mut running = Running::new(programs);
        let mut look = || told(running.look_now(Duration::ZERO));
        assert_eq!(look(), None);
        install(&folder, "97.2");
        assert_eq!(look(), is("97.2", true));
        assert_eq!(look(), None);
        // The library belongs to the programs, which count as missing without it.
        fs::remove_file(&library).unwrap();
        assert_eq!(look(), is("none", false));
        assert_eq!(look(), None);
        fs::write(&library, "new").unwrap();
        assert_eq!(look(), is("97.2", true));
        install(&folder, "98.0");
        assert_eq!(look(), is("98.0", false));
        assert_eq!(look(), None);
    }

    #[test]
    fn what_still_changes_is_not_taken_for_complete() {
        let home = tempfile::tempdir().unwrap();
        install(home.path(), "97.1");
        let programs = Programs::in_folder(home.path()).unwrap();
        let mut running = Running::new(programs);
        for minor in 2..5 {
            install(home.path(), &format!("97.{minor}"));
            let look = running.look_now(Duration::from_secs(3600));
            assert_eq!(told(look), None, "{minor}");
        }
        assert_eq!(told(running.look_now(Duration::ZERO)), is("97.4", true));
    }
}
