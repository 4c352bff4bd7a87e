//! Finds the Postgres programs that are installed on the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tracing::info;

/// The major versions that the embedded database supports.
const SUPPORTED: std::ops::RangeInclusive<u32> = 14..=18;

/// Folders where distributions keep the programs outside of PATH; the last part may hold one `*` before `/bin`.
const USUAL_FOLDERS: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
    "/usr/pgsql-*/bin",                                   // Fedora and RHEL, from postgresql.org
    "/usr/libexec/postgresql*/bin",                       // Alpine
    "/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew on Apple silicon
    "/usr/local/opt/postgresql@*/bin",                    // Homebrew on Intel
    "/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",    // Homebrew on Linux
];

/// The folders of Postgres's libraries, relative to the folder of its programs; `*` stands for the major version.
const LIBRARY_FOLDERS: [&str; 5] = [
    "../lib",                // Debian, Ubuntu, postgresql.org
    "../lib/postgresql",     // Homebrew, built from source
    "../lib64/pgsql",        // Fedora, RHEL
    "../../lib/postgresql*", // Alpine
    "../lib/pgsql",
];
/// The library of PL/pgSQL, on Linux and on macOS.
const LIBRARY_NAMES: [&str; 2] = ["plpgsql.so", "plpgsql.dylib"];

/// A folder with `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    folder: PathBuf,
    /// The major version, for example 15 for 15.3.
    pub(super) major: u32,
    /// The full version, for example `15.3`.
    pub(super) version: String,
}

impl Programs {
    /// Finds the newest supported programs, or those of the version that an existing cluster needs.
    ///
    /// # Errors
    ///
    /// If there are none. The error says how to install them.
    pub(super) fn find(wanted: Option<u32>) -> anyhow::Result<Self> {
        let found = Self::all();
        let newest = newest_of(&found, |major| SUPPORTED.contains(&major));
        let Some(wanted) = wanted else {
            return newest.cloned().with_context(|| {
                format!(
                    "No Postgres programs (version {} to {}) were found on this machine.\n\
                     Install them (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), or set DATABASE_URL to a Postgres of yours.",
                    SUPPORTED.start(),
                    SUPPORTED.end()
                )
            });
        };
        if let Some(newest) = newest.filter(|newest| newest.major > wanted) {
            info!(
                "The data directory belongs to Postgres {wanted}, and Postgres {} is on this machine, too. To use it, run `sigpersist upgrade-data`",
                newest.major
            );
        }
        newest_of(&found, |major| major == wanted).cloned().with_context(|| {
            format!(
                "The data directory was made by Postgres {wanted}, whose programs are not on this machine.\n\
                 Install Postgres {wanted} again. To use a newer one, install both and run `sigpersist upgrade-data`."
            )
        })
    }

    /// Programs of one major version, if this machine has any.
    pub(super) fn of_major(major: u32) -> Option<Self> {
        newest_of(&Self::all(), |found| found == major).cloned()
    }

    /// All programs of this machine, in the order in which they are looked for.
    fn all() -> Vec<Self> {
        let folders = candidate_folders();
        let found = folders.iter().filter_map(|folder| Self::in_folder(folder));
        found.collect()
    }

    /// Programs that an upgrade starts from. They need not be able to make new clusters.
    pub(super) fn to_upgrade_from(folder: &Path) -> Option<Self> {
        // Links are followed, since the programs look for their own files next to themselves.
        let program = folder.join("postgres").canonicalize().ok()?;
        let output = Command::new(&program).arg("--version").output().ok()?;
        let (major, version) = parse_version(&String::from_utf8(output.stdout).ok()?)?;
        Some(Self {
            folder: program.parent()?.to_owned(),
            major,
            version,
        })
    }

    /// The programs of a folder, if it has any that run.
    pub(super) fn in_folder(folder: &Path) -> Option<Self> {
        Self::to_upgrade_from(folder).filter(|programs| programs.path("initdb").is_file())
    }

    /// Refuses programs that the embedded database does not support.
    pub(super) fn ensure_supported(&self) -> anyhow::Result<()> {
        ensure!(
            SUPPORTED.contains(&self.major),
            "{} has Postgres {}; the embedded database works with versions {} to {}.",
            self.folder.display(),
            self.version,
            SUPPORTED.start(),
            SUPPORTED.end()
        );
        Ok(())
    }

    /// The programs that are in the same folder now, if they run and have the same major version.
    pub(super) fn now(&self) -> Option<Self> {
        Self::in_folder(&self.folder).filter(|now| now.major == self.major)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The library of PL/pgSQL, which Postgres loads for each connection that needs it; none if it is not found.
    pub(super) fn library(&self) -> Option<PathBuf> {
        let library_in = |folder: PathBuf| {
            let names = LIBRARY_NAMES.map(|name| folder.join(name));
            names.into_iter().find(|path| path.is_file())
        };
        let usual = LIBRARY_FOLDERS.iter().map(|relative| {
            let relative = relative.replace('*', &self.major.to_string());
            self.folder.join(relative)
        });
        // Each start does this, so no program is run if the library is in a usual place.
        let told = || {
            let told = Command::new(self.path("pg_config"))
                .arg("--pkglibdir")
                .output();
            let told = told.ok().filter(|output| output.status.success())?;
            let folder = String::from_utf8_lossy(&told.stdout);
            library_in(PathBuf::from(folder.trim()))
        };
        usual.into_iter().find_map(library_in).or_else(told)
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The newest programs of a suitable major version; the first if several have the same version.
fn newest_of(found: &[Programs], suits: impl Fn(u32) -> bool) -> Option<&Programs> {
    let suitable = found.iter().filter(|programs| suits(programs.major));
    // `max_by_key` takes the last of several maxima, which is the first one in reverse order.
    suitable.rev().max_by_key(|programs| programs.major)
}

/// The places where programs are looked for, as part of a sentence.
pub(super) fn folders_in_words() -> String {
    format!(
        "PATH, the folder that pg_config names, and {}",
        USUAL_FOLDERS.join(", ")
    )
}

/// Parses the major and the full version from `postgres (PostgreSQL) 15.18 (Debian …)`, also for `16beta1`.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text
        .split_once("(PostgreSQL) ")?
        .1
        .split_whitespace()
        .next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

fn candidate_folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    folders.extend(USUAL_FOLDERS.iter().flat_map(|pattern| expand(pattern)));
    folders
}

/// Expands the one `*` of a pattern of [`USUAL_FOLDERS`].
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![pattern.into()];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = Path::new(parent).read_dir() else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_versions_are_read() {
        for (text, version) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some((15, "15.18")),
            ),
            ("postgres (PostgreSQL) 18beta1\n", Some((18, "18beta1"))),
            ("something else", None),
        ] {
            let version = version.map(|(major, version)| (major, version.to_owned()));
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn usual_folders_expand_to_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pgsql-15", "pgsql-16", "other"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut found = expand(&format!("{}/pgsql-*/bin", folder.path().display()));
        found.sort();
        assert_eq!(
            found,
            [
                folder.path().join("pgsql-15/bin"),
                folder.path().join("pgsql-16/bin")
            ]
        );
    }
}
