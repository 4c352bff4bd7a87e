//! Noticing that the programs on disk are no longer the ones that run, as after an upgrade of the system's packages.
//!
//! A Postgres whose files were replaced goes on, but each new connection loads the library of PL/pgSQL from the disk, and one
//! of another release does not fit. Package managers replace file by file, so nothing is concluded until all files have been
//! there, unchanged, for a while. Each replacement is told once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::programs::Programs;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long they must have been the same before they are taken for complete.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// The programs that run, and their files as they were at the start.
#[derive(Debug)]
pub(super) struct Running {
    programs: Programs,
    files: Vec<PathBuf>,
    at_start: Vec<Option<Identity>>,
    looked_at: Instant,
    /// What was found in their place, and since when.
    found: Option<(Vec<Option<Identity>>, Instant)>,
    /// What was told last.
    told: Option<Vec<Option<Identity>>>,
    told_of_nothing: bool,
}

/// What is there instead of the programs that run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// Programs that can run the same database.
    By(Programs),
    /// Programs that can't: of another major version.
    ByOthers(Programs),
    /// Nothing that runs.
    ByNothing,
}

/// What tells a file from the one that replaces it.
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
    /// Notes how the files are now. Call it before the start, so that nothing is replaced unseen in between.
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

    /// What the programs were replaced by, once for each time that they were. Cheap, and may be called at any rate.
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
            // What is missing may come yet, so it is looked for again.
            return (!std::mem::replace(&mut self.told_of_nothing, true)).then_some(replaced);
        }
        self.told = Some(now);
        Some(replaced)
    }

    fn replaced(&self, now: &[Option<Identity>]) -> Replaced {
        // Half of them would not fit the other half.
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

    /// Puts a program there as package managers do: under another name, renamed over the old one when it is whole.
    fn install(folder: &Path, version: &str) {
        for name in ["postgres", "initdb"] {
            // By a process of its own: a program can't be run while another test's child has it open for writing.
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
        // Of a version of which no programs are on this machine.
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
        // The library belongs to them, and half of them is nothing.
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
