//! Finding the Postgres programs that are installed on the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

/// Major versions that the embedded database works with.
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

/// A folder with `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    folder: PathBuf,
    /// The major version, 15 for 15.3.
    pub(super) major: u32,
}

impl Programs {
    /// The newest supported programs; those of one major version, where a cluster of that version exists.
    ///
    /// # Errors
    ///
    /// Says how to install them.
    pub(super) fn find(wanted: Option<u32>) -> anyhow::Result<Self> {
        let mut found: Vec<_> = candidate_folders()
            .into_iter()
            .filter_map(Self::in_folder)
            .collect();
        found.sort_by_key(|programs| programs.major);
        found.dedup();
        let suitable = found.iter().rfind(|programs| match wanted {
            Some(major) => programs.major == major,
            None => SUPPORTED.contains(&programs.major),
        });
        match (suitable, wanted) {
            (Some(programs), _) => Ok(programs.clone()),
            (None, Some(major)) => bail!(
                "The data directory was made by Postgres {major}, whose programs are not on this machine.\n\
                 Install Postgres {major} again, or export the data with it and import it into a new directory."
            ),
            (None, None) => bail!(
                "No Postgres programs (version {} to {}) were found on this machine.\n\
                 Install them (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), or set DATABASE_URL to a Postgres of yours.",
                SUPPORTED.start(),
                SUPPORTED.end()
            ),
        }
    }

    fn in_folder(folder: PathBuf) -> Option<Self> {
        // Links are followed, since the programs look for their own files beside themselves.
        let folder = folder
            .join("postgres")
            .canonicalize()
            .ok()?
            .parent()?
            .to_owned();
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        let major = parse_major(&String::from_utf8(output.stdout).ok()?)?;
        Some(Self { folder, major })
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`, also for `16beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
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
    fn majors_are_read_from_all_kinds_of_versions() {
        for (text, major) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("something else", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
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
