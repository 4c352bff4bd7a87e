//! `sigpersist upgrade-data`. It upgrades from this machine's Postgres to the same version, which runs every step.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{
    FIRST, Program, TestDatabase, assert_success, run, sigpersist, temp_dir, tenant_token,
};

/// The folder of this machine's Postgres programs.
fn programs() -> String {
    let program = TestDatabase::new().program("postgres");
    program.parent().unwrap().display().to_string()
}

/// Fills a data directory with a tenant that has a signature and a deleted thread, and another tenant. Returns a token
/// for the first.
fn filled(data_dir: &Path) -> String {
    let token = tenant_token(|arguments| run(data_dir, arguments));
    run(data_dir, &["tenant", "create", "other"]);
    let server = Program::serve(data_dir);
    let acme = server.client(&token);
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    acme.save("d", "deleted", 0, "x").expect(201);
    let deleted = acme.send("DELETE", "/signature?document=d&thread=deleted", &[], None);
    assert_eq!(deleted.status, 200);
    assert!(server.stop().success());
    token
}

/// The content of a data directory as commands show it: tenants and the verified audit trail.
fn told(data_dir: &Path) -> [String; 2] {
    let tenants = run(data_dir, &["tenant", "list", "--json"]);
    [tenants, run(data_dir, &["audit", "verify", "--all"])]
}

fn upgrade(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = sigpersist(data_dir, &["upgrade-data"]);
    command.args(arguments);
    // Variables for other databases, which must have no effect.
    command.env("PGPORT", "1").env("PGSERVICE", "nowhere");
    command.output().unwrap()
}

/// The only folder with the name of a kept old database.
fn kept(data_dir: &Path) -> PathBuf {
    let entries = data_dir.read_dir().unwrap().map(|entry| entry.unwrap());
    let mut kept = entries.filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let version = name.strip_prefix("postgres.");
        version.is_some_and(|version| version.parse::<u32>().is_ok())
    });
    let found = kept.next().unwrap().path();
    assert!(kept.next().is_none());
    found
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn an_upgrade_keeps_everything_and_the_old_database_beside_it() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let token = filled(&data_dir);
    let before = told(&data_dir);
    // The folder is missing in a copy, or after the system has cleaned temporary files.
    fs::remove_dir(data_dir.join("run")).unwrap();
    let output = upgrade(&data_dir, &["--to", &programs()]);
    assert_success(&output);
    let kept = kept(&data_dir);
    let sentence = String::from_utf8_lossy(&output.stdout);
    assert!(
        sentence.contains(&format!("rm -r '{}'", kept.display())),
        "{sentence}"
    );
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(progress.contains("Copying"), "{progress}");
    assert_eq!(told(&data_dir), before);
    let server = Program::serve(&data_dir);
    let acme = server.client(&token);
    let read = acme.read("d", "t").expect(200);
    assert_eq!(read.json["content"]["signature"]["signature"], FIRST.trim());
    acme.read("d", "deleted").expect(404);
    acme.save("d", "new", 0, "x").expect(201);
    assert!(server.stop().success());
    for leftover in ["upgrade", "postgres.proven"] {
        assert!(!data_dir.join(leftover).exists(), "{leftover}");
    }
    // The kept old database prevents the next upgrade, and can be restored by renaming it.
    refused(
        &upgrade(&data_dir, &["--to", &programs()]),
        &["from an earlier upgrade"],
    );
    fs::remove_dir_all(data_dir.join("postgres")).unwrap();
    let output = sigpersist(&data_dir, &["tenant", "list"]).output().unwrap();
    refused(&output, &["has no folder `postgres`", "rename it"]);
    assert!(!data_dir.join("postgres").exists());
    fs::rename(&kept, data_dir.join("postgres")).unwrap();
    assert_eq!(told(&data_dir), before);
}

#[test]
fn an_upgrade_tells_scripts_what_it_did_wherever_the_directory_is() {
    let folder = temp_dir();
    // `pg_upgrade` passes paths to a shell, so this one has quotes and a command substitution in it.
    let data_dir = folder.path().join(r#"it's "a" $(touch x) \ d"#);
    run(&data_dir, &["tenant", "create", "acme"]);
    let output = upgrade(&data_dir, &["--json", "--to", &programs()]);
    assert_success(&output);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["upgraded"], true);
    assert_eq!(facts["audit_whole"], true);
    assert_eq!(
        facts["kept"].as_str().unwrap(),
        kept(&data_dir).display().to_string()
    );
}

#[test]
fn an_upgrade_is_refused_with_what_to_do() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    refused(&upgrade(&data_dir, &[]), &["nothing to upgrade"]);
    assert!(!data_dir.exists());
    let server = Program::serve(&data_dir);
    refused(
        &upgrade(&data_dir, &["--to", &programs()]),
        &["A Sigpersist server (process ", "stop the server"],
    );
    assert!(server.stop().success());
    let empty = folder.path().join("empty").display().to_string();
    refused(
        &upgrade(&data_dir, &["--to", &empty]),
        &["no Postgres programs in", &empty],
    );
    refused(
        &upgrade(&data_dir, &["--to", &programs(), "--from", &empty]),
        &["no Postgres programs in", &empty],
    );
    let mut command = sigpersist(&data_dir, &["upgrade-data"]);
    command.env("DATABASE_URL", "postgres://me@127.0.0.1/d");
    refused(&command.output().unwrap(), &["with its own tools"]);
    // A version that is on no machine.
    let version_file = data_dir.join("postgres/PG_VERSION");
    let version = fs::read_to_string(&version_file).unwrap();
    fs::write(&version_file, "13\n").unwrap();
    refused(
        &upgrade(&data_dir, &["--to", &programs()]),
        &["made by Postgres 13", "/usr/lib/postgresql/*/bin", "--from"],
    );
    let output = sigpersist(&data_dir, &["tenant", "list"]).output().unwrap();
    refused(&output, &["made by Postgres 13", "sigpersist upgrade-data"]);
    fs::write(&version_file, version).unwrap();
    run(&data_dir, &["tenant", "list"]);
    assert!(!data_dir.join("upgrade").exists());
}

#[test]
fn an_upgrade_that_is_killed_leaves_everything_as_it_was() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    filled(&data_dir);
    let before = told(&data_dir);
    let programs = programs();
    // Kills the upgrade at the beginning of each part.
    for part in ["Upgrading", "Copying", "Trying"] {
        let mut command = sigpersist(&data_dir, &["upgrade-data", "--to", &programs]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let reached = lines.any(|line| line.unwrap().starts_with(part));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(reached, "{part}");
        assert_eq!(told(&data_dir), before, "{part}");
        assert!(!data_dir.join("upgrade").exists(), "{part}");
    }
    assert_success(&upgrade(&data_dir, &["--to", &programs]));
    assert_eq!(told(&data_dir), before);
}

#[test]
fn an_upgrade_that_ends_between_two_renames_is_settled_by_the_next_start() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    filled(&data_dir);
    assert_success(&upgrade(&data_dir, &["--to", &programs()]));
    run(&data_dir, &["tenant", "create", "third"]);
    let after = told(&data_dir);
    let (files, proven, kept) = (
        data_dir.join("postgres"),
        data_dir.join("postgres.proven"),
        kept(&data_dir),
    );
    // The old database has been renamed already, but the new one has not.
    fs::rename(&files, &proven).unwrap();
    assert_eq!(told(&data_dir), after);
    assert!(kept.exists() && !proven.exists());
    // Before that rename, the copy is useless, since the database may have changed since.
    fs::rename(&kept, &proven).unwrap();
    assert_eq!(told(&data_dir), after);
    assert!(!proven.exists());
    // A copy that was never proven is useless too.
    fs::create_dir_all(data_dir.join("upgrade/postgres")).unwrap();
    assert_eq!(told(&data_dir), after);
    assert!(!data_dir.join("upgrade").exists());
}
