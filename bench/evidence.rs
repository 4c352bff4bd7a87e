//! Cost of logs and what follows from them: saves with and without a log, its lag, proofs, clients that wait for events,
//! and webhooks. `make bench`.
//!
//! Everything shares one machine, so the figures are low; each is compared with something measured beside it, or with a
//! bound. Measurements alternate, and the result is the median of the rounds' ratios.
//! `SECONDS`, `ROUNDS` and `SECONDS_TOP` in the environment make it longer, `ENTRIES` and `WAITERS` larger or smaller.
//! `ONLY=saves,wal,lag,top,proofs,waiters,webhooks` selects parts. A run of more than ten minutes measures something else:
//! by then the server logs what the one without a log has stored.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/offer.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod offer;
#[path = "support/receiver.rs"]
mod receiver;
mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};

use offer::{Load, NUMBER, Numbers, Pace, Target, percentile, request};
use receiver::{Delivery, Receiver};
use support::{SIGNATURE, Server, command, connect, folder, median, new_tenant, save, setting};

/// Concurrent connections that save in batches.
const CONNECTIONS: usize = 16;
/// Minimum ratio of saves with a log to saves without.
const SAVES: f64 = 0.95;
/// Maximum ratio of the write-ahead log of a version with a log to that without.
const WAL: f64 = 1.06;
/// Saves of one measurement of the write-ahead log.
const WAL_SAVES: u64 = 3_000;
/// Maximum of the additional time of 99 % of the saves that wait for the log.
const LAG_MS: f64 = 1_500.0;
/// Saves a second that wait for the log, and as many that do not. They come on a schedule: each of a sequence would begin
/// just after the log has grown.
const WAITING_SAVES: f64 = 16.0;
/// Time after which the queue must be empty, in seconds.
const EMPTY_S: f64 = 2.0;
/// Connections that get proofs, and the maximum of the median time.
const PROVING: usize = 4;
const PROOF_MS: f64 = 2.0;
/// Groups of versions among the entries, evenly spread, and versions of each.
const GROUPS: u64 = 10;
const OF_GROUP: u64 = 50;
/// The advisory lock of the server that numbers what happens.
const SEQUENCER: i64 = i64::from_be_bytes(*b"sigplogs");
/// Additional memory of the server that waiters may take, in MB, and the maximum ratio of the time of others' saves.
const WAITERS_MB: f64 = 300.0;
const BESIDE_WAITERS: f64 = 1.2;
/// Saves a second beside waiters.
const STEADY: f64 = 200.0;
/// Measurements of one state of which the median counts, since a single hiccup of the disk decides the slowest 1 % of one.
const WINDOWS: usize = 5;
/// Tenants with webhooks, and webhooks of each.
const CALLED: usize = 10;
const WEBHOOKS: usize = 10;
/// Saves a second of all of them, and the maximum of the time until 99 % of the calls.
const CALLED_SAVES: u32 = 50;
const CALL_S: f64 = 5.0;
/// Saves that leave a backlog of calls.
const BACKLOG: u64 = 1_000;
/// Time after which a queue or a call counts as lost.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(QueryableByName)]
struct Figure {
    #[diesel(sql_type = BigInt)]
    figure: i64,
}

/// A server with a log, its tenants and its database.
struct Bench {
    server: Server,
    token: String,
    others: Vec<Called>,
    database: String,
    /// The number of loads so far, so that each saves other documents.
    loads: AtomicU64,
}

/// A tenant with webhooks.
struct Called {
    token: String,
    manager: String,
}

fn main() {
    if offer::was_the_load() {
        return;
    }
    let (seconds, rounds) = (setting("SECONDS", 3), setting("ROUNDS", 5));
    let waiters = setting("WAITERS", 10_000);
    let only = std::env::var("ONLY").ok();
    let is_on = |part| {
        let parts = only.as_deref();
        parts.is_none_or(|parts| parts.split(',').any(|one| one == part))
    };
    let folder = folder();
    let data_dir = folder.path().join("data");
    let token = new_tenant(&data_dir, "bench");
    // If more than three quarters of the connections are taken, the server closes idle ones.
    let connections = (waiters * 3 / 2 + 1_000).to_string();
    let server = Server::start(
        &data_dir,
        &[
            ("SIGPERSIST_EVENTS_MAX_WAITING", &connections),
            ("SIGPERSIST_EVENTS_MAX_WAITING_PER_TENANT", &connections),
            ("SIGPERSIST_HTTP_MAX_CONNECTIONS", &connections),
            // All connections come from one address.
            ("SIGPERSIST_HTTP_MAX_CONNECTIONS_PER_PEER", &connections),
            // All waiters come at once.
            ("SIGPERSIST_HTTP_QUEUE_TIMEOUT_MS", "20000"),
            ("SIGPERSIST_WEBHOOKS_ALLOW", "127.0.0.1"),
        ],
    );
    let others = (0..CALLED).map(|number| called(&data_dir, number));
    let socket = data_dir.join("run").display().to_string();
    let bench = Bench {
        server,
        token,
        others: others.collect(),
        database: format!("host={socket} user=postgres dbname=sigpersist"),
        loads: AtomicU64::new(0),
    };
    // A second server on the same Postgres.
    let without = is_on("saves") || is_on("wal");
    let without = without.then(|| {
        let key = data_dir.join("master.key").display().to_string();
        let url = format!("host={socket} user=sigpersist dbname=sigpersist");
        let settings = [
            ("DATABASE_URL", &*url),
            ("SIGPERSIST_MASTER_KEY_FILE", &*key),
            ("SIGPERSIST_EVIDENCE_LOG", "false"),
        ];
        Server::start(&data_dir, &settings)
    });
    if let Some(without) = &without {
        if is_on("saves") {
            bench.saves(without, seconds, rounds);
        }
        if is_on("wal") {
            bench.wal(without, rounds);
        }
    }
    drop(without);
    if is_on("lag") {
        bench.lag(seconds * 4);
    }
    if is_on("top") {
        bench.top(setting("SECONDS_TOP", 20));
    }
    if is_on("waiters") {
        bench.waiters(waiters, seconds);
    }
    if is_on("webhooks") {
        bench.webhooks(seconds * 2);
    }
    if is_on("proofs") {
        bench.proofs(setting("ENTRIES", 1_000_000), seconds, rounds);
    }
}

fn called(data_dir: &Path, number: usize) -> Called {
    let slug = format!("called-{number}");
    let token = new_tenant(data_dir, &slug);
    let scope = ["token", "issue", &slug, "--scope", "webhooks:write"];
    let manager = command(data_dir, &scope);
    Called { token, manager }
}

impl Bench {
    /// A save of a document that no other load saves.
    fn save(&self, server: &Server, token: &str, headers: &str) -> Target {
        let load = self.loads.fetch_add(1, Ordering::Relaxed);
        let cms = SIGNATURE.trim();
        let json = format!(
            r#"{{"document":"{load}-{NUMBER}","thread":"bench","version":0,"cms":"{cms}","tags":["iin:123456789011","bin:123456789021"]}}"#
        );
        let request = request("POST", "/signature", token, &json);
        Target {
            address: server.address.clone(),
            request: request.replacen("\r\n", &format!("\r\n{headers}"), 1),
            numbers: Numbers::From(0),
        }
    }

    /// The rate of saves without a pause.
    fn saves_per_second(&self, server: &Server, connections: usize, seconds: u64) -> f64 {
        let target = self.save(server, &self.token, "");
        let outcome = load(vec![target], connections, Pace::Closed, seconds as f64).run();
        let rate = outcome.all_succeeded().successes_per_second();
        self.wait_until_empty();
        rate
    }

    fn saves(&self, without: &Server, seconds: u64, rounds: u64) {
        self.saves_per_second(without, CONNECTIONS, 2);
        self.saves_per_second(&self.server, CONNECTIONS, 2);
        for connections in [CONNECTIONS, 1] {
            let rate = |server| self.saves_per_second(server, connections, seconds);
            let [before, with, ratio] = alternate(rounds, || rate(without), || rate(&self.server));
            verdict(
                ratio >= SAVES,
                &format!(
                    "{connections:2} connections: {with:.0} saves a second with a log, {before:.0} without: {ratio:.3} (target {SAVES})"
                ),
            );
        }
    }

    fn wal(&self, without: &Server, rounds: u64) {
        let of_version = |server: &Server| {
            let target = self.save(server, &self.token, "");
            let before = self.wal_bytes();
            let load = load(vec![target], CONNECTIONS, Pace::Times(WAL_SAVES), 0.0);
            let saved = load.run().all_succeeded().answers.len();
            self.wait_until_empty();
            (self.wal_bytes() - before) as f64 / saved as f64
        };
        // A page is written as a whole the first time after a checkpoint, which depends on when there is one: this is
        // measured without one.
        let mut owner = self.owner();
        for statement in [
            "ALTER SYSTEM SET max_wal_size = '64GB'",
            "ALTER SYSTEM SET checkpoint_timeout = '1h'",
            "SELECT pg_reload_conf()",
            "CHECKPOINT",
        ] {
            sql_query(statement).execute(&mut owner).unwrap();
        }
        of_version(without);
        of_version(&self.server);
        let [before, with, ratio] =
            alternate(rounds, || of_version(without), || of_version(&self.server));
        verdict(
            ratio <= WAL,
            &format!(
                "{with:.0} bytes of the write-ahead log for a version with a log, {before:.0} without: {ratio:.3} (target {WAL})"
            ),
        );
        for statement in ["ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"] {
            sql_query(statement).execute(&mut owner).unwrap();
        }
    }

    /// The time from a save's answer to its entry under a signed checkpoint, at half of the top rate.
    fn lag(&self, seconds: u64) {
        let top = self.saves_per_second(&self.server, CONNECTIONS, 4);
        let target = self.save(&self.server, &self.token, "");
        let beside = load(vec![target], 64, Pace::Open(top / 2.0), seconds as f64).start();
        let targets = vec![
            self.save(&self.server, &self.token, ""),
            self.save(&self.server, &self.token, "prefer: wait=10\r\n"),
        ];
        // An even number of connections shares the targets evenly.
        let pace = Pace::Open(2.0 * WAITING_SAVES);
        let outcome = load(targets, 32, pace, seconds as f64).run();
        let outcome = outcome.all_succeeded();
        beside.finish().all_succeeded();
        self.wait_until_empty();
        let plain = percentile(&outcome.times(0), 50);
        let waited = outcome.times(1);
        let [p50, p99] = [50, 99].map(|percent| percentile(&waited, percent) - plain);
        verdict(
            p99 <= LAG_MS,
            &format!(
                "at {:.0} saves a second, 99% of {} entries are signed {p99:.0} ms after the save, half {p50:.0} ms (target {LAG_MS}); a save takes {plain:.1} ms",
                top / 2.0,
                waited.len()
            ),
        );
    }

    fn top(&self, seconds: u64) {
        let target = self.save(&self.server, &self.token, "");
        let load = load(vec![target], CONNECTIONS, Pace::Closed, seconds as f64).start();
        let is_over = AtomicBool::new(false);
        let (outcome, most) = std::thread::scope(|scope| {
            let most = scope.spawn(|| {
                let (mut owner, mut most) = (self.owner(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    most = most.max(figure(&mut owner, "SELECT count(*) FROM log_queue"));
                    sleep(Duration::from_millis(200));
                }
                most
            });
            let outcome = load.finish();
            is_over.store(true, Ordering::Relaxed);
            (outcome, most.join().unwrap())
        });
        let rate = outcome.all_succeeded().successes_per_second();
        // The load's process ends a moment after its last save.
        let empty = self.wait_until_empty().as_secs_f64();
        verdict(
            empty <= EMPTY_S,
            &format!(
                "after {seconds} s of {rate:.0} saves a second, the queue is empty within {empty:.1} s (target {EMPTY_S}); at most {most} rows were in it"
            ),
        );
    }

    fn proofs(&self, entries: u64, seconds: u64, rounds: u64) {
        let mut owner = self.owner();
        // The rows wait until all are there.
        figure(
            &mut owner,
            &format!("SELECT 1 FROM pg_advisory_lock({SEQUENCER})"),
        );
        let name = {
            let target = self.save(&self.server, &self.token, "");
            for group in 0..GROUPS {
                let target = Target {
                    numbers: Numbers::From(group * OF_GROUP),
                    ..target.clone()
                };
                load(vec![target], PROVING, Pace::Times(OF_GROUP), 0.0)
                    .run()
                    .all_succeeded();
                let others = entries / GROUPS - OF_GROUP;
                sql_query(format!(
                    "INSERT INTO log_queue (tenant_id, kind, seal, salt, event) \
                     SELECT 1, 'c', sha256(int8send(n)), decode(md5(n::text), 'hex'), \
                            '{{\"type\":\"token.issue\",\"target\":\"' || n || '\",\"actor\":{{\"kind\":\"tenant\",\"subject\":\"olga\"}}}}' \
                     FROM generate_series(1::bigint, {others}) n"
                ))
                .execute(&mut owner)
                .unwrap();
            }
            self.loads.load(Ordering::Relaxed) - 1
        };
        let since = Instant::now();
        figure(
            &mut owner,
            &format!("SELECT 1 FROM pg_advisory_unlock({SEQUENCER})"),
        );
        self.wait_until_empty();
        println!(
            "       {:.0} of {entries} entries are numbered and signed a second",
            entries as f64 / since.elapsed().as_secs_f64()
        );
        let size = figure(
            &mut owner,
            "SELECT size FROM log_epochs WHERE tenant_id = 1",
        );
        let get = |path: &str| {
            let path = format!("{path}?document={name}-{NUMBER}&thread=bench");
            let target = Target {
                address: self.server.address.clone(),
                request: request("GET", &path, &self.token, ""),
                numbers: Numbers::Below(GROUPS * OF_GROUP),
            };
            let load = load(vec![target], PROVING, Pace::Closed, seconds as f64 / 2.0);
            percentile(&load.run().all_succeeded().times(0), 50)
        };
        let [read, proof, ratio] =
            alternate(rounds, || get("/signature"), || get("/signature/proof"));
        verdict(
            proof <= PROOF_MS,
            &format!(
                "{PROVING} connections: half of the proofs among {size} entries take at most {proof:.2} ms (target {PROOF_MS}), reads {read:.2} ms: {ratio:.2}"
            ),
        );
    }

    fn waiters(&self, waiters: u64, seconds: u64) {
        let other = &self.others[0].token;
        let window = |()| {
            let target = self.save(&self.server, other, "");
            // All windows are over before the requests have waited.
            let seconds = seconds.min(3) as f64;
            let load = load(vec![target], 32, Pace::Open(STEADY), seconds);
            percentile(&load.run().all_succeeded().times(0), 99)
        };
        let p99 = || median([(); WINDOWS].map(window).to_vec());
        p99();
        let before = self.resident_mb();
        let mut owner = self.owner();
        let head = figure(
            &mut owner,
            "SELECT size FROM log_epochs WHERE tenant_id = 1",
        );
        let path = format!("/events?after={head}&wait=25");
        let target = Target {
            address: self.server.address.clone(),
            request: request("GET", &path, &self.token, ""),
            numbers: Numbers::From(0),
        };
        let number = usize::try_from(waiters).unwrap();
        let mut waiting_mb = Vec::new();
        let mut wait = || {
            let load = load(vec![target.clone()], number, Pace::Times(waiters), 0.0);
            let waiting = load.start();
            // Time until all wait.
            sleep(Duration::from_secs(6));
            let p99 = p99();
            waiting_mb.push(self.resident_mb());
            let outcome = waiting.finish().all_succeeded();
            let soonest = percentile(&outcome.times(0), 0);
            assert!(soonest >= 25_000.0, "one waited only {soonest} ms");
            p99
        };
        let [alone, beside, ratio] = alternate(1, p99, &mut wait);
        let more = waiting_mb.iter().copied().fold(0.0, f64::max) - before;
        verdict(
            more <= WAITERS_MB,
            &format!(
                "{waiters} waiting requests take {more:.0} MB of the server's memory beside {before:.0} MB (target {WAITERS_MB})"
            ),
        );
        verdict(
            ratio <= BESIDE_WAITERS,
            &format!(
                "99% of another tenant's {STEADY} saves a second take at most {beside:.1} ms beside them, {alone:.1} ms alone: {ratio:.2} (target {BESIDE_WAITERS})"
            ),
        );
    }

    fn webhooks(&self, seconds: u64) {
        // What was saved before is not told.
        self.wait_until_empty();
        let receiver = Receiver::start();
        for (number, tenant) in self.others.iter().enumerate() {
            let url = format!("http://{}/{NUMBER}", receiver.address);
            let json = format!(r#"{{"url":"{url}","types":["version."]}}"#);
            let target = Target {
                address: self.server.address.clone(),
                request: request("POST", "/webhooks", &tenant.manager, &json),
                numbers: Numbers::From((number * WEBHOOKS) as u64),
            };
            load(vec![target], 1, Pace::Times(WEBHOOKS as u64), 0.0)
                .run()
                .all_succeeded();
        }
        let answered = self.save_steadily(seconds);
        let wanted = answered.len() * WEBHOOKS;
        let deliveries = all(&receiver, wanted);
        let distinct: HashSet<_> = deliveries
            .iter()
            .map(|delivery| (&delivery.path, &delivery.document))
            .collect();
        let lags = deliveries.iter().map(|delivery| {
            let answered = answered[&delivery.document];
            delivery
                .at
                .saturating_duration_since(answered)
                .as_secs_f64()
        });
        let mut lags: Vec<_> = lags.collect();
        lags.sort_by(f64::total_cmp);
        verdict(
            distinct.len() == wanted && deliveries.len() == wanted,
            &format!(
                "{} of {wanted} events were delivered, {} of them again",
                distinct.len(),
                deliveries.len() - distinct.len()
            ),
        );
        let [p50, p99] = [50, 99].map(|percent| percentile(&lags, percent));
        verdict(
            p99 <= CALL_S,
            &format!(
                "at {CALLED_SAVES} saves a second of {CALLED} tenants with {WEBHOOKS} webhooks each, 99% of the calls come {p99:.2} s after the save, half {p50:.2} s (target {CALL_S})"
            ),
        );
        let targets = self.others.iter();
        let targets = targets.map(|tenant| self.save(&self.server, &tenant.token, ""));
        load(targets.collect(), CONNECTIONS, Pace::Times(BACKLOG), 0.0)
            .run()
            .all_succeeded();
        let deliveries = all(&receiver, BACKLOG as usize * WEBHOOKS);
        let times = || deliveries.iter().map(|delivery| delivery.at);
        let taken = times().max().unwrap() - times().min().unwrap();
        println!(
            "       {:.0} calls a second of a backlog of {}",
            deliveries.len() as f64 / taken.as_secs_f64(),
            deliveries.len()
        );
    }

    /// Saves of all tenants with webhooks in turn, and when each was answered.
    fn save_steadily(&self, seconds: u64) -> HashMap<String, Instant> {
        let (answered, threads) = (Mutex::new(HashMap::new()), 4);
        let since = Instant::now();
        let step = Duration::from_secs(1) / CALLED_SAVES;
        let saves = CALLED_SAVES * u32::try_from(seconds).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let answered = &answered;
                scope.spawn(move || {
                    let mut stream = connect(&self.server.address);
                    for number in (thread..saves).step_by(threads as usize) {
                        sleep((since + step * number).saturating_duration_since(Instant::now()));
                        let tenant = &self.others[number as usize % CALLED];
                        let document = format!("steady-{number}");
                        assert_eq!(save(&mut stream, &tenant.token, &document, ""), 201);
                        let mut answered = answered.lock().unwrap();
                        answered.insert(document, Instant::now());
                    }
                });
            }
        });
        answered.into_inner().unwrap()
    }

    /// Waits until everything is numbered. Returns how long that took.
    fn wait_until_empty(&self) -> Duration {
        let (since, mut owner) = (Instant::now(), self.owner());
        while figure(
            &mut owner,
            "SELECT count(*) FROM (SELECT FROM log_queue LIMIT 1) q",
        ) > 0
        {
            assert!(since.elapsed() < PATIENCE, "the queue is not emptied");
            sleep(Duration::from_millis(20));
        }
        since.elapsed()
    }

    fn wal_bytes(&self) -> i64 {
        let position = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')";
        figure(&mut self.owner(), position)
    }

    /// Connects as a superuser, who sees all rows.
    fn owner(&self) -> PgConnection {
        PgConnection::establish(&self.database).unwrap()
    }

    /// Resident memory of the server.
    fn resident_mb(&self) -> f64 {
        let path = format!("/proc/{}/status", self.server.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }
}

fn load(targets: Vec<Target>, connections: usize, pace: Pace, seconds: f64) -> Load {
    Load {
        targets,
        connections,
        pace,
        seconds,
        hangs_up: false,
    }
}

/// Measures without, with and without something in each round. Returns the medians of both and of the rounds' ratios.
fn alternate(
    rounds: u64,
    mut without: impl FnMut() -> f64,
    mut with: impl FnMut() -> f64,
) -> [f64; 3] {
    let mut figures = [const { Vec::new() }; 3];
    let mut before = without();
    for _ in 0..rounds {
        let figure = with();
        let after = without();
        let ratio = figure / f64::midpoint(before, after);
        for (figures, figure) in figures.iter_mut().zip([after, figure, ratio]) {
            figures.push(figure);
        }
        before = after;
    }
    figures.map(median)
}

/// Waits until this many calls were made, and for any that come again.
fn all(receiver: &Receiver, wanted: usize) -> Vec<Delivery> {
    let since = Instant::now();
    while receiver.count() < wanted && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_secs(1));
    receiver.take()
}

/// The only value of a query.
fn figure(owner: &mut PgConnection, query: &str) -> i64 {
    let query = format!("SELECT figure::bigint FROM ({query}) AS f (figure)");
    let row: Figure = sql_query(query).get_result(owner).unwrap();
    row.figure
}

fn verdict(holds: bool, what: &str) {
    println!("{} {what}", if holds { "met   " } else { "MISSED" });
}
