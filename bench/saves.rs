//! Saves per second of 12 KB signatures through the real server, without a hook, with one and with five, beside pgbench
//! running the same SQL on the same Postgres: `make bench`.
//!
//! Everything shares one machine, so the figures are low and only their ratios travel. All save as many tags, which the
//! hooks derive. They take turns, round by round, and each figure is the median of its rounds. `SECONDS` and `ROUNDS` in
//! the environment make it longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where something is wrong"
)]

#[path = "support/load.rs"]
mod load;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use load::{CONNECTIONS, saves_per_second};
use support::{SIGNATURE, Server, command, folder, median, new_tenant, setting};

/// The tags that `signer-tags` derives; sent by the client where there is no hook.
const TAGS: &str = r#","tags":["iin:123456789011","bin:123456789021","signer:АХМЕТОВА АЙГЕРІМ"]"#;
/// A hook that looks at the whole signature and derives two tags, beside one that the client sends.
const SMALL: &str = "bench/extism/guests/typed/typed.wasm";
const ONE_TAG: &str = r#","tags":["iin:123456789011"]"#;

/// A contestant: what it is called, what is sent, and the hooks that it has.
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
    let mut figures = CONTESTANTS.each_ref().map(|_| Vec::new());
    for round in 0..rounds {
        println!("round {} of {rounds} …", round + 1);
        sql.push(pgbench(&data_dir, seconds));
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
    println!("pgbench, the same SQL         {sql:6.0} a second");
    for (what, figure) in [
        ("saves without a hook         ", plain),
        ("saves with one hook          ", one),
        ("saves with five hooks        ", five),
        ("saves with signer-tags       ", tags),
    ] {
        println!(
            "{what} {figure:6.0} a second   {:.2} of pgbench, {:.2} of without a hook",
            figure / sql,
            figure / plain
        );
    }
}

/// Transactions a second of the statement that saves a version.
fn pgbench(data_dir: &Path, seconds: u64) -> f64 {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(SIGNATURE.trim())
        .unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new(pgbench_path())
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--time={seconds}"))
        .arg("--file")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/bench/save.sql"))
        .arg("--host")
        .arg(data_dir.join("run"))
        // As the server does: under a role that row-level security binds, for one tenant.
        .env(
            "PGOPTIONS",
            "-c role=sigpersist_server -c sigpersist.tenant=1",
        )
        .args(["--username=sigpersist", "--define"])
        .arg(format!("signature=\\x{hex}"))
        .arg("sigpersist")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .unwrap();
    tps.split(' ').next().unwrap().parse().unwrap()
}

/// Pgbench comes with Postgres, and is not always in PATH.
fn pgbench_path() -> PathBuf {
    let output = Command::new("pg_config").arg("--bindir").output();
    let folder = output
        .map(|output| String::from_utf8(output.stdout).unwrap())
        .unwrap_or_default();
    let path = Path::new(folder.trim()).join("pgbench");
    if path.exists() {
        path
    } else {
        "pgbench".into()
    }
}
