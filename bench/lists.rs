//! Lists of a tenant with ten million threads, compared with those of a tenant with ten thousand, which has its own
//! database: `make bench-lists`.
//!
//! One client sends requests to both in turn over HTTP. Equal times show that the cost of a page does not depend on the
//! number of threads. Afterwards, the benchmark reads the plans of the statements that the servers sent from Postgres's
//! log. `ROWS` in the environment makes the larger tenant smaller, and `SECONDS` each list longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/filled.rs"]
mod filled;
#[path = "support/offer.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod offer;
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use std::path::Path;

use filled::{Filled, Place};
use offer::{Load, Numbers, Pace, Target, percentile, request};
use serde_json::Value;
use support::setting;

/// Threads of the smaller tenant.
const FEW: u64 = 10_000;
/// Depth of the cursor in the larger tenant.
const DEPTH: u64 = 100_000;
/// Threads of a page.
const PAGE: u64 = 20;
/// Maximum number of rows of a step in a plan: with three common tags, one in seventy threads with the rarest tag has
/// the others too.
const MOST_ROWS: f64 = 3_000.0;

/// A list: its name, its query, the tag whose cursor it continues from, and the target for its time relative to the
/// smaller tenant's. There is no target if each request has another rare tag, since the threads of ten million are not
/// in Postgres's buffers.
struct List {
    name: &'static str,
    query: &'static str,
    after: Option<&'static str>,
    target: Option<f64>,
}

const LISTS: [List; 18] = [
    List {
        name: "newest of all",
        query: "",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "newest of a common tag",
        query: "&tags=kind:3",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "newest of a rare tag",
        query: "&tags=customer:0000000042",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "newest of changing rare tags",
        query: "&tags=customer:NNNNNNNNNN",
        after: None,
        target: None,
    },
    List {
        name: "deep in a common tag",
        query: "&tags=kind:3",
        after: Some("kind:3"),
        target: Some(1.2),
    },
    List {
        name: "any of a common and a rare",
        query: "&tags=kind:3&tags=customer:0000000007",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "all of three common tags",
        query: "&tags=kind:3&tags=signed&tags=urgent&tags_match=all",
        after: None,
        target: Some(2.0),
    },
    List {
        name: "all of two common, one rare",
        query: "&tags=signed&tags=urgent&tags=customer:0000000042&tags_match=all",
        after: None,
        target: Some(2.0),
    },
    List {
        name: "the same, changing rare tags",
        query: "&tags=signed&tags=urgent&tags=customer:NNNNNNNNNN&tags_match=all",
        after: None,
        target: None,
    },
    List {
        name: "newest of a common signer",
        query: "&signer=bin:000000000003",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "newest of a rare signer",
        query: "&signer=iin:000000000042",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "newest without a signer",
        query: "&not_signed_by=bin:000000000003",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "newest of a verdict",
        query: "&verdict=passed",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "oldest since a time",
        query: "&direction=asc&created_since=2026-01-01%2001:00:00",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "last changed",
        query: "&order=updated",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "last changed before a time",
        query: "&updated_until=2026-01-01%2001:00:00",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "last changed of a rare tag",
        query: "&order=updated&tags=customer:0000000042",
        after: None,
        target: Some(1.2),
    },
    List {
        name: "last changed of a common tag",
        query: "&order=updated&tags=kind:3",
        after: None,
        target: Some(2.0),
    },
];

fn main() {
    if offer::was_the_load() {
        return;
    }
    let (rows, seconds) = (setting("ROWS", 10_000_000), setting("SECONDS", 10));
    let few = Filled::new("few", FEW);
    let many = Filled::new("many", rows);
    println!(
        "\npages of {PAGE}, including signatures; times in ms over HTTP, {FEW} threads : {rows} threads"
    );
    {
        let servers = [few.serve(), many.serve()];
        for list in &LISTS {
            let sides = [(&few, FEW / 20), (&many, DEPTH.min(rows / 20))];
            let targets = sides.iter().zip(&servers).map(|((filled, depth), server)| {
                let after = list.after.map(|tag| filled.place(tag, *depth));
                target(filled, &server.address, list.query, after)
            });
            measure(list, targets.collect(), seconds);
        }
    }
    println!("\nhow Postgres ran the servers' own statements, under their role and tenant:");
    for filled in [&few, &many] {
        explain(filled);
    }
}

fn target(filled: &Filled, address: &str, query: &str, after: Option<Place>) -> Target {
    let cursor = after.map_or(String::new(), |place| format!("&cursor={}", place.cursor()));
    let path = format!("/signatures?limit={PAGE}{query}{cursor}");
    Target {
        address: address.to_owned(),
        request: request("GET", &path, &filled.token, ""),
        numbers: Numbers::Below(filled.customers()),
    }
}

fn measure(list: &List, targets: Vec<Target>, seconds: u64) {
    let load = |seconds| Load {
        targets: targets.clone(),
        connections: 1,
        pace: Pace::Closed,
        seconds,
        hangs_up: false,
    };
    let (warm_up, measured) = (load(1.0), load(seconds as f64));
    warm_up.run().all_succeeded();
    let outcome = measured.run().all_succeeded();
    let [few, many] = [0, 1].map(|target| outcome.times(target));
    let [of_few, of_many] = [&few, &many].map(|times| percentile(times, 50));
    let ratio = of_many / of_few;
    let (held, target) = match list.target {
        None => ("      ", "no target".to_owned()),
        Some(target) if ratio <= target => ("met   ", format!("target {target}")),
        Some(target) => ("MISSED", format!("target {target}")),
    };
    println!(
        "{held} {:30} median {of_few:6.2} : {of_many:6.2} = {ratio:4.2} ({target}), p99 {:6.2} : {:6.2}, of {} requests",
        list.name,
        percentile(&few, 99),
        percentile(&many, 99),
        few.len() + many.len()
    );
}

/// Lets the server list everything again, and checks the plans that Postgres used.
fn explain(filled: &Filled) {
    let plans = {
        let server = filled.serve();
        filled.configure(&[
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_analyze", "on"),
            ("auto_explain.log_format", "json"),
            ("session_preload_libraries", "auto_explain"),
        ]);
        drop(server);
        let server = filled.serve();
        for list in &LISTS {
            let after = list
                .after
                .map(|tag| filled.place(tag, DEPTH.min(filled.rows / 20)));
            let load = Load {
                targets: vec![target(filled, &server.address, list.query, after)],
                connections: 1,
                pace: Pace::Closed,
                // Long enough for Postgres to switch to a generic plan if it will.
                seconds: 1.0,
                hangs_up: false,
            };
            load.run().all_succeeded();
        }
        read_plans(&filled.data_dir().join("postgres.log"))
    };
    let mut most = 0.0;
    for plan in &plans {
        let mut nodes = Vec::new();
        collect(&plan["Plan"], &mut nodes);
        for node in nodes {
            assert!(
                node["Node Type"] != "Seq Scan",
                "a whole table is read: {plan:#}"
            );
            let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
            let rows = number("Actual Rows") + number("Rows Removed by Filter");
            most = f64::max(most, rows * number("Actual Loops"));
            assert!(most <= MOST_ROWS, "{most} rows are read: {plan:#}");
        }
    }
    println!(
        "met    {:5} {:9} threads, {} statements: no Seq Scan, and no step of a plan (Sort or other) has more than {most} rows",
        filled.name,
        filled.rows,
        plans.len(),
    );
}

/// Collects a plan node and all its descendants.
fn collect<'a>(plan: &'a Value, nodes: &mut Vec<&'a Value>) {
    nodes.push(plan);
    for below in plan["Plans"].as_array().into_iter().flatten() {
        collect(below, nodes);
    }
}

/// Reads the plans of list statements from Postgres's log, in which the later lines of an entry are indented.
fn read_plans(log: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(log).unwrap();
    let entries = log.split("  plan:\n").skip(1);
    let plans = entries.map(|entry| {
        let lines = entry.lines().take_while(|line| line.starts_with('\t'));
        let json: String = lines.collect::<Vec<_>>().join("\n");
        serde_json::from_str::<Value>(&json).unwrap()
    });
    let plans: Vec<_> = plans
        .filter(|plan| {
            let text = plan["Query Text"].as_str().unwrap_or_default();
            text.starts_with("SELECT s.id, s.document")
        })
        .collect();
    assert!(plans.len() > LISTS.len(), "there are {} plans", plans.len());
    plans
}
