//! A full disk under the server's embedded database.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use super::not_run;
use crate::support::{Client, Program, Response, eventually_within, rounds, temp_dir};

/// Mounts a disk that only the processes started here can see. It disappears with them.
const MOUNT: &str = r#"mount -t tmpfs -o size=256m,mode=755 none "$DISK""#;
/// Creates a tenant and serves.
const SERVE: &str = r#"
"$SIGPERSIST" --data-dir "$DISK/data" tenant create acme >&2
"$SIGPERSIST" --data-dir "$DISK/data" key add acme >&2
"$SIGPERSIST" --data-dir "$DISK/data" token issue acme > "$TOKEN"
exec "$SIGPERSIST" --data-dir "$DISK/data" serve --listen 127.0.0.1:0
"#;

/// Runs a script in a mount namespace of its own, where it may mount.
fn script(disk: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--map-current-user", "--keep-caps"]);
    }
    command
        .args(["sh", "-euc", script])
        .env_remove("DATABASE_URL")
        .env_remove("RUST_LOG")
        .env("DISK", disk)
        .env("SIGPERSIST", env!("CARGO_BIN_EXE_sigpersist"));
    command
}

/// Text that can't be compressed.
fn noise(seed: u32) -> String {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        // Xorshift, by Marsaglia.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    })
    .take(1_000)
    .collect()
}

/// Fills the disk completely.
fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    let (mut size, page) = (1 << 20, vec![0; 1 << 20]);
    while size > 0 {
        match filler.write(&page[..size]) {
            Ok(1..) => {}
            // Less than this is free.
            _ => size /= 2,
        }
    }
}

/// A client that saves on a small disk, and its acknowledged saves.
struct Saver {
    client: Client,
    saved: Vec<(String, String)>,
    next: u32,
}

impl Saver {
    fn save(&mut self) -> Response {
        self.next += 1;
        let (thread, text) = (format!("t-{}", self.next), noise(self.next));
        let answer = self.client.save("d", &thread, 0, &text);
        if answer.status == 201 {
            self.saved.push((thread, text));
        }
        answer
    }

    /// Asserts that every acknowledged save is stored, byte for byte.
    #[track_caller]
    fn check(&self) {
        for (thread, text) in &self.saved {
            let read = self.client.read("d", thread).expect(200);
            assert_eq!(read.signature()["signature"], *text);
        }
    }
}

#[test]
fn a_full_disk_refuses_saves_until_there_is_room_and_loses_nothing() {
    let folder = temp_dir();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let tried = script(&disk, MOUNT).output().unwrap();
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr).into_owned();
        not_run(
            "a full disk",
            &format!("nothing can be mounted here: {why}"),
        );
        return;
    }
    let (token, log) = (folder.path().join("token"), folder.path().join("log"));
    let mut command = script(&disk, &format!("{MOUNT}{SERVE}"));
    command
        .env("TOKEN", &token)
        .stderr(Stdio::from(File::create(&log).unwrap()));
    let server = Program::start(command);
    // The disk as the server sees it; it is mounted only in the server's namespace.
    let disk = PathBuf::from(format!("/proc/{}/root", server.child.id()))
        .join(disk.strip_prefix("/").unwrap());
    let postgres = || {
        PgConnection::establish(&format!(
            "host={} user=postgres dbname=postgres",
            disk.join("data/run").display()
        ))
    };
    let mut saver = Saver {
        client: server.client(std::fs::read_to_string(&token).unwrap().trim()),
        saved: Vec::new(),
        next: 0,
    };
    let mut refused = 0;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(2).min(20) {
        for _ in 0..20 {
            saver.save().expect(201);
        }
        // Begins a new WAL segment, so that tables run out of space before the WAL does.
        postgres()
            .unwrap()
            .batch_execute("SELECT pg_switch_wal(); CHECKPOINT")
            .unwrap();
        fill(&disk.join("filler"));
        let mut refused_in_row = 0;
        for _ in 0..500 {
            let answer = saver.save();
            if answer.status == 201 {
                refused_in_row = 0;
                continue;
            }
            answer
                .expect_error(503, "database_unavailable")
                .expect_retry();
            refused += 1;
            refused_in_row += 1;
            if refused_in_row == 20 {
                break;
            }
        }
        assert_eq!(refused_in_row, 20, "the disk is not full");
        // Reads still work.
        saver.check();
        std::fs::remove_file(disk.join("filler")).unwrap();
        let since = Instant::now();
        saver.save().expect(201);
        longest = longest.max(since.elapsed());
    }
    let log = std::fs::read_to_string(&log).unwrap();
    // Others than saves may fail, too, such as the numbering of what was saved.
    let told = log
        .lines()
        .filter(|line| line.contains("method=POST") && line.contains("No space left on device"));
    assert_eq!(told.count(), refused, "{log}");
    println!(
        "A full disk: {refused} saves refused, {} acknowledged and there; it saves again after {longest:?}",
        saver.saved.len()
    );

    // Postgres stops if there is no space for its WAL.
    fill(&disk.join("filler"));
    let mut connection = postgres().unwrap();
    // Uses up the existing WAL segments first.
    let stopped = (0..50).any(|_| {
        let used = "SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_switch_wal()";
        connection.batch_execute(used).is_err()
    });
    assert!(stopped, "Postgres has room for its log");
    let since = Instant::now();
    let mut refused = 0;
    while since.elapsed() < Duration::from_secs(2) {
        let answer = saver.save();
        if answer.status != 201 {
            answer
                .expect_error(503, "database_unavailable")
                .expect_retry();
            refused += 1;
        }
    }
    assert!(refused > 0);
    std::fs::remove_file(disk.join("filler")).unwrap();
    let since = Instant::now();
    // Postgres is restarted after a pause of up to five seconds.
    let saves = std::cell::RefCell::new(&mut saver);
    eventually_within(Duration::from_secs(30), || {
        saves.borrow_mut().save().status == 201
    });
    let back = since.elapsed();
    saver.check();
    println!(
        "No room for the log: {refused} saves refused; Postgres is back {back:?} after there is room again"
    );
}
