//! Runs `pg_upgrade`, and quotes its messages if it fails.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::super::cluster::{Cluster, FILES};
use super::super::programs::Programs;
use super::super::supervisor::die_with_this_thread;

/// The ports of both clusters while `pg_upgrade` runs them: the port of [`Cluster::url`], so that the socket's path
/// is no longer.
const PORTS: [&str; 2] = ["--old-port=5432", "--new-port=5432"];
/// The number of lines that an error quotes.
const QUOTED_LINES: usize = 8;

/// Copies a cluster's content into the new cluster in `work`, a folder of the data directory.
///
/// `programs` are the old and the new programs.
pub(super) fn run(cluster: &Cluster, work: &Path, programs: [&Programs; 2]) -> anyhow::Result<()> {
    let log_path = cluster.data_dir().join("upgrade.log");
    let log = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&log_path)
        .with_context(|| format!("{} can't be written", log_path.display()))?;
    let socket_dir = cluster.plain_socket_dir();
    cluster.make_private_dir(&socket_dir)?;
    let [from, to] = programs;
    let mut pg_upgrade = cluster.command(&to.path("pg_upgrade"));
    pg_upgrade
        // `pg_upgrade` writes some files to its working directory.
        .current_dir(work)
        .arg("--old-bindir")
        .arg(from.folder())
        .arg("--new-bindir")
        .arg(to.folder())
        // `pg_upgrade` passes paths to a shell, between double quotes. They are relative, since the data directory's
        // path may have any characters.
        .arg("--old-datadir")
        .arg(Path::new("..").join(FILES))
        .arg("--new-datadir")
        .arg(FILES)
        .arg("--socketdir")
        .arg(&socket_dir)
        .arg("--username=postgres")
        .args(PORTS)
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log));
    die_with_this_thread(&mut pg_upgrade, Signal::SIGKILL);
    let status = pg_upgrade.status().context("pg_upgrade can't be started")?;
    if status.success() {
        return Ok(());
    }
    let text = gather_logs(&log_path, work)?;
    let advice = if text.contains("unrecognized parameter \"pg_attver\"") {
        // PostgreSQL 15.20, and releases of other versions on the same day, began to store it.
        "\nThe new programs are older than those that last used the directory: install their newest minor release."
    } else {
        ""
    };
    bail!(
        "pg_upgrade failed, and the database was not changed. Its whole log is in {}; this is a part of it:\n{}{advice}",
        log_path.display(),
        quoted(&text)
    );
}

/// Appends the logs that are named in the log, since they are removed with the copy. Returns the whole text.
fn gather_logs(log_path: &Path, work: &Path) -> anyhow::Result<String> {
    let context = || {
        format!(
            "pg_upgrade failed, and {} can't be read",
            log_path.display()
        )
    };
    let mut text = String::from_utf8_lossy(&fs::read(log_path).with_context(context)?).into_owned();
    // `Consult the last few lines of "…/pg_upgrade_dump_16385.log" for the probable cause of the failure.`
    let named: Vec<_> = text
        .split('"')
        .filter(|part| part.ends_with(".log") || part.ends_with(".txt"))
        .map(PathBuf::from)
        .collect();
    for path in named {
        if let Ok(more) = fs::read(work.join(&path)) {
            text.push_str(&format!("\n{}:\n", path.display()));
            text.push_str(&String::from_utf8_lossy(&more));
        }
    }
    fs::write(log_path, &text).with_context(context)?;
    Ok(text)
}

/// The lines that explain a failure: lines with an error, otherwise the last ones.
fn quoted(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.starts_with("command:") && line.chars().any(|letter| letter.is_alphanumeric())
        })
        .collect();
    let mut errors = lines.clone();
    errors.retain(|line| {
        ["error:", "ERROR:", "FATAL:", "PANIC:", "DETAIL:"]
            .iter()
            .any(|word| line.contains(word))
    });
    if errors.is_empty() {
        errors = lines;
    }
    let first = errors.len().saturating_sub(QUOTED_LINES);
    errors.split_off(first).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_quoted_before_the_statement_that_they_are_of() {
        let mut text = "Performing Consistency Checks\n*failure*\n\ncommand: \"/x/pg_restore\" --error: x\n\
            pg_restore: error: could not execute query: ERROR:  unrecognized parameter \"pg_attver\"\nCommand was:\n"
            .to_owned();
        for column in 0..20 {
            text.push_str(&format!("ALTER TABLE ONLY t ALTER COLUMN c{column} …\n"));
        }
        assert_eq!(
            quoted(&text),
            "pg_restore: error: could not execute query: ERROR:  unrecognized parameter \"pg_attver\""
        );
    }

    #[test]
    fn the_last_lines_are_quoted_where_none_says_that_it_is_an_error() {
        let text = "Checking cluster versions   ok\n-----\n\ncommand: \"/x/pg_ctl\" start\n\
            program \"postgres\" was found by \"/x/pg_ctl\" but was not the same version as pg_ctl\n";
        assert_eq!(
            quoted(text),
            "Checking cluster versions   ok\n\
             program \"postgres\" was found by \"/x/pg_ctl\" but was not the same version as pg_ctl"
        );
    }
}
