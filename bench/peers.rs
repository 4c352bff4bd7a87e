//! Saves and reads of 12 KB signatures per second, and their times, compared with the same four routes in common
//! frameworks: `FastAPI` with asyncpg, and Express with pg (`bench/peers`). `cargo bench --bench peers`.
//!
//! All use the same Postgres with the same durability on one machine, so only ratios apply elsewhere. First each gets
//! as much load as it can handle; then all get the same load, below the maximum of the slowest. The contestants
//! alternate, and each figure is the median of its rounds. `SECONDS`, `ROUNDS`, `DOCUMENTS` and `WORKERS` in the
//! environment change this. Python 3 and Node with npm are required; the packages of the peers are installed under
//! `target`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/paced.rs"]
mod paced;
#[path = "support/peer.rs"]
mod peer;
#[expect(dead_code, reason = "the load has a client of its own")]
mod support;

use std::path::Path;

use paced::{CONNECTIONS, Figures, Kind, Load};
use peer::{Database, Peer, psql};
use support::{SIGNATURE, Server, command, folder, median, setting};

const KINDS: [Kind; 2] = [Kind::Save, Kind::Read];
/// Targets for saves and for reads: this many times the rate of either peer.
const TARGETS: [f64; 2] = [3.0, 5.0];
/// The equal load, as a share of the slowest contestant's maximum.
const SHARE: f64 = 0.6;
const WARM_UP_SECONDS: f64 = 2.0;

struct Contestant<'a> {
    name: &'static str,
    address: &'a str,
    database: &'static str,
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some(paced::ARGUMENT) {
        return Load::main();
    }
    let (seconds, rounds) = (setting("SECONDS", 5), setting("ROUNDS", 3));
    let (documents, workers) = (setting("DOCUMENTS", 4_000), setting("WORKERS", 2));

    let folder = folder();
    let data_dir = folder.path().join("data");
    command(&data_dir, &["tenant", "create", "bench"]);
    let key = command(&data_dir, &["--json", "key", "add", "bench"]);
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let [kid, secret] = ["kid", "secret"].map(|name| key[name].as_str().unwrap());
    let token = command(&data_dir, &["token", "issue", "bench", "--ttl", "1d"]);
    let server = Server::start(&data_dir, &[]);
    let socket_dir = data_dir.join("run");
    let database = |name| Database::create(&socket_dir, name, kid, secret);
    let fastapi = Peer::fastapi(&database("fastapi"), workers);
    let express = Peer::express(&database("express"), workers);
    let contestants = [
        ("sigpersist", &server.address, "sigpersist"),
        ("FastAPI", &fastapi.address, "fastapi"),
        ("Express", &express.address, "express"),
    ]
    .map(|(name, address, database)| Contestant {
        name,
        address,
        database,
    });

    let load = Load {
        address: String::new(),
        token,
        kind: Kind::Save,
        name: "stored".to_owned(),
        documents,
        seconds: None,
        pace: None,
    };
    for contestant in &contestants {
        println!("saving {documents} documents with {} …", contestant.name);
        contestant.send(&load);
        psql(
            &socket_dir,
            "postgres",
            contestant.database,
            "VACUUM ANALYZE;",
        );
    }
    let measure = Measure {
        contestants: &contestants,
        load,
        socket_dir: &socket_dir,
        rounds,
    };
    println!("warming up …");
    measure.round("warm-up", WARM_UP_SECONDS, [None; 2], 0);
    let peaks = measure.rounds("peak", seconds as f64, [None; 2]);
    let paces = peaks.map(|of_kind| {
        let slowest = of_kind.iter().map(|figures| figures.per_second);
        SHARE * slowest.fold(f64::INFINITY, f64::min)
    });
    let paced = measure.rounds("equal load", seconds as f64, paces.map(Some));

    println!(
        "\n{CONNECTIONS} connections, {} bytes a signature, two tags, HS256, fsync on, reads among {documents} documents; peers with {workers} workers each; median of {rounds} rounds of {seconds} s; ratios compare sigpersist with each",
        SIGNATURE.trim().len()
    );
    let mut verdicts = Vec::new();
    for (place, kind) in KINDS.into_iter().enumerate() {
        let (peaks, paced, pace) = (&peaks[place], &paced[place], paces[place]);
        verdicts.extend(table(
            kind,
            &contestants,
            peaks,
            paced,
            pace,
            TARGETS[place],
        ));
    }
    println!();
    for (met, what) in verdicts {
        println!("{} {what}", if met { "met:   " } else { "missed:" });
    }
}

impl Contestant<'_> {
    fn send(&self, load: &Load) -> Figures {
        let load = Load {
            address: self.address.to_owned(),
            ..load.clone()
        };
        load.run()
    }
}

struct Measure<'a> {
    contestants: &'a [Contestant<'a>; 3],
    /// The load for the documents that are stored.
    load: Load,
    socket_dir: &'a Path,
    rounds: u64,
}

impl Measure<'_> {
    /// The medians by kind and contestant.
    fn rounds(&self, name: &str, seconds: f64, paces: [Option<f64>; 2]) -> [[Figures; 3]; 2] {
        let all: Vec<_> = (0..self.rounds)
            .map(|round| {
                println!("{name}, round {} of {} …", round + 1, self.rounds);
                self.round(
                    &format!("{name}-{round}").replace(' ', "-"),
                    seconds,
                    paces,
                    round,
                )
            })
            .collect();
        std::array::from_fn(|kind| {
            std::array::from_fn(|contestant| {
                let figure = |of: fn(&Figures) -> f64| {
                    median(
                        all.iter()
                            .map(|round| of(&round[kind][contestant]))
                            .collect(),
                    )
                };
                Figures {
                    per_second: figure(|it| it.per_second),
                    p50_ms: figure(|it| it.p50_ms),
                    p99_ms: figure(|it| it.p99_ms),
                }
            })
        })
    }

    /// One measurement of each contestant with each kind. A different contestant begins each round.
    fn round(
        &self,
        name: &str,
        seconds: f64,
        paces: [Option<f64>; 2],
        round: u64,
    ) -> [[Figures; 3]; 2] {
        let mut found = [[None; 3]; 2];
        for (of_kind, (kind, pace)) in found.iter_mut().zip(KINDS.into_iter().zip(paces)) {
            let mut load = Load {
                kind,
                seconds: Some(seconds),
                pace,
                ..self.load.clone()
            };
            if kind == Kind::Save {
                (load.name, load.documents) = (name.to_owned(), u64::MAX);
            }
            for turn in 0..3 {
                let place = (turn + round as usize) % 3;
                // Writes dirty buffers now, so that the next contestant does not pay for the one before.
                psql(self.socket_dir, "postgres", "postgres", "CHECKPOINT;");
                of_kind[place] = Some(self.contestants[place].send(&load));
            }
        }
        found.map(|of_kind| of_kind.map(Option::unwrap))
    }
}

/// Prints the results of a kind, and returns whether each target was met.
fn table(
    kind: Kind,
    contestants: &[Contestant<'_>; 3],
    peaks: &[Figures; 3],
    paced: &[Figures; 3],
    pace: f64,
    target: f64,
) -> Vec<(bool, String)> {
    let what = match kind {
        Kind::Save => "saves",
        Kind::Read => "reads",
    };
    println!(
        "\n{what:10}  a second   ratio   p50 ms   p99 ms   at {pace:.0} a second: p50 ms   p99 ms   ratio"
    );
    let mut verdicts = Vec::new();
    for ((contestant, peak), paced_figures) in contestants.iter().zip(peaks).zip(paced) {
        let ratio = peaks[0].per_second / peak.per_second;
        let paced_ratio = paced[0].p99_ms / paced_figures.p99_ms;
        println!(
            "{:10}  {:8.0}  {ratio:5.2}x {:8.2} {:8.2}   {:>27.2} {:8.2}  {paced_ratio:5.2}x",
            contestant.name,
            peak.per_second,
            peak.p50_ms,
            peak.p99_ms,
            paced_figures.p50_ms,
            paced_figures.p99_ms
        );
        if paced_figures.per_second < 0.95 * pace {
            println!(
                "{:10}  handled only {:.0} a second of that load",
                "", paced_figures.per_second
            );
        }
        if contestant.name != contestants[0].name {
            let name = contestant.name;
            verdicts.push((
                ratio >= target,
                format!(
                    "{what}: {ratio:.2} times the rate of {name} (target at least {target:.0})"
                ),
            ));
            verdicts.push((
                paced_ratio < 1.0,
                format!("p99 of {what}: {paced_ratio:.2} of that of {name} at the same load (target below 1)"),
            ));
        }
    }
    verdicts
}
