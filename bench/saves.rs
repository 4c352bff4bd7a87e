//! Saves of 12 KB signatures per second through the real server, without a hook, with one and with five, compared with
//! pgbench running one save as a plain statement on the same Postgres: `make bench`.
//!
//! Everything shares one machine, so the figures are low and only their ratios apply elsewhere. All save the same
//! number of tags, which the hooks derive. The contestants alternate, and each figure is the median of its rounds.
//! `SECONDS` and `ROUNDS` in the environment make it longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/load.rs"]
mod load;
#[path = "support/pgbench.rs"]
mod pgbench;
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use std::path::Path;

use load::{CONNECTIONS, requests_per_second, saves_per_second};
use support::{SIGNATURE, Server, command, folder, median, new_tenant, setting};

/// The tags that `signer-tags` derives; the client sends them if there is no hook.
const TAGS: &str = r#","tags":["iin:123456789011","bin:123456789021","signer:АХМЕТОВА АЙГЕРІМ"]"#;
/// The tags of [`TAGS`] for pgbench.
const SQL_TAGS: &str = "{iin:123456789011,bin:123456789021,signer:АХМЕТОВА АЙГЕРІМ}";
/// A hook that reads the whole signature and derives two tags, in addition to the client's one.
const SMALL: &str = "bench/extism/guests/typed/typed.wasm";
const ONE_TAG: &str = r#","tags":["iin:123456789011"]"#;

/// Signatures of a request that saves many.
const MANY: usize = 50;

/// A contestant: its name, the tags that the client sends, and its hooks.
struct Contestant {
    name: &'static str,
    tags: &'static str,
    hooks: usize,
    plugin: &'static str,
}

const CONTESTANTS: [Contestant; 4] = [
    Contestant {
        name: "plain",
        tags: TAGS,
        hooks: 0,
        plugin: "",
    },
    Contestant {
        name: "one-hook",
        tags: ONE_TAG,
        hooks: 1,
        plugin: "small",
    },
    Contestant {
        name: "five-hooks",
        tags: ONE_TAG,
        hooks: 5,
        plugin: "small",
    },
    Contestant {
        name: "signer-tags",
        tags: "",
        hooks: 1,
        plugin: "signer-tags",
    },
];

fn main() {
    if load::was_the_load() {
        return;
    }
    let (seconds, rounds) = (setting("SECONDS", 5), setting("ROUNDS", 3));
    let folder = folder();
    let data_dir = folder.path().join("data");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, path) in [
        ("small", SMALL),
        ("signer-tags", "plugins/signer-tags/signer-tags.wasm"),
    ] {
        let path = root.join(path);
        command(
            &data_dir,
            &["plugin", "upload", name, path.to_str().unwrap()],
        );
    }
    let tokens = CONTESTANTS.each_ref().map(|contestant| {
        let token = new_tenant(&data_dir, contestant.name);
        for number in 0..contestant.hooks {
            let hook = format!("hook-{number}");
            let settings = match contestant.plugin {
                "small" => r#"{"read":true}"#,
                _ => "{}",
            };
            command(
                &data_dir,
                &[
                    "hook",
                    "set",
                    contestant.name,
                    &hook,
                    "--plugin",
                    contestant.plugin,
                    "--settings",
                    settings,
                ],
            );
        }
        token
    });
    let server = Server::start(&data_dir, &[]);

    let mut sql = Vec::new();
    let mut many = Vec::new();
    let mut figures = CONTESTANTS.each_ref().map(|_| Vec::new());
    for round in 0..rounds {
        println!("round {} of {rounds} …", round + 1);
        sql.push(pgbench::transactions_per_second(
            &data_dir,
            "plain.sql",
            &[
                ("signature", &pgbench::bytea(SIGNATURE)),
                ("tags", SQL_TAGS),
            ],
            CONNECTIONS,
            seconds,
        ));
        let name = format!("many-{round}");
        let token = std::slice::from_ref(&tokens[0]);
        let json = |number: &str| many_drafts(&format!("{name}-{number}"));
        let rate = requests_per_second("/signatures", json, &server.address, token, seconds);
        many.push(rate * MANY as f64);
        for ((contestant, token), figures) in CONTESTANTS.iter().zip(&tokens).zip(&mut figures) {
            let name = format!("{}-{round}", contestant.name);
            figures.push(saves_per_second(
                &server.address,
                std::slice::from_ref(token),
                &name,
                contestant.tags,
                seconds,
            ));
        }
    }
    let sql = median(sql);
    let [plain, one, five, tags] = figures.map(median);
    let bytes = SIGNATURE.len();
    println!(
        "\n{CONNECTIONS} connections, {bytes} bytes a signature, fsync on; median of {rounds} rounds of {seconds} s"
    );
    println!("pgbench, a plain statement    {sql:6.0} a second");
    for (what, figure) in [
        ("saves without a hook         ", plain),
        ("the same, 50 in each request ", median(many)),
        ("saves with one hook          ", one),
        ("saves with five hooks        ", five),
        ("saves with signer-tags       ", tags),
    ] {
        println!(
            "{what} {figure:6.0} a second   {:.2} of pgbench, {:.2} of the rate without a hook",
            figure / sql,
            figure / plain
        );
    }
}

/// A request that saves many signatures, each of a document of its own.
fn many_drafts(name: &str) -> String {
    let cms = SIGNATURE.trim();
    let drafts = (0..MANY).map(|place| {
        format!(
            r#"{{"document":"{name}-{place}","thread":"bench","version":0,"cms":"{cms}"{TAGS}}}"#
        )
    });
    let drafts: Vec<_> = drafts.collect();
    format!(r#"{{"signatures":[{}]}}"#, drafts.join(","))
}
