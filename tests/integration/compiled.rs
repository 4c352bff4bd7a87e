//! Compiled plugins on disk: authentic files are used, others are replaced, and no request fails because of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use sigpersist::plugins;
use sigpersist::tenants;
use sigpersist_model::context::Scope;

use crate::support::guest::Guest;
use crate::support::{FIRST, Program, SIGNER_TAGS, TestApp, run, sigpersist, temp_dir};

/// A server that keeps compiled plugins in this folder, and a tenant with the hook `signer-tags`.
fn app_with_hook(folder: &Path) -> TestApp {
    let app = TestApp::start_with(|config| config.hooks.cache_dir = Some(folder.to_owned()));
    let _client = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    app
}

/// Another server on the same database and folder, as after a restart.
fn restarted(app: &TestApp, folder: &Path) -> TestApp {
    app.replica_with(|config| config.hooks.cache_dir = Some(folder.to_owned()))
}

/// Saves a signature and asserts that the hook has tagged it.
#[track_caller]
fn saves(app: &TestApp, document: &str) {
    let saved = app
        .client("acme", &Scope::APPLICATION)
        .save(document, "t", 0, FIRST.trim())
        .expect(201);
    assert_eq!(saved.tags().len(), 3);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_restart_compiles_nothing_and_reads_no_component() {
    let folder = temp_dir();
    let app = app_with_hook(folder.path());
    saves(&app, "a");
    // One compilation serves the upload, the binding and the save.
    assert_eq!(app.app.engine.compilations(), 1);
    app.database.execute(
        "ALTER TABLE plugin_revisions DROP CONSTRAINT plugin_revisions_sha256_check;
         UPDATE plugin_revisions SET component = 'unreadable'",
    );
    let again = restarted(&app, folder.path());
    saves(&again, "b");
    assert_eq!(again.app.engine.compilations(), 0);
    // The upload of a known component does not compile it again, either.
    again.upload("again", SIGNER_TAGS).unwrap();
    assert_eq!(again.app.engine.compilations(), 0);
}

#[test]
fn what_is_not_authentic_is_compiled_anew_and_replaced() {
    let folder = temp_dir();
    let app = app_with_hook(folder.path());
    let [path] = files(folder.path()).try_into().unwrap();
    let good = fs::read(&path).unwrap();
    let flipped = |index: usize| {
        let mut bytes = good.clone();
        bytes[index] ^= 1;
        bytes
    };
    let other = Guest::default().component();
    app.upload("other", &other).unwrap();
    let foreign = files(folder.path()).into_iter().find(|file| *file != path);
    let damages = [
        flipped(0),
        flipped(20),
        flipped(good.len() / 2),
        flipped(good.len() - 1),
        good[..good.len() / 2].to_vec(),
        good[..10].to_vec(),
        Vec::new(),
        [&good[..], b"x"].concat(),
        // The code alone, without its tag.
        good[40..].to_vec(),
        // A valid file of another component.
        fs::read(foreign.unwrap()).unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        fs::write(&path, damage).unwrap();
        let damaged = restarted(&app, folder.path());
        saves(&damaged, &format!("damaged {number}"));
        assert_eq!(damaged.app.engine.compilations(), 1, "damage {number}");
        let replaced = restarted(&app, folder.path());
        saves(&replaced, &format!("replaced {number}"));
        assert_eq!(replaced.app.engine.compilations(), 0, "damage {number}");
    }
}

#[test]
fn another_master_key_trusts_nothing_that_was_kept() {
    let folder = temp_dir();
    let app = app_with_hook(folder.path());
    let [path] = files(folder.path()).try_into().unwrap();
    let before = fs::read(&path).unwrap();
    let master_key = app.database.folder.path().join("other.key");
    fs::write(&master_key, "08".repeat(32)).unwrap();
    let other = app.replica_with(|config| {
        config.hooks.cache_dir = Some(folder.path().to_owned());
        config.master_key_file = Some(master_key);
    });
    // The other master key can't decrypt the tenant's secret for a request, so the test loads the chain directly.
    let acme = tenants::find(&other.app, "acme").unwrap().id;
    plugins::chain(&other.app, acme).unwrap();
    assert_eq!(other.app.engine.compilations(), 1);
    assert_ne!(fs::read(&path).unwrap(), before);
}

#[test]
fn nothing_is_compiled_again_after_the_master_key_was_rotated() {
    let folder = temp_dir();
    let server = app_with_hook(folder.path());
    saves(&server, "a");
    // Each call stands for a new process, which reads the master key for itself.
    let command = || restarted(&server, folder.path());
    for round in 0..2 {
        let actor = sigpersist_model::audit::Actor::command_line();
        tenants::rotate_master_key(&command().app, &actor, false, |_, _| {}).unwrap();
        // Files from before the rotation stay valid.
        let after = command();
        saves(&after, &format!("after {round}"));
        assert_eq!(after.app.engine.compilations(), 0);
        // The server started before the rotation. Commands accept the files that it writes, and it accepts theirs.
        let component = |more: i32| {
            Guest {
                definitions: &format!("(global i32 (i32.const {more}))"),
                ..Guest::default()
            }
            .component()
        };
        let before = server.app.engine.compilations();
        server.upload("by-server", &component(2 * round)).unwrap();
        assert_eq!(server.app.engine.compilations(), before + 1);
        let bound = command();
        bound.set("acme", "by-server", "by-server", |_| {}).unwrap();
        assert_eq!(bound.app.engine.compilations(), 0);
        let uploaded = command();
        uploaded
            .upload("by-command", &component(2 * round + 1))
            .unwrap();
        assert_eq!(uploaded.app.engine.compilations(), 1);
        server
            .set("acme", "by-command", "by-command", |_| {})
            .unwrap();
        saves(&server, &format!("by command {round}"));
        assert_eq!(server.app.engine.compilations(), before + 1);
    }
}

#[test]
fn a_folder_that_takes_nothing_is_in_nobodys_way() {
    let folder = temp_dir();
    // A file in place of the folder stops even root.
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let app = app_with_hook(&file.join("compiled"));
    saves(&app, "a");
    let again = restarted(&app, &file.join("compiled"));
    saves(&again, "b");
    assert_eq!(again.app.engine.compilations(), 1);
}

#[test]
fn the_folder_holds_no_more_than_it_may_and_nothing_where_that_is_zero() {
    let folder = temp_dir();
    let app = app_with_hook(folder.path());
    let [first] = files(folder.path()).try_into().unwrap();
    let bytes = first.metadata().unwrap().len();
    let small = app.replica_with(|config| {
        config.hooks.cache_dir = Some(folder.path().to_owned());
        config.hooks.max_cache_bytes = bytes + 1000;
    });
    let other = Guest::default().component();
    small.upload("other", &other).unwrap();
    let [second] = files(folder.path()).try_into().unwrap();
    assert_ne!(second, first);
    saves(&small, "a");
    assert_eq!(files(folder.path()), [first]);

    let none = folder.path().join("none");
    let app = TestApp::start_with(|config| {
        config.hooks.cache_dir = Some(none.clone());
        config.hooks.max_cache_bytes = 0;
    });
    app.upload("other", &other).unwrap();
    assert!(!none.exists());
}

#[test]
fn plugins_of_hooks_are_made_ready_ahead_and_a_broken_one_stops_nothing() {
    let folder = temp_dir();
    let app = app_with_hook(folder.path());
    app.hook("acme", "fine", &Guest::default().component(), |_| {});
    let unbound = Guest {
        judges: &["delete-validator"],
        ..Guest::default()
    };
    app.upload("unbound", &unbound.component()).unwrap();
    let ahead = app.replica();
    plugins::preload(&Arc::downgrade(&ahead.app));
    assert_eq!(ahead.app.engine.compilations(), 2);
    app.database.execute(
        "ALTER TABLE plugin_revisions DROP CONSTRAINT plugin_revisions_sha256_check;
         UPDATE plugin_revisions SET component = 'unreadable'
         WHERE plugin_id = (SELECT id FROM plugins WHERE name = 'fine')",
    );
    saves(&ahead, "a");
    assert_eq!(ahead.app.engine.compilations(), 2);
    let broken = app.replica();
    plugins::preload(&Arc::downgrade(&broken.app));
    assert_eq!(broken.app.engine.compilations(), 1);
    // All of them are loaded from the folder.
    let kept = restarted(&app, folder.path());
    plugins::preload(&Arc::downgrade(&kept.app));
    assert_eq!(kept.app.engine.compilations(), 0);
    saves(&kept, "b");
    // The server is gone before the preload begins.
    let gone = Arc::downgrade(&kept.app);
    drop(kept);
    plugins::preload(&gone);
}

#[test]
fn the_program_keeps_what_a_command_compiled_and_is_ready_when_it_serves() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    run(&data_dir, &["tenant", "create", "acme"]);
    let component = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/plugins/signer-tags/signer-tags.wasm"
    );
    run(&data_dir, &["plugin", "upload", "signer-tags", component]);
    run(
        &data_dir,
        &["hook", "set", "acme", "tags", "--plugin", "signer-tags"],
    );
    assert_eq!(files(&data_dir.join("compiled")).len(), 1);
    let log = folder.path().join("log");
    let mut command = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    command.stderr(Stdio::from(fs::File::create(&log).unwrap()));
    let server = Program::start(command);
    crate::support::eventually(|| {
        let log = fs::read_to_string(&log).unwrap();
        log.contains("The plugins of all hooks are ready plugins=1")
    });
    assert!(server.stop().success());
    let log = fs::read_to_string(&log).unwrap();
    assert!(!log.contains("Compiled a plugin"), "{log}");
}
