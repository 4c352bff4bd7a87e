//! Cost of row-level security, measured as saves of 12 KB signatures per second with and without it, for one tenant and
//! for as many tenants as connections: `make bench`.
//!
//! For one tenant, Postgres checks its policies. For many, the server also sets the tenant of each pooled connection,
//! with and without row-level security. The contestants alternate, and the result is the median of the rounds' ratios.
//! `SECONDS` and `ROUNDS` in the environment make it longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/load.rs"]
mod load;
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use load::{CONNECTIONS, saves_per_second};
use support::{SIGNATURE, Server, folder, median, new_tenant, setting};

/// Tables that a save writes to.
const TABLES: [&str; 4] = [
    "signatures",
    "signature_versions",
    "signature_tags",
    "tenant_usage",
];
const TAGS: &str = r#","tags":["iin:123456789011","bin:123456789021"]"#;
/// Minimum ratio of the rate with row-level security to the rate without.
const TARGET: f64 = 0.95;

fn main() {
    if load::was_the_load() {
        return;
    }
    let (seconds, rounds) = (setting("SECONDS", 4), setting("ROUNDS", 5));
    let folder = folder();
    let data_dir = folder.path().join("data");
    let tokens: Vec<_> = (0..CONNECTIONS)
        .map(|number| new_tenant(&data_dir, &format!("tenant-{number}")))
        .collect();
    let server = Server::start(&data_dir, &[]);
    let mut owner = PgConnection::establish(&format!(
        "host={} user=sigpersist dbname=sigpersist",
        data_dir.join("run").display()
    ))
    .unwrap();
    let mut measure = |secured: bool, tokens: &[String], name: &str| {
        let state = if secured { "ENABLE" } else { "DISABLE" };
        for table in TABLES {
            owner
                .batch_execute(&format!("ALTER TABLE {table} {state} ROW LEVEL SECURITY"))
                .unwrap();
        }
        saves_per_second(&server.address, tokens, name, TAGS, seconds)
    };
    let one = &tokens[..1];
    measure(true, one, "warm-up");
    let mut figures = [const { [const { Vec::new() }; 3] }; 2];
    for round in 0..rounds {
        println!("round {} of {rounds} …", round + 1);
        for (figures, (whose, tokens)) in figures
            .iter_mut()
            .zip([("one", one), ("many", &tokens[..])])
        {
            let without = measure(false, tokens, &format!("{whose}-without-{round}"));
            let with = measure(true, tokens, &format!("{whose}-with-{round}"));
            // Measures again, so that other work on the machine affects both sides equally.
            let after = measure(false, tokens, &format!("{whose}-after-{round}"));
            let without = f64::midpoint(without, after);
            for (figures, figure) in figures.iter_mut().zip([without, with, with / without]) {
                figures.push(figure);
            }
        }
    }
    let bytes = SIGNATURE.len();
    println!(
        "\n{CONNECTIONS} connections, {bytes} bytes a signature, fsync on; median of {rounds} rounds of {seconds} s"
    );
    for (figures, tenants) in figures.into_iter().zip([1, CONNECTIONS]) {
        let [without, with, ratio] = figures.map(median);
        println!(
            "saves by {tenants:2} of {CONNECTIONS} tenants: {with:6.0} a second with row-level security, {without:6.0} without: {ratio:.2} (target {TARGET})"
        );
    }
}
