//! The network between a server and its database.

use std::time::Duration;

use serde_json::json;

use super::BUSY;
use super::SECOND;
use super::assert_only_refusals;
use super::summary;
use crate::health::free_address;
use crate::support::{
    Client, Load, Mode, Program, Proxy, Stopwatch, TestDatabase, eventually_within, rounds,
    tenant_token,
};

/// Time that the server allows for an answer of the database beyond `database.statement_timeout_ms`.
const GRACE: Duration = Duration::from_secs(2);

/// A server whose database is behind a proxy.
#[expect(dead_code, reason = "the server and its database live as long as this")]
struct Behind {
    server: Program,
    client: Client,
    /// A client of the port that needs no token.
    watcher: Client,
    proxy: Proxy,
    database: TestDatabase,
}

impl Behind {
    fn proxy(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new();
        let token = tenant_token(|arguments| database.run(arguments));
        let proxy = Proxy::before(&database.url);
        let watched = free_address();
        let mut all = vec![
            ("DATABASE_URL", proxy.url.as_str()),
            ("SIGPERSIST_HTTP_WATCH_LISTEN", watched.as_str()),
        ];
        all.extend(settings);
        let server = Program::serve_on(&database, &all);
        let watcher = Client::new(&format!("http://{watched}"), None);
        let behind = Self {
            client: server.client(&token),
            server,
            watcher,
            proxy,
            database,
        };
        behind.is_ready_within(BUSY);
        behind
    }

    #[track_caller]
    fn is_ready_within(&self, patience: Duration) {
        eventually_within(patience, || self.watcher.get("/health/ready").status == 200);
    }

    /// Time until a save is acknowledged. Uses a new thread each time, since a refused save may have been stored.
    #[track_caller]
    fn saves_again(&self, name: &str) -> Duration {
        let since = Stopwatch::start();
        let saved = (0..6000).any(|attempt| {
            let thread = format!("{name}-{attempt}");
            let saved = self.client.save("again", &thread, 0, "x");
            if saved.status != 201 {
                saved.expect_unavailable();
                std::thread::sleep(Duration::from_millis(5));
                return false;
            }
            true
        });
        assert!(saved, "the server does not save again");
        since.elapsed()
    }

    /// The value of a metric.
    #[track_caller]
    fn metric(&self, line: &str) -> f64 {
        let metrics = self.watcher.get_bytes("/metrics", &[]);
        let metrics = String::from_utf8(metrics).unwrap();
        let value = metrics.lines().find_map(|found| found.strip_prefix(line));
        value
            .unwrap_or_else(|| panic!("no {line} in {metrics}"))
            .trim()
            .parse()
            .unwrap()
    }
}

#[test]
fn a_database_that_is_cut_off_in_mid_load_costs_no_more_than_refusals() {
    let behind = Behind::proxy(&[]);
    let load = Load::default();
    let mut longest = Duration::ZERO;
    for round in 0..rounds(4) {
        load.run(&behind.client, round, || {
            behind.proxy.set(Mode::Cut);
            std::thread::sleep(Duration::from_millis(50 + 150 * (round % 8)));
            behind.client.read("d", "unknown").expect_unavailable();
            behind.proxy.set(Mode::Pass);
            longest = longest.max(behind.saves_again(&format!("cut-{round}")));
        });
    }
    behind.is_ready_within(2 * SECOND);
    let unacknowledged = load.check(&behind.client, 1);
    println!(
        "{} times cut off: {}; all acknowledged are there, {unacknowledged} more stored, whose answer was lost; the \
         server saves again after {longest:?} at the longest",
        rounds(4),
        summary(&load)
    );
    assert_only_refusals(&load);
    assert!(longest < 2 * SECOND, "{longest:?}");
}

#[test]
fn a_database_that_does_not_answer_hangs_nobody_and_is_used_again_when_it_does() {
    let behind = Behind::proxy(&[
        ("SIGPERSIST_DATABASE_STATEMENT_TIMEOUT_MS", "1000"),
        ("SIGPERSIST_DATABASE_POOL_TIMEOUT_MS", "1000"),
        ("SIGPERSIST_DATABASE_POOL_SIZE", "4"),
        ("SIGPERSIST_HTTP_QUEUE_TIMEOUT_MS", "1000"),
    ]);
    // A request may wait for a turn to load keys, for a connection, and for the answer to a statement.
    let bound = SECOND + SECOND + SECOND + GRACE;
    let load = Load::default();
    let rounds = rounds(1).min(20);
    let (mut longest, mut ready) = (Duration::ZERO, Duration::ZERO);
    for round in 0..rounds {
        load.run(&behind.client, round, || {
            behind.proxy.set(Mode::Stall);
            let since = Stopwatch::start();
            eventually_within(4 * SECOND + BUSY, || {
                let health = behind.watcher.get("/health/ready");
                health.json["details"]["lacks"] == json!(["database"])
            });
            ready = ready.max(since.elapsed());
            let asked = Stopwatch::start();
            behind.client.read("d", "unknown").expect_unavailable();
            let waited = asked.elapsed();
            assert!(waited < bound + BUSY, "{waited:?}");
            let asked = Stopwatch::start();
            assert!(behind.metric("sigpersist_ready") < 0.5);
            let waited = asked.elapsed();
            assert!(waited < 2 * SECOND + BUSY, "metrics after {waited:?}");
            behind.watcher.get("/health/live").expect(200);
            // Stalls longer than the longest permitted answer, so that a hanging request would be noticed.
            std::thread::sleep((bound + BUSY + SECOND).saturating_sub(since.elapsed()));
            behind.proxy.set(Mode::Pass);
            longest = longest.max(behind.saves_again(&format!("stall-{round}")));
        });
        behind.is_ready_within(2 * SECOND);
    }
    let unacknowledged = load.check(&behind.client, 1);
    let slowest = *load.slowest.lock().unwrap();
    println!(
        "{rounds} times without an answer: {}; known after {ready:?}; all acknowledged are there, {unacknowledged} more \
         stored; the server saves again after {longest:?} at the longest",
        summary(&load)
    );
    assert_only_refusals(&load);
    assert!(slowest < bound + BUSY, "{slowest:?}");
    assert!(longest < 2 * SECOND, "{longest:?}");
    // Turns and places in the pool are released.
    eventually_within(5 * SECOND, || {
        behind.metric("sigpersist_database_connections{state=\"used\"}") < 0.5
    });
}

#[test]
fn connections_that_never_answer_again_lose_their_places_to_new_ones() {
    let behind = Behind::proxy(&[
        ("SIGPERSIST_DATABASE_STATEMENT_TIMEOUT_MS", "1000"),
        ("SIGPERSIST_DATABASE_POOL_SIZE", "4"),
    ]);
    behind.client.save("d", "before", 0, "x").expect(201);
    // Like a firewall that has lost its connection table, or a load balancer whose database has moved.
    behind.proxy.forget_connections();
    let since = Stopwatch::start();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..16)
            .map(|number| {
                let client = &behind.client;
                scope.spawn(move || client.read("d", &format!("unknown-{number}")).status)
            })
            .collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect()
    });
    let hung = since.elapsed();
    assert!(
        statuses.iter().all(|status| [404, 503].contains(status)),
        "{statuses:?}"
    );
    // Time for a turn, for a connection, and for the answer that never comes.
    assert!(hung < 5 * SECOND + GRACE + BUSY, "{hung:?}");
    behind.saves_again("after");
    let recovered = since.elapsed();
    behind.client.read("d", "before").expect(200);
    println!(
        "16 requests on lost connections: {statuses:?} after {hung:?}; it saves again after {recovered:?}"
    );
    assert!(recovered < 8 * SECOND + GRACE + BUSY, "{recovered:?}");
    // The connection for notifications is renewed after five seconds.
    behind.is_ready_within(7 * SECOND + BUSY);
}

#[test]
fn nothing_is_begun_for_who_was_refused_when_the_answer_comes_after_all() {
    let behind = Behind::proxy(&[("SIGPERSIST_DATABASE_STATEMENT_TIMEOUT_MS", "1000")]);
    behind.client.save("d", "t", 0, "x").expect(201);
    behind.proxy.set(Mode::Stall);
    // The delete hangs when it reads the version to be deleted.
    behind.client.delete("d", "t").expect_unavailable();
    behind.proxy.set(Mode::Pass);
    behind.saves_again("after");
    std::thread::sleep(SECOND);
    behind.client.read("d", "t").expect(200);
    behind.client.delete("d", "t").expect(200);
}

#[test]
fn a_database_that_answers_slowly_is_waited_for() {
    // Long timeouts, so that only the database is slow, and not a busy machine too.
    let patience = "30000";
    let behind = Behind::proxy(&[
        ("SIGPERSIST_DATABASE_POOL_TIMEOUT_MS", patience),
        ("SIGPERSIST_HTTP_QUEUE_TIMEOUT_MS", patience),
    ]);
    behind.client.save("d", "before", 0, "x").expect(201);
    behind.proxy.set(Mode::Slow(Duration::from_millis(200)));
    let load = Load::default();
    for round in 0..rounds(1).min(10) {
        load.run(&behind.client, round, || std::thread::sleep(4 * SECOND));
    }
    behind.proxy.set(Mode::Pass);
    load.check(&behind.client, 0);
    println!("Answers that take 200 ms: {}", summary(&load));
    let statuses = load.statuses.lock().unwrap();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&201]);
    assert!(statuses[&201] > 10, "{statuses:?}");
}

#[test]
fn who_finds_the_pool_full_of_slow_queries_is_refused_in_time() {
    let behind = Behind::proxy(&[
        ("SIGPERSIST_DATABASE_POOL_SIZE", "2"),
        ("SIGPERSIST_DATABASE_POOL_TIMEOUT_MS", "1000"),
    ]);
    behind.client.save("d", "before", 0, "x").expect(201);
    let load = Load::default();
    let waited = load.run(&behind.client, 0, || {
        behind.proxy.set(Mode::Slow(3 * SECOND));
        std::thread::sleep(SECOND);
        // By now the eight writers have all connections, and others already wait.
        let waited = std::thread::scope(|scope| {
            let reading = [(); 8].map(|()| {
                scope.spawn(|| {
                    let since = Stopwatch::start();
                    let answer = behind.client.read("d", "before");
                    if answer.status != 200 {
                        answer.expect_unavailable();
                    }
                    (answer.status, since.elapsed())
                })
            });
            reading.map(|reading| reading.join().unwrap())
        });
        behind.proxy.set(Mode::Pass);
        behind.saves_again("slow");
        waited
    });
    let unacknowledged = load.check(&behind.client, 1);
    println!(
        "Answers that take 3 s: {}; eight reads: {waited:?}; {unacknowledged} more stored",
        summary(&load)
    );
    assert_only_refusals(&load);
    // Some readers get a connection, for their key or for the read, and wait for the slow answers too. Most do not.
    let refused = waited.iter().filter(|(status, _)| *status == 503);
    let in_time = refused.filter(|(_, waited)| *waited < SECOND + BUSY / 2);
    assert!(in_time.count() >= 4, "{waited:?}");
}
