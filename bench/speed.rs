//! Saves and reads of 12 KB signatures per second over HTTP, compared with pgbench running the SQL of a single one on
//! the same Postgres; the server saves simultaneous first versions in batches. The yardstick of saves is one plain
//! statement; pgbench also calls the function that the server calls. `make bench`.
//!
//! Everything shares one machine, so the figures are low and only their ratios apply elsewhere. The contestants
//! alternate, and the result is the median of the rounds' ratios. `SECONDS` and `ROUNDS` in the environment make it
//! longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/offer.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod offer;
#[path = "support/pgbench.rs"]
mod pgbench;
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use offer::{Load, NUMBER, Numbers, Pace, Target, request};
use sigpersist_model::signature::SignatureBody;
use sigpersist_model::term::SignerTerm;
use sigpersist_verify::report;
use support::{SIGNATURE, Server, folder, median, new_tenant, setting};

const CONNECTIONS: usize = 16;
/// Documents that are read, in random order.
const STORED: u64 = 5_000;
/// Minimum ratios of the server's saves and reads to pgbench's.
const SAVES: f64 = 1.0;
const READS: f64 = 0.6;

/// The terms of the signature's signers, as the server stores them: an array for Postgres.
fn signers() -> String {
    let body = SignatureBody::from_text(SIGNATURE.trim());
    let report = report(&body.as_sent(), None);
    let terms = SignerTerm::of_signers(report.signers.iter());
    let quoted: Vec<_> = terms.iter().map(|term| format!("\"{term}\"")).collect();
    format!("{{{}}}", quoted.join(","))
}

fn main() {
    if offer::was_the_load() {
        return;
    }
    let (seconds, rounds) = (setting("SECONDS", 5), setting("ROUNDS", 5));
    let folder = folder();
    let data_dir = folder.path().join("data");
    let token = new_tenant(&data_dir, "bench");
    let server = Server::start(&data_dir, &[]);
    let per_second = |request: String, numbers, seconds| {
        let load = Load {
            targets: vec![Target {
                address: server.address.clone(),
                request,
                numbers,
            }],
            connections: CONNECTIONS,
            pace: Pace::Closed,
            seconds,
            hangs_up: false,
        };
        load.run().all_succeeded().successes_per_second()
    };
    let cms = SIGNATURE.trim();
    let save = |thread: &str| {
        let json = format!(
            r#"{{"document":"{NUMBER}","thread":"{thread}","version":0,"cms":"{cms}","tags":["iin:123456789011","bin:123456789021"]}}"#
        );
        request("POST", "/signature", &token, &json)
    };
    let get = request(
        "GET",
        &format!("/signature?document={NUMBER}&thread=stored"),
        &token,
        "",
    );
    println!("saving the documents to read …");
    fill(&server.address, &save("stored"));
    let signature = pgbench::bytea(SIGNATURE);
    let pgbench = |script, variables: &[(&str, &str)]| {
        pgbench::transactions_per_second(&data_dir, script, variables, CONNECTIONS, seconds)
    };
    let stored = STORED.to_string();
    // Reads come first, since saves keep Postgres busy for a while afterwards.
    let reads = rounds_of("reads", rounds, |_| {
        (
            pgbench("get.sql", &[("stored", &stored)]),
            per_second(get.clone(), Numbers::Below(STORED), seconds as f64),
        )
    });
    let signers = signers();
    let variables = [
        ("signature", &*signature),
        ("tags", "{iin:123456789011,bin:123456789021}"),
        ("signers", &*signers),
    ];
    let mut calls = Vec::new();
    let saves = rounds_of("saves", rounds, |round| {
        let saves = save(&format!("round-{round}"));
        let plain = pgbench("plain.sql", &variables);
        calls.push(pgbench("save.sql", &variables) / plain);
        (plain, per_second(saves, Numbers::From(0), seconds as f64))
    });
    println!(
        "\n{CONNECTIONS} connections, {} bytes a signature, two tags, fsync on; median of {rounds} rounds of {seconds} s",
        SIGNATURE.len()
    );
    println!(
        "pgbench calls the function at {:.2} of the rate of the plain statement",
        median(calls)
    );
    for (what, [sql, figure, ratio], target) in [("saves", saves, SAVES), ("reads", reads, READS)] {
        let held = if ratio >= target { "met   " } else { "MISSED" };
        println!(
            "{held} {what} {figure:6.0} a second, pgbench {sql:6.0}: {ratio:.2} (target {target})"
        );
    }
}

/// The medians of pgbench's rate, of the server's rate, and of the rounds' ratios.
fn rounds_of(what: &str, rounds: u64, mut round: impl FnMut(u64) -> (f64, f64)) -> [f64; 3] {
    let mut figures = [const { Vec::new() }; 3];
    for number in 0..rounds {
        println!("{what}: round {} of {rounds} …", number + 1);
        let (sql, figure) = round(number);
        for (figures, figure) in figures.iter_mut().zip([sql, figure, figure / sql]) {
            figures.push(figure);
        }
    }
    figures.map(median)
}

/// Saves the documents that are read later.
fn fill(address: &str, save: &str) {
    let load = Load {
        targets: vec![Target {
            address: address.to_owned(),
            request: save.to_owned(),
            numbers: Numbers::From(0),
        }],
        connections: CONNECTIONS,
        pace: Pace::Times(STORED),
        seconds: 0.0,
        hangs_up: false,
    };
    load.run().all_succeeded();
}
