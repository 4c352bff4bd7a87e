//! Cost of each addition to a save, measured as saves of 12 KB signatures per second with and without it: `make bench`.
//!
//! Each round measures without, with, and without the addition again, and the result is the median of the rounds'
//! ratios. Row-level security is in `row_security.rs`. Metrics can't be switched off, so they are timed by themselves.
//! Saves are not audited: the trail records changes by operators and admins. `SECONDS` and `ROUNDS` in the environment
//! make it longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/load.rs"]
mod load;
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use sigpersist_runtime::metrics;

use load::{CONNECTIONS, saves_of_per_second, saves_per_second};
use support::{SIGNATURE, Server, command, folder, median, new_tenant, setting};

const TAGS: &str = r#","tags":["iin:123456789011","bin:123456789021"]"#;
/// A hook that reads the whole signature and derives two tags, which the client sends too.
const HOOK: &str = "bench/extism/guests/typed/typed.wasm";
/// A signature of 12 KB by RSA, with an intermediate certificate between the signer's and the trusted one, which is the
/// next file.
const CHAINED: &str = include_str!("../tests/data/verify/large.cms.b64");
const AUTHORITY: &str = include_str!("../tests/data/verify/large-ca.crt.b64");
/// Quotas that are all checked and never reached.
const QUOTAS: [&str; 10] = [
    "--max-bytes",
    "1000000000000",
    "--max-threads",
    "1000000000",
    "--requests-per-second",
    "1000000",
    "--max-concurrent-requests",
    "100000",
    "--hook-ms-per-second",
    "1000000",
];
/// While this trigger exists, judgements are sent but not stored.
const STORE_NO_DECISIONS: &str = "CREATE FUNCTION bench_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
     CREATE TRIGGER bench BEFORE INSERT ON hook_judgements FOR EACH ROW EXECUTE FUNCTION bench_nothing()";
const STORE_DECISIONS: &str =
    "DROP TRIGGER bench ON hook_judgements; DROP FUNCTION bench_nothing()";

fn main() {
    if load::was_the_load() {
        return;
    }
    let (seconds, rounds) = (setting("SECONDS", 4), setting("ROUNDS", 5));
    let folder = folder();
    let data_dir = folder.path().join("data");
    let [plain, hooked, limited, strict] =
        ["plain", "hooked", "limited", "strict"].map(|slug| new_tenant(&data_dir, slug));
    let authority = folder.path().join("ca.pem");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{AUTHORITY}-----END CERTIFICATE-----\n");
    std::fs::write(&authority, pem).unwrap();
    let trust = ["policy", "trust", "strict", authority.to_str().unwrap()];
    command(&data_dir, &trust);
    command(
        &data_dir,
        &["policy", "set", "strict", "--accept", "passed"],
    );
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join(HOOK);
    command(
        &data_dir,
        &["plugin", "upload", "small", hook.to_str().unwrap()],
    );
    let settings = r#"{"read":true}"#;
    let set = [
        "hook",
        "set",
        "hooked",
        "small",
        "--plugin",
        "small",
        "--settings",
        settings,
    ];
    command(&data_dir, &set);
    command(
        &data_dir,
        &[&["tenant", "update", "limited"], &QUOTAS[..]].concat(),
    );
    let server = Server::start(&data_dir, &[]);
    let socket = data_dir.join("run").display().to_string();
    let key = data_dir.join("master.key").display().to_string();
    // A second server on the same Postgres.
    let logging = Server::start(
        &data_dir,
        &[
            (
                "DATABASE_URL",
                &format!("host={socket} user=sigpersist dbname=sigpersist"),
            ),
            ("SIGPERSIST_MASTER_KEY_FILE", &key),
            ("SIGPERSIST_LOG_FILTER", "info"),
        ],
    );
    let mut owner =
        PgConnection::establish(&format!("host={socket} user=postgres dbname=sigpersist")).unwrap();

    let number = Cell::new(0);
    let name = || {
        number.set(number.get() + 1);
        format!("load-{}", number.get())
    };
    let saves = |server: &Server, token: &String| {
        let tokens = std::slice::from_ref(token);
        saves_per_second(&server.address, tokens, &name(), TAGS, seconds)
    };
    let saves_chained = |token: &String| {
        let tokens = std::slice::from_ref(token);
        saves_of_per_second(CHAINED, &server.address, tokens, &name(), TAGS, seconds)
    };
    saves(&server, &plain);
    saves(&logging, &plain);
    let mut passed = Vec::new();
    let mut costs: [(&str, Vec<f64>); 4] = [
        ("a hook, with its decision recorded", Vec::new()),
        ("storing the decision", Vec::new()),
        ("quotas", Vec::new()),
        ("logs at info, to a file", Vec::new()),
    ];
    let mut rates = Vec::new();
    for round in 0..rounds {
        println!("round {} of {rounds} …", round + 1);
        let before = saves_chained(&plain);
        let figure = saves_chained(&strict);
        passed.push(figure / f64::midpoint(before, saves_chained(&plain)));
        let mut without = saves(&server, &plain);
        let mut with = [
            (&server, &hooked),
            (&server, &hooked),
            (&server, &limited),
            (&logging, &plain),
        ]
        .into_iter();
        for (addition, (_, ratios)) in costs.iter_mut().enumerate() {
            let (server_with, token_with) = with.next().unwrap();
            let figure = saves(server_with, token_with);
            if addition == 1 {
                owner.batch_execute(STORE_NO_DECISIONS).unwrap();
                ratios.push(figure / saves(&server, &hooked));
                owner.batch_execute(STORE_DECISIONS).unwrap();
                continue;
            }
            let after = saves(&server, &plain);
            ratios.push(figure / f64::midpoint(without, after));
            rates.push(without);
            without = after;
        }
    }
    let rate = median(rates);
    println!(
        "\n{CONNECTIONS} connections, {} bytes a signature, two tags, fsync on; median of {rounds} rounds of {seconds} s; {rate:.0} saves a second without additions",
        SIGNATURE.len()
    );
    for (addition, ratios) in costs {
        println!("{addition:34} {:.2} of the rate without", median(ratios));
    }
    println!(
        "{:34} {:.2} of the rate without, {} bytes a signature",
        "a policy that accepts `passed`",
        median(passed),
        CHAINED.len()
    );
    let taken = metrics_of_a_save();
    println!(
        "{:34} {:.2} us a save, {:.2} of one of the two processors at that rate",
        "metrics",
        taken.as_secs_f64() * 1e6,
        taken.as_secs_f64() * rate
    );
    println!("{:34} nothing: no save is audited", "the audit trail");
}

/// Time to record the metrics of one save.
fn metrics_of_a_save() -> Duration {
    const TIMES: u32 = 200_000;
    drop(metrics::render());
    let since = Instant::now();
    for _ in 0..TIMES {
        let _in_flight = metrics::InFlight::new();
        metrics::connected(Duration::from_micros(3));
        metrics::answered("/signature", "POST", 201, Duration::from_millis(9));
    }
    since.elapsed() / TIMES
}
