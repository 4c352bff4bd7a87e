//! Servers and databases killed in mid-load: nothing acknowledged is lost, nothing is doubled or half-written, and what
//! is left recovers by itself. `tests/crashes.sh` does it more often.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::{Connection as _, PgConnection};
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use crate::support::{
    Client, Program, TestDatabase, eventually_within, postmaster, rounds, running_postmaster,
    temp_dir, tenant_token,
};

/// Tells writers to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What writers were told.
#[derive(Default)]
struct Load {
    /// The version that was acknowledged last, by thread: 0 for none.
    threads: Mutex<HashMap<String, u32>>,
    /// How many answers had each status; 0 is no answer.
    statuses: Mutex<BTreeMap<u16, u32>>,
}

impl Load {
    fn body(thread: &str, over: u32) -> String {
        format!("{thread} over {over} {}", "x".repeat(6000))
    }

    /// Eight writers save, and after a while something is done to what they save in. A writer begins another thread when it has three versions or its save
    /// was refused, and ends when there is no answer.
    fn run<T>(&self, client: &Client, round: u64, done: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let stop = &stop;
                scope.spawn(move || {
                    let mut number = 0;
                    let mut saved = true;
                    while saved && !stop.load(Ordering::Relaxed) {
                        saved = self.save_thread(client, &format!("{round}-{writer}-{number}"));
                        number += 1;
                    }
                });
            }
            // Also where it fails, or the writers would go on for good.
            let _stop = Stop(&stop);
            std::thread::sleep(Duration::from_millis(300 + 37 * (round % 10)));
            done()
        })
    }

    /// Whether there were answers.
    fn save_thread(&self, client: &Client, thread: &str) -> bool {
        self.threads.lock().unwrap().insert(thread.to_owned(), 0);
        for over in 0..3 {
            let body = json!({
                "document": "d", "thread": thread, "version": over, "cms": Self::body(thread, over),
            });
            let headers = [("content-type", "application/json")];
            let body = body.to_string().into_bytes();
            let status = client
                .try_send("POST", "/signature", &headers, Some(body))
                .map_or(0, |response| response.status);
            *self.statuses.lock().unwrap().entry(status).or_default() += 1;
            if status != 201 {
                // What refuses at once is not asked at once again.
                std::thread::sleep(Duration::from_millis(5));
                return status != 0;
            }
            self.threads
                .lock()
                .unwrap()
                .insert(thread.to_owned(), over + 1);
        }
        true
    }

    /// Every thread has what was acknowledged, byte for byte, under numbers without a gap, and at most so many versions
    /// more: those whose acknowledgement was lost. Says how many those are.
    #[track_caller]
    fn check(&self, client: &Client, more: u32) -> u32 {
        let mut unacknowledged = 0;
        for (thread, version) in self.threads.lock().unwrap().iter() {
            let history = client.get(&format!("/signature/versions?document=d&thread={thread}"));
            if history.status == 404 {
                assert_eq!(*version, 0, "{thread} is lost");
                continue;
            }
            let versions = history.expect(200).versions().to_vec();
            let stored = u32::try_from(versions.len()).unwrap();
            assert!(
                (*version..=version + more).contains(&stored),
                "{thread}: {version} acknowledged, {stored} stored"
            );
            unacknowledged += stored - version;
            for (over, saved) in (0..stored).rev().zip(versions) {
                assert_eq!(saved["version"], over + 1);
                assert_eq!(saved["signature"], Self::body(thread, over));
            }
        }
        unacknowledged
    }

    fn acknowledged(&self) -> u32 {
        self.statuses
            .lock()
            .unwrap()
            .get(&201)
            .copied()
            .unwrap_or_default()
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let database = TestDatabase::new();
    let token = tenant_token(|arguments| database.run(arguments));
    let load = Load::default();
    for round in 0..rounds(4) {
        let mut server = Program::serve_on(&database, &[]);
        let client = server.client(&token);
        load.run(&client, round, || {
            server.kill();
        });
    }
    let server = Program::serve_on(&database, &[]);
    let unacknowledged = load.check(&server.client(&token), 1);
    println!(
        "{} servers killed: {} saves acknowledged, all there; {unacknowledged} more stored, whose answer was lost",
        rounds(4),
        load.acknowledged()
    );
    assert!(load.acknowledged() > 100);
}

#[test]
fn nothing_is_in_doubt_when_the_server_is_told_to_stop() {
    let database = TestDatabase::new();
    let token = tenant_token(|arguments| database.run(arguments));
    let load = Load::default();
    for round in 0..rounds(4) {
        let server = Program::serve_on(&database, &[]);
        let client = server.client(&token);
        load.run(&client, round, || {
            assert!(server.stop().success());
        });
    }
    let server = Program::serve_on(&database, &[]);
    load.check(&server.client(&token), 0);
    println!(
        "{} servers told to stop: {} saves acknowledged, and these are there",
        rounds(4),
        load.acknowledged()
    );
    let statuses = load.statuses.lock().unwrap();
    assert!(
        statuses.keys().all(|status| [0, 201, 503].contains(status)),
        "{statuses:?}"
    );
}

#[test]
fn nothing_acknowledged_is_lost_when_the_database_is_killed_and_clients_are_told_to_wait() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let token = tenant_token(|arguments| crate::support::run(&data_dir, arguments));
    let server = Program::serve(&data_dir);
    let client = server.client(&token);
    let url = format!(
        "host={} user=sigpersist dbname=sigpersist",
        data_dir.join("run").display()
    );
    let load = Load::default();
    let rounds = rounds(3).min(20);
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        load.run(&client, round, || {
            let postgres = postmaster(&data_dir);
            kill(postgres, Signal::SIGKILL).unwrap();
            // One that dies often is started again after a pause of up to five seconds.
            eventually_within(Duration::from_secs(30), || {
                running_postmaster(&data_dir).is_some_and(|pid| pid != postgres)
                    && PgConnection::establish(&url).is_ok()
            });
            let returned = Instant::now();
            // A thread of its own each time, since what was refused may have been stored.
            let is_back = (0..400).any(|attempt| {
                std::thread::sleep(Duration::from_millis(5));
                let thread = format!("back-{round}-{attempt}");
                client.save("other", &thread, 0, "x").status == 201
            });
            assert!(is_back, "the server does not save again");
            longest = longest.max(returned.elapsed());
        });
    }
    let unacknowledged = load.check(&client, 1);
    let statuses = load.statuses.lock().unwrap();
    println!(
        "{rounds} times Postgres killed: answers by status {statuses:?}, all acknowledged are there; {unacknowledged} more \
         stored, whose answer was lost; the server saves again {longest:?} after Postgres is back"
    );
    assert!(
        statuses.keys().all(|status| [201, 503].contains(status)),
        "{statuses:?}"
    );
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

#[test]
fn nothing_acknowledged_is_lost_when_everything_is_killed() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let token = tenant_token(|arguments| crate::support::run(&data_dir, arguments));
    let load = Load::default();
    for round in 0..rounds(3) {
        let mut server = Program::serve(&data_dir);
        let client = server.client(&token);
        load.run(&client, round, || {
            // Postgres and server at once, without a word of warning.
            let postgres = postmaster(&data_dir);
            server.kill();
            // It may be gone already: the kernel stops it with the server.
            kill(postgres, Signal::SIGKILL).ok();
        });
    }
    let server = Program::serve(&data_dir);
    let unacknowledged = load.check(&server.client(&token), 1);
    println!(
        "{} times everything killed: {} saves acknowledged, all there; {unacknowledged} more stored, whose answer was lost",
        rounds(3),
        load.acknowledged()
    );
    assert!(load.acknowledged() > 100);
}
