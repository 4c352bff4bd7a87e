//! The peers of `bench/peers`: their packages, their databases beside the server's, and their processes.

#[path = "programs.rs"]
mod programs;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use programs::postgres_program;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Time for a peer to start or stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running peer.
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: String,
}

impl Peer {
    /// Starts `FastAPI` on uvicorn, whose worker processes share the connections.
    pub(crate) fn fastapi(database: &Database<'_>, workers: u64) -> Self {
        let folder = installed("fastapi", "requirements.txt", |folder| {
            run(Command::new("python3")
                .args(["-m", "venv"])
                .arg(folder.join("venv")));
            run(Command::new(folder.join("venv/bin/pip"))
                .args([
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--requirement",
                ])
                .arg(folder.join("requirements.txt")));
        });
        let port = free_port();
        let mut command = Command::new(folder.join("venv/bin/uvicorn"));
        command
            .args(["app:app", "--loop=uvloop", "--http=httptools"])
            .args(["--no-access-log", "--log-level=warning"])
            .arg(format!("--port={port}"))
            .arg(format!("--workers={workers}"))
            .current_dir(folder);
        Self::start(command, database, port)
    }

    /// Starts Express on Node's cluster.
    pub(crate) fn express(database: &Database<'_>, workers: u64) -> Self {
        let folder = installed("express", "package-lock.json", |folder| {
            run(Command::new("npm")
                .args(["ci", "--silent", "--no-audit", "--no-fund"])
                .current_dir(folder));
        });
        let port = free_port();
        let mut command = Command::new("node");
        command
            .arg("server.js")
            .env("NODE_ENV", "production")
            .env("PORT", port.to_string())
            .env("WORKERS", workers.to_string())
            .current_dir(folder);
        Self::start(command, database, port)
    }

    fn start(mut command: Command, database: &Database<'_>, port: u16) -> Self {
        let child = command
            .env("PGHOST", database.socket_dir)
            .env("PGUSER", "sigpersist")
            .env("PGDATABASE", database.name)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut peer = Self { child, address };
        let since = Instant::now();
        while TcpStream::connect(&peer.address).is_err() {
            let ended = peer.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}", database.name);
            assert!(since.elapsed() < PATIENCE, "{} won't start", database.name);
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }
}

impl Drop for Peer {
    /// The started process stops its workers. If it were killed, it could not.
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let since = Instant::now();
        if kill(pid, Signal::SIGTERM).is_ok() {
            while matches!(self.child.try_wait(), Ok(None)) && since.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A peer's own database on the server's Postgres.
pub(crate) struct Database<'a> {
    pub(crate) socket_dir: &'a Path,
    pub(crate) name: &'a str,
}

impl<'a> Database<'a> {
    /// Creates the database, with one key.
    pub(crate) fn create(socket_dir: &'a Path, name: &'a str, kid: &str, secret: &str) -> Self {
        let statement = format!("CREATE DATABASE {name} OWNER sigpersist;");
        psql(socket_dir, "postgres", "postgres", &statement);
        let schema =
            std::fs::read_to_string(Path::new(ROOT).join("bench/peers/schema.sql")).unwrap();
        let script = format!("{schema} INSERT INTO keys VALUES ('{kid}', 1, '{secret}');");
        psql(socket_dir, "sigpersist", name, &script);
        Self { socket_dir, name }
    }
}

/// Runs an SQL script.
pub(crate) fn psql(socket_dir: &Path, user: &str, database: &str, script: &str) {
    let mut child = Command::new(postgres_program("psql"))
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
        .arg("--host")
        .arg(socket_dir)
        .args(["--username", user, database])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "psql failed on {database}");
}

/// A copy of a peer with its packages. Installs these if their list has changed since the last time.
fn installed(peer: &str, list: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let from = Path::new(ROOT).join("bench/peers").join(peer);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("peers")
        .join(peer);
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let wanted = std::fs::read(from.join(list)).unwrap();
    let installed = folder.join("installed");
    if std::fs::read(&installed).ok().as_ref() != Some(&wanted) {
        println!(
            "installing the packages of {peer} in {} …",
            folder.display()
        );
        install(&folder);
        std::fs::write(installed, wanted).unwrap();
    }
    folder
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
