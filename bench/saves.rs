//! Saves per second of 12 KB signatures through the real server, without a hook and with one, beside pgbench running the
//! same SQL on the same Postgres: `make bench`. All three save the same three tags, which the hook derives.
//!
//! Everything shares one machine, so the figures are low and only their ratios travel. The three take turns, round by
//! round, and each figure is the median of its rounds. `SECONDS` and `ROUNDS` in the environment make it longer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where something is wrong"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SIGNATURE: &str = include_str!("../tests/data/large.cms.b64");
const CONNECTIONS: usize = 16;
/// What the hook derives; sent by the client where there is no hook.
const TAGS: &str = r#","tags":["iin:123456789011","bin:123456789021","signer:АХМЕТОВА АЙГЕРІМ"]"#;

fn main() {
    let setting = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (seconds, rounds) = (setting("SECONDS", 5), setting("ROUNDS", 3));
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data_dir = folder.path().join("data");
    let plain = new_tenant(&data_dir, "plain");
    let hooked = new_tenant(&data_dir, "hooked");
    let component = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/plugins/signer-tags/signer-tags.wasm"
    );
    command(&data_dir, &["plugin", "upload", "signer-tags", component]);
    command(
        &data_dir,
        &[
            "hook",
            "set",
            "hooked",
            "signer-tags",
            "--plugin",
            "signer-tags",
        ],
    );
    let server = Server::start(&data_dir);

    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        println!("round {} of {rounds} …", round + 1);
        figures[0].push(pgbench(&data_dir, seconds));
        figures[1].push(saves(
            &server.address,
            &plain,
            &format!("plain-{round}"),
            TAGS,
            seconds,
        ));
        figures[2].push(saves(
            &server.address,
            &hooked,
            &format!("hooked-{round}"),
            "",
            seconds,
        ));
    }
    let [sql, plain, hooked] = figures.map(median);
    let bytes = SIGNATURE.len();
    println!(
        "\n{CONNECTIONS} connections, {bytes} bytes a signature, fsync on; median of {rounds} rounds of {seconds} s"
    );
    println!("pgbench, the same SQL        {sql:8.0} a second");
    println!(
        "saves without a hook         {plain:8.0} a second   {:.2} of pgbench",
        plain / sql
    );
    println!(
        "saves with the hook signer-tags {hooked:5.0} a second   {:.2} of without, {:.2} of pgbench",
        hooked / plain,
        hooked / sql
    );
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn command(data_dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sigpersist"))
        .env_remove("DATABASE_URL")
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A token of a new tenant.
fn new_tenant(data_dir: &Path, slug: &str) -> String {
    command(data_dir, &["tenant", "create", slug]);
    command(data_dir, &["key", "add", slug]);
    command(data_dir, &["token", "issue", slug, "--ttl", "1d"])
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sigpersist"))
            .env_remove("DATABASE_URL")
            .env("SIGPERSIST_LOG_FILTER", "warn")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// First versions of new threads, over connections that are kept open.
fn saves(address: &str, token: &str, name: &str, tags: &str, seconds: u64) -> f64 {
    let end = Instant::now() + Duration::from_secs(seconds);
    let since = Instant::now();
    let saved: u32 = std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn(move || {
                    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
                    stream.get_ref().set_nodelay(true).unwrap();
                    let mut saved = 0;
                    while Instant::now() < end {
                        save(
                            &mut stream,
                            token,
                            &format!("{name}-{connection}-{saved}"),
                            tags,
                        );
                        saved += 1;
                    }
                    saved
                })
            })
            .collect();
        connections
            .into_iter()
            .map(|connection| connection.join().unwrap())
            .sum()
    });
    f64::from(saved) / since.elapsed().as_secs_f64()
}

/// One request and its answer, with as little work on this side as can be.
fn save(stream: &mut BufReader<TcpStream>, token: &str, document: &str, tags: &str) {
    let cms = SIGNATURE.trim();
    let body =
        format!(r#"{{"document":"{document}","thread":"bench","version":0,"cms":"{cms}"{tags}}}"#);
    let request = format!(
        "POST /signature HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 201"), "{line}");
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        } else if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
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
