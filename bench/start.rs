//! Time that plugins add to a start: `cargo bench --bench start`.
//!
//! One data directory has 300 different revisions bound, another has none. Each server is started in turn, until it
//! listens and the plugins of all hooks are ready. `ROUNDS` in the environment makes it longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sigpersist::app::{App, Database};
use sigpersist::config::Config;
use sigpersist::plugins::{self, HookRequest};
use sigpersist::tenants::{self, NewTenant};
use sigpersist_model::audit::Actor;
use sigpersist_model::signature::Preconditions;
use sigpersist_postgres::embedded::Purpose;

const COMPONENT: &[u8] = include_bytes!("../plugins/signer-tags/signer-tags.wasm");
const REVISIONS: u32 = 300;
/// Maximum time that plugins may add.
const LIMIT: Duration = Duration::from_secs(2);

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(5, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (none, many) = (folder.path().join("none"), folder.path().join("many"));
    println!("binding {REVISIONS} revisions …");
    set_up(&none, 0);
    set_up(&many, REVISIONS);
    let mut figures = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let (listening, ready) = start(&none, 0);
        figures[0].push(listening);
        figures[1].push(ready);
        let (listening, ready) = start(&many, REVISIONS);
        figures[2].push(listening);
        figures[3].push(ready);
    }
    std::fs::remove_dir_all(many.join("compiled")).unwrap();
    let (_, cold) = start(&many, REVISIONS);
    let [none_listening, none_ready, many_listening, many_ready] = figures.map(median);
    println!("median of {rounds} starts          listening     ready");
    println!("no plugin                     {none_listening:8.2?}  {none_ready:8.2?}");
    println!("{REVISIONS} revisions, kept on disk   {many_listening:8.2?}  {many_ready:8.2?}");
    println!("{REVISIONS} revisions, compiled again           {cold:8.2?}");
    let added = many_ready.saturating_sub(none_ready);
    println!("{REVISIONS} revisions kept on disk add {added:.2?} until all are ready");
    assert!(added <= LIMIT, "that is more than {LIMIT:?}");
}

fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// Creates a data directory with a tenant that has this many hooks, each with a revision of its own.
fn set_up(data_dir: &Path, revisions: u32) {
    let mut config = Config {
        data_dir: Some(data_dir.to_owned()),
        ..Config::default()
    };
    config.hooks.max_hooks_per_tenant = 1_000;
    config.hooks.compiler = Some(env!("CARGO_BIN_EXE_sigpersist").into());
    let database = Database::open(&config, Purpose::Serve).unwrap();
    database.prepare(true).unwrap();
    let app = App::new(config, &database).unwrap();
    let (tenant, _) =
        tenants::create(&app, &Actor::command_line(), &NewTenant::new("bench")).unwrap();
    for number in 0..revisions {
        let name = format!("plugin-{number}");
        let actor = Actor::command_line();
        let component = revision(number);
        let upload = plugins::Upload::of(&component);
        plugins::upload(&app, None, actor.clone(), &name, &upload).unwrap();
        let request = HookRequest::new(&name);
        let preconditions = Preconditions::default();
        plugins::set_hook(&app, tenant.id, &actor, &name, &request, &preconditions).unwrap();
    }
}

/// The component with a custom section, which changes only its digest.
fn revision(number: u32) -> Vec<u8> {
    let number = number.to_le_bytes();
    // Id 0, the section's size, its name with that name's size, and its content.
    [COMPONENT, &[0, 6, 1, b'n'], &number].concat()
}

/// The times from the start until the server listens, and until its plugins are ready.
fn start(data_dir: &Path, plugins: u32) -> (Duration, Duration) {
    let since = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigpersist"))
        .env_remove("DATABASE_URL")
        .env_remove("RUST_LOG")
        .arg("--data-dir")
        .arg(data_dir)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let said = format!("The plugins of all hooks are ready plugins={plugins} ");
    let (ready, heard) = std::sync::mpsc::channel();
    let logged = std::thread::spawn(move || {
        // Reads to the end, so that the server never blocks on its log.
        for line in log.lines().map(Result::unwrap) {
            if line.contains(&said) {
                ready.send(since.elapsed()).unwrap();
            }
        }
    });
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("listening"), "{line}");
    let listening = since.elapsed();
    let ready = heard.recv().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    logged.join().unwrap();
    (listening, ready)
}
