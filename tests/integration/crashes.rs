//! Servers and databases killed under load: no acknowledged save is lost, nothing is duplicated or half-written, and
//! the rest recovers by itself. `tests/crashes.sh` runs more rounds.

use std::time::Duration;

use diesel::{Connection as _, PgConnection};
use nix::sys::signal::{Signal, kill};

use crate::support::{
    Load, Program, Reader, Stopwatch, TestDatabase, Witness, eventually, eventually_within,
    postmaster, rounds, running_postmaster, temp_dir, tenant_token,
};

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let database = TestDatabase::new();
    let token = tenant_token(|arguments| database.run(arguments));
    let operator = database.run(&[
        "token",
        "issue",
        "acme",
        "--scope",
        "log:read",
        "--scope",
        "log:write",
    ]);
    let witness = Witness::start("witness.example/w");
    let settings = [
        ("SIGPERSIST_EVIDENCE_WITNESS_INTERVAL_S", "1"),
        ("SIGPERSIST_WEBHOOKS_ALLOW", "127.0.0.1"),
    ];
    let (load, reader) = (Load::default(), Reader::default());
    for round in 0..rounds(4) {
        // Else the witness would wait for the lease of the server that was killed.
        database.execute("UPDATE log_witnesses SET lease_by = NULL, lease_until = NULL");
        let mut server = Program::serve_on(&database, &settings);
        let client = server.client(&token);
        let operator = server.client(&operator);
        if round == 0 {
            client.save("first", "t", 0, "x").expect(201);
            eventually(|| operator.get("/log").json["content"]["log"]["size"] != 0);
            witness.join(&operator);
        }
        reader.during(&client, || {
            load.run(&client, round, || {
                // Kills it while it asks, or soon after.
                let asked = witness.asked().len();
                let begin = Stopwatch::start();
                while witness.asked().len() == asked && begin.elapsed() < Duration::from_secs(10) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                server.kill();
            });
        });
    }
    let server = Program::serve_on(&database, &settings);
    let unacknowledged = load.check(&server.client(&token), 1);
    reader.check(&server.client(&token), |arguments| database.run(arguments));
    database.execute("UPDATE log_witnesses SET lease_by = NULL, lease_until = NULL");
    // A checkpoint that the witness signed last before a crash may not be stored: it is told (409) and continued from there.
    witness.catch_up(&server.client(&operator));
    let asked = witness.asked();
    let is_fine = |(_, _, status): &(u64, u64, u16)| [200, 409].contains(status);
    assert!(asked.iter().all(is_fine), "{asked:?}");
    assert!(asked.len() as u64 > rounds(4), "{asked:?}");
    println!(
        "{} servers killed: {} saves acknowledged, all there; {unacknowledged} more stored, whose answer was lost; a witness signed {} checkpoints",
        rounds(4),
        load.acknowledged(),
        asked.len()
    );
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
    let (load, reader) = (Load::default(), Reader::default());
    let rounds = rounds(3).min(20);
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        reader.during(&client, || {
            load.run(&client, round, || {
                let postgres = postmaster(&data_dir);
                kill(postgres, Signal::SIGKILL).unwrap();
                // If Postgres dies often, it is restarted after a pause of up to five seconds.
                eventually_within(Duration::from_secs(30), || {
                    running_postmaster(&data_dir).is_some_and(|pid| pid != postgres)
                        && PgConnection::establish(&url).is_ok()
                });
                let returned = Stopwatch::start();
                // Uses a new thread each time, since a refused save may have been stored.
                let is_back = (0..4000).any(|attempt| {
                    std::thread::sleep(Duration::from_millis(5));
                    let thread = format!("back-{round}-{attempt}");
                    client.save("other", &thread, 0, "x").status == 201
                });
                assert!(is_back, "the server does not save again");
                longest = longest.max(returned.elapsed());
            });
        });
    }
    let unacknowledged = load.check(&client, 1);
    reader.check(&client, |arguments| {
        crate::support::run(&data_dir, arguments)
    });
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
    let (load, reader) = (Load::default(), Reader::default());
    for round in 0..rounds(3) {
        let mut server = Program::serve(&data_dir);
        let client = server.client(&token);
        reader.during(&client, || {
            load.run(&client, round, || {
                // Kills Postgres and the server at once.
                let postgres = postmaster(&data_dir);
                server.kill();
                // Postgres may be gone already: the kernel stops it with the server.
                kill(postgres, Signal::SIGKILL).ok();
            });
        });
    }
    let server = Program::serve(&data_dir);
    let unacknowledged = load.check(&server.client(&token), 1);
    reader.check(&server.client(&token), |arguments| {
        crate::support::run(&data_dir, arguments)
    });
    println!(
        "{} times everything killed: {} saves acknowledged, all there; {unacknowledged} more stored, whose answer was lost",
        rounds(3),
        load.acknowledged()
    );
}
