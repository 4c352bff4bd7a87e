//! Effect of one tenant's endless hook on the saves of another tenant: `make bench`.
//!
//! One tenant saves at a steady pace, first alone, and then while 16 connections of another tenant save without a
//! pause, each stopped at its hook's deadline. Both measurements alternate, and the result is the median of the rounds'
//! 99th percentiles. Quarantine is off, so that the hook keeps running.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[expect(dead_code, reason = "tests use the rest")]
#[path = "../tests/integration/support/guest.rs"]
mod guest;
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::{Server, command, connect, folder, median, new_tenant, save, setting};

/// The hook of the tenant that is measured.
const SMALL: &str = "bench/extism/guests/typed/typed.wasm";
/// Connections of the measured tenant, and the interval between saves of each.
const STEADY: u32 = 8;
const PAUSE: Duration = Duration::from_millis(40);
/// Connections of the tenant with the endless hook.
const SPINNING: usize = 16;
/// Limit for the growth of the measured tenant's 99th percentile.
const LIMIT: f64 = 1.5;

fn main() {
    let (seconds, rounds) = (setting("SECONDS", 8), setting("ROUNDS", 3));
    let folder = folder();
    let data_dir = folder.path().join("data");
    let steady = new_tenant(&data_dir, "steady");
    let spinning = new_tenant(&data_dir, "spinning");
    let spin = folder.path().join("spin.wasm");
    let guest = guest::Guest {
        judge: guest::LOOP,
        ..guest::Guest::default()
    };
    std::fs::write(&spin, guest.component()).unwrap();
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join(SMALL);
    for (tenant, plugin, path) in [("spinning", "spin", spin), ("steady", "small", small)] {
        command(
            &data_dir,
            &["plugin", "upload", plugin, path.to_str().unwrap()],
        );
        command(
            &data_dir,
            &["hook", "set", tenant, plugin, "--plugin", plugin],
        );
    }
    let off = [
        ("SIGPERSIST_HOOKS_QUARANTINE_FAILURES", "0"),
        ("SIGPERSIST_HOOKS_QUARANTINE_PERCENT", "0"),
    ];
    let server = Server::start(&data_dir, &off);
    let time = Duration::from_secs(seconds);
    let [mut alone, mut beside] = [Vec::new(), Vec::new()];
    let refused = AtomicU32::new(0);
    for round in 0..rounds {
        println!("round {} of {rounds} …", round + 1);
        alone.push(p99(
            &server.address,
            &steady,
            &format!("alone-{round}"),
            time,
        ));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for connection in 0..SPINNING {
                let (address, token, stop, refused) = (&server.address, &spinning, &stop, &refused);
                scope.spawn(move || {
                    let mut stream = connect(address);
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let document = format!("spin-{round}-{connection}-{number}");
                        assert!(save(&mut stream, token, &document, "") != 201);
                        refused.fetch_add(1, Ordering::Relaxed);
                        number += 1;
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(500));
            beside.push(p99(
                &server.address,
                &steady,
                &format!("beside-{round}"),
                time,
            ));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let (alone, beside) = (median(alone), median(beside));
    println!(
        "\na tenant that saves {:.0} times a second: 99% of its saves take at most",
        f64::from(STEADY) / PAUSE.as_secs_f64()
    );
    println!("{alone:6.2} ms alone");
    println!(
        "{beside:6.2} ms beside {SPINNING} connections whose hook never ends ({} of their saves were refused), {:.2} times as long",
        refused.load(Ordering::Relaxed),
        beside / alone
    );
    let held = beside <= LIMIT * alone;
    println!(
        "{} at most {LIMIT} times",
        if held { "met:   " } else { "missed:" }
    );
}

/// The 99th percentile of a tenant's saves at a steady pace, in milliseconds.
fn p99(address: &str, token: &str, name: &str, time: Duration) -> f64 {
    let end = Instant::now() + time;
    let mut taken: Vec<f64> = std::thread::scope(|scope| {
        let connections: Vec<_> = (0..STEADY)
            .map(|connection| {
                scope.spawn(move || {
                    let mut stream = connect(address);
                    let mut taken = Vec::new();
                    // Each connection begins at a different moment.
                    let mut next = Instant::now() + PAUSE / STEADY * connection;
                    while next < end {
                        std::thread::sleep(next.saturating_duration_since(Instant::now()));
                        let document = format!("{name}-{connection}-{}", taken.len());
                        assert_eq!(save(&mut stream, token, &document, ""), 201);
                        // Measures from the time when the save was due, even if it was sent late.
                        taken.push(next.elapsed().as_secs_f64() * 1000.0);
                        next += PAUSE;
                    }
                    taken
                })
            })
            .collect();
        let connections = connections.into_iter();
        connections
            .flat_map(|connection| connection.join().unwrap())
            .collect()
    });
    taken.sort_by(f64::total_cmp);
    taken[taken.len() * 99 / 100]
}
