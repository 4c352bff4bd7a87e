//! Running `pg_upgrade`, and quoting what it says when it fails.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::super::cluster::{Cluster, FILES};
use super::super::programs::Programs;
use super::super::supervisor::die_with_this_thread;

/// The ports of both clusters while it runs them: as in [`Cluster::url`], so that the socket's path is no longer.
const PORTS: [&str; 2] = ["--old-port=5432", "--new-port=5432"];
/// Lines that a failure quotes.
const QUOTED_LINES: usize = 8;

/// Copies what the cluster holds into the new one in `work`, a folder of its data directory, from the first programs to the second.
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
        // Some of what it writes it writes where it is.
        .current_dir(work)
        .arg("--old-bindir")
        .arg(from.folder())
        .arg("--new-bindir")
        .arg(to.folder())
        // It gives paths to a shell, between double quotes: that of the data directory may be anything.
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
        // PostgreSQL 15.20, and the releases of other versions of the same day, began to store it.
        "\nThe new programs are of an earlier date than those that the directory was used with: install their newest minor release."
    } else {
        ""
    };
    bail!(
        "pg_upgrade failed, and the database is as it was. All that was said is in {}; this is of it:\n{}{advice}",
        log_path.display(),
        quoted(&text)
    );
}

/// Adds to the log those that are named in it, which are removed with the copy; gives all of it.
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

/// The lines that tell why: those that say that they are errors, or else the last ones.
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
