//! Statements that wait for locks.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;

use super::BUSY;
use super::SECOND;
use crate::support::{Program, TestDatabase, eventually_within, rounds, tenant_token};

#[test]
fn one_tenants_locks_that_fill_the_pool_are_waited_for_in_time() {
    let database = TestDatabase::new();
    let settings = [
        ("SIGPERSIST_DATABASE_POOL_SIZE", "2"),
        ("SIGPERSIST_DATABASE_POOL_TIMEOUT_MS", "500"),
        ("SIGPERSIST_DATABASE_STATEMENT_TIMEOUT_MS", "60000"),
    ];
    let token = tenant_token(|arguments| database.run(arguments));
    database.run(&["tenant", "create", "other"]);
    database.run(&["key", "add", "other"]);
    let other = database.run(&["token", "issue", "other"]);
    let server = Program::serve_on(&database, &settings);
    let (client, other) = (server.client(&token), server.client(&other));
    client.save("d", "locked", 0, "first").expect(201);
    client.save("d", "locked", 1, "second").expect(201);
    other.save("d", "free", 0, "x").expect(201);
    let mut lock = database.lock_signatures();
    let mut waiting = std::thread::scope(|scope| {
        let saving: Vec<_> = ["one", "two"]
            .map(|text| {
                let client = &client;
                scope.spawn(move || client.save("d", "locked", 2, text).status)
            })
            .into();
        eventually_within(5 * SECOND + BUSY, || database.waiting_for_locks() == 2);
        for _ in 0..rounds(4) {
            let since = Instant::now();
            other
                .read("d", "free")
                .expect_error(503, "database_unavailable");
            let waited = since.elapsed();
            assert!(waited > Duration::from_millis(400), "{waited:?}");
            assert!(waited < Duration::from_millis(500) + BUSY, "{waited:?}");
        }
        lock.batch_execute("ROLLBACK").unwrap();
        let statuses = saving.into_iter().map(|saving| saving.join().unwrap());
        statuses.collect::<Vec<_>>()
    });
    waiting.sort_unstable();
    assert_eq!(waiting, [201, 409]);
    other.read("d", "free").expect(200);
    other.save("d", "free", 1, "y").expect(201);
}

#[test]
fn a_statement_that_takes_too_long_is_refused_and_stores_nothing() {
    let database = TestDatabase::new();
    let settings = [
        ("SIGPERSIST_DATABASE_POOL_SIZE", "1"),
        ("SIGPERSIST_DATABASE_STATEMENT_TIMEOUT_MS", "500"),
    ];
    let token = tenant_token(|arguments| database.run(arguments));
    let server = Program::serve_on(&database, &settings);
    let client = server.client(&token);
    client.save("d", "t", 0, "first").expect(201);
    let backends = || {
        database.lines(
            "SELECT pid::text AS line FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'sigpersist' ORDER BY pid",
        )
    };
    let before = backends();
    for round in 0..rounds(3) {
        let mut lock = database.lock_signatures();
        let since = Instant::now();
        client
            .save("d", "t", 1, &format!("late {round}"))
            .expect_error(503, "database_unavailable");
        let waited = since.elapsed();
        assert!(waited > Duration::from_millis(450), "{waited:?}");
        assert!(waited < Duration::from_millis(500) + BUSY, "{waited:?}");
        lock.batch_execute("ROLLBACK").unwrap();
        let history = client.get("/signature/versions?document=d&thread=t");
        assert_eq!(history.expect(200).versions().len(), 1);
    }
    client.save("d", "t", 1, "second").expect(201);
    // The connection could be used again.
    assert_eq!(backends(), before);
}
