//! Clocks that jump: that of the server alone, or those of the server and its database.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use super::BUSY;
use super::SECOND;
use super::not_run;
use super::summary;
use crate::support::{
    Client, Load, Program, TestDatabase, eventually_within, rounds, sigpersist, succeeds, temp_dir,
    tenant_token,
};

/// A fake clock, by libfaketime, for the processes that use it. It changes only wall-clock time, as when an
/// administrator or NTP sets it.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Creates a clock in this folder; `None` if the machine has no libfaketime.
    fn in_folder(folder: &Path) -> Option<Self> {
        let libraries = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
        let with_triplets = libraries.iter().flat_map(|folder| {
            let inside = std::fs::read_dir(folder).into_iter().flatten();
            inside.filter_map(|entry| Some(entry.ok()?.path()))
        });
        let library = with_triplets
            .chain(libraries.iter().cloned())
            .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.exists());
        let Some(library) = library else {
            not_run(
                "clocks that jump",
                "there is no libfaketime (Debian's package `faketime`)",
            );
            return None;
        };
        let clock = Self {
            library,
            file: folder.join("clock"),
        };
        clock.set("+0");
        Some(clock)
    }

    /// Sets the offset from the machine's clock, such as `+1h`.
    fn set(&self, offset: &str) {
        // Renames, so that readers find either the old offset or the new one.
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// Makes a process and its children use this clock.
    fn rule(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DISABLE_SHM", "1");
    }
}

/// The time of a thread as clients see it, in seconds since 1970.
fn created_at(client: &Client, thread: &str) -> i64 {
    let read = client.read("clock", thread).expect(200);
    let text = read.signature()["version_created_at"]
        .as_str()
        .unwrap()
        .to_owned();
    chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S")
        .unwrap()
        .and_utc()
        .timestamp()
}

#[test]
fn a_servers_clock_that_jumps_decides_on_tokens_and_on_nothing_else() {
    let database = TestDatabase::new();
    let Some(clock) = Clock::in_folder(database.folder.path()) else {
        return;
    };
    // Tokens are issued two hours ago, so that they are valid however the clock jumps.
    let issue = |arguments: &[&str]| {
        let mut command = database.command(arguments);
        clock.rule(&mut command);
        succeeds(command)
    };
    clock.set("-2h");
    tenant_token(|arguments| database.run(arguments));
    let long = issue(&["token", "issue", "acme", "--ttl", "1d"]);
    let short = issue(&["token", "issue", "acme", "--ttl", "150m"]);
    for (tenant, quota) in [("metered", "2"), ("other", "0")] {
        database.run(&["tenant", "create", tenant, "--requests-per-second", quota]);
        database.run(&["key", "add", tenant]);
    }
    let metered = issue(&["token", "issue", "metered", "--ttl", "1d"]);
    let other = issue(&["token", "issue", "other", "--ttl", "1d"]);
    clock.set("+0");
    let mut command = database.command(&["serve", "--listen", "127.0.0.1:0"]);
    clock.rule(&mut command);
    command.stderr(std::process::Stdio::null());
    let server = Program::start(command);
    let [long, short, metered, other] =
        [long, short, metered, other].map(|token| server.client(&token));
    let load = Load::default();
    for round in 0..rounds(1).min(20) {
        load.run(&long, round, || {
            for (offset, status) in [
                ("+0", 404),
                ("+1h", 401),
                ("-1h", 404),
                ("+1h", 401),
                ("+0", 404),
            ] {
                clock.set(offset);
                let read = short.read("d", "unknown");
                assert_eq!(read.status, status, "at {offset}: {}", read.text);
                if status == 401 {
                    assert_eq!(read.json["code"], json!("expired_token"));
                }
                // The quota of two requests a second uses a clock that does not jump.
                let since = Instant::now();
                let statuses: Vec<_> = (0..6)
                    .map(|_| metered.read("d", "unknown").status)
                    .collect();
                if since.elapsed() < SECOND {
                    assert!(statuses.contains(&429), "at {offset}: {statuses:?}");
                }
                eventually_within(2 * SECOND + BUSY, || {
                    metered.read("d", "unknown").status == 404
                });
                // Changes by another process are still noticed within a second.
                for (verb, status) in [("suspend", 403), ("resume", 404)] {
                    other
                        .read("d", "unknown")
                        .expect(if status == 403 { 404 } else { 403 });
                    database.run(&["tenant", verb, "other"]);
                    eventually_within(SECOND + BUSY, || {
                        other.read("d", "unknown").status == status
                    });
                }
            }
        });
    }
    load.check(&long, 0);
    println!("The server's clock jumps by an hour: {}", summary(&load));
    let statuses = load.statuses.lock().unwrap();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&201]);
    assert!(statuses[&201] > 20, "{statuses:?}");
}

#[test]
fn clocks_that_jump_together_leave_no_gap_in_versions_and_no_hole_in_lists() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let Some(clock) = Clock::in_folder(folder.path()) else {
        return;
    };
    clock.set("-2h");
    let token = tenant_token(|arguments| {
        let day = ["--ttl", "1d"];
        let more = if arguments[0] == "token" {
            &day[..]
        } else {
            &[]
        };
        let mut command = sigpersist(&data_dir, &[arguments, more].concat());
        clock.rule(&mut command);
        succeeds(command)
    });
    clock.set("+0");
    let mut command = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    clock.rule(&mut command);
    command.stderr(std::process::Stdio::null());
    let server = Program::start(command);
    let client = server.client(&token);
    let load = Load::default();
    let mut threads = Vec::new();
    let mut save = |count: usize| {
        for _ in 0..count {
            let thread = format!("t-{}", threads.len());
            client.save("clock", &thread, 0, "x").expect(201);
            threads.push(thread);
        }
        threads.last().cloned().unwrap()
    };
    for round in 0..rounds(1).min(20) {
        load.run(&client, round, || {
            let now = created_at(&client, &save(7));
            for (offset, seconds) in [("+1h", 3600), ("-1h", -3600), ("+0", 0)] {
                clock.set(offset);
                let jumped = created_at(&client, &save(7)) - now - seconds;
                assert!((0..120).contains(&jumped), "at {offset}: {jumped} s off");
                std::thread::sleep(SECOND);
            }
        });
    }
    // Pages of a list, while the clock jumps.
    let mut seen = HashMap::<String, u32>::new();
    let (mut cursor, mut pages, known) = (String::new(), 0, save(1));
    let before: usize = known.strip_prefix("t-").unwrap().parse().unwrap();
    loop {
        clock.set(["+1h", "-1h", "+0"][pages % 3]);
        save(1);
        let page = client.get(&format!(
            "/signatures?document=clock&limit=5&omit=signature{cursor}"
        ));
        let page = page.expect(200);
        for signature in page.signatures() {
            let thread = signature["thread"].as_str().unwrap().to_owned();
            *seen.entry(thread).or_default() += 1;
        }
        pages += 1;
        match page.json["content"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(pages < 1_000, "the list has no end");
    }
    for number in 0..=before {
        let thread = format!("t-{number}");
        assert_eq!(seen.get(&thread), Some(&1), "{thread} on {pages} pages");
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    load.check(&client, 0);
    println!(
        "Both clocks jump by an hour: {}; {} threads on {pages} pages, each once",
        summary(&load),
        seen.len()
    );
    let statuses = load.statuses.lock().unwrap();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&201]);
    assert!(statuses[&201] > 20, "{statuses:?}");
}
