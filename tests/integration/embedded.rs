//! The embedded database: kept over restarts, one server at a time, no Postgres left running.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Client, FIRST, Program, eventually, postmaster, run, sigpersist, temp_dir, tenant_token,
};

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[test]
fn a_restart_keeps_everything_and_stops_postgres_in_between() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let token = tenant_token(|arguments| run(&data_dir, arguments));
    let server = Program::serve(&data_dir);
    server
        .client(&token)
        .save("d", "t", 0, FIRST.trim())
        .expect(201);
    let before = server.client(&token).read("d", "t").expect(200);
    let postgres = postmaster(&data_dir);
    assert!(is_alive(postgres));
    assert!(server.stop().success());
    assert!(!is_alive(postgres));
    assert!(!data_dir.join("postgres/postmaster.pid").exists());
    let server = Program::serve(&data_dir);
    assert_eq!(
        server.client(&token).read("d", "t").expect(200).json,
        before.json
    );
}

#[test]
fn the_private_postgres_is_durable_checked_and_out_of_reach() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let _server = Program::serve(&data_dir);
    let socket = data_dir.join("run");
    let url = format!(
        "host={} user=sigpersist dbname=sigpersist",
        socket.display()
    );
    let setting = |name: &str| {
        use diesel::{Connection as _, RunQueryDsl as _};
        let mut connection = diesel::PgConnection::establish(&url).unwrap();
        diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(&format!(
            "current_setting('{name}')"
        )))
        .get_result::<String>(&mut connection)
        .unwrap()
    };
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("is_superuser", "off"),
    ] {
        assert_eq!(setting(name), value, "{name}");
    }
    use std::os::unix::fs::MetadataExt as _;
    for private in ["run", "postgres", "master.key"] {
        let mode = std::fs::metadata(data_dir.join(private)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{private} has mode {mode:o}");
    }
}

#[test]
fn two_servers_never_share_a_directory() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let server = Program::serve(&data_dir);
    let second = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(
        text.contains("Another Sigpersist server") && text.contains("--data-dir"),
        "{text}"
    );
    Client::new(&server.base, None)
        .get("/signatures")
        .expect_error(401, "missing_token");
}

#[test]
fn commands_share_a_directory_without_a_server() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    std::thread::scope(|scope| {
        let commands: Vec<_> = (0..6)
            .map(|n| {
                let data_dir = &data_dir;
                scope.spawn(move || run(data_dir, &["tenant", "create", &format!("tenant-{n}")]))
            })
            .collect();
        for command in commands {
            assert!(command.join().unwrap().contains("Created"));
        }
    });
    assert!(!data_dir.join("postgres/postmaster.pid").exists());
}

#[test]
fn a_start_that_was_cut_short_before_the_socket_had_its_folder_is_taken_up() {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let socket_dir = data_dir.join("run");
    std::fs::create_dir(&data_dir).unwrap();
    // As it is between being made and being given to the user that runs Postgres, which is another where we are root.
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&socket_dir)
        .unwrap();
    run(&data_dir, &["tenant", "create", "acme"]);
    // One that others can enter is no such folder: a stranger may have put a socket there.
    std::fs::set_permissions(&socket_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = sigpersist(&data_dir, &["tenant", "create", "other"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("to nobody else"),
        "{text}"
    );
}

#[test]
fn a_server_that_is_killed_takes_its_postgres_along() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let mut server = Program::serve(&data_dir);
    let postgres = postmaster(&data_dir);
    server.kill();
    eventually(|| !is_alive(postgres));
}

#[test]
fn stale_lock_files_with_a_strangers_process_number_do_not_block_a_start() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let server = Program::serve(&data_dir);
    let pid_file = data_dir.join("postgres/postmaster.pid");
    let socket_lock = data_dir.join("run/.s.PGSQL.5432.lock");
    let (pid_text, lock_text) = (
        std::fs::read_to_string(&pid_file).unwrap(),
        std::fs::read_to_string(&socket_lock).unwrap(),
    );
    assert!(server.stop().success());
    // A process that lives and is somebody else's: as after a reboot, or in a container.
    let mut stranger = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let replaced = |text: &str| {
        let (_, rest) = text.split_once('\n').unwrap();
        format!("{}\n{rest}", stranger.id())
    };
    std::fs::write(&pid_file, replaced(&pid_text)).unwrap();
    std::fs::write(&socket_lock, replaced(&lock_text)).unwrap();
    let server = Program::serve(&data_dir);
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was stopped"
    );
    assert!(server.stop().success());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn sigterm_lets_requests_in_flight_finish() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let token = tenant_token(|arguments| run(&data_dir, arguments));
    let server = Program::serve(&data_dir);
    let acme = server.client(&token);
    let address = server.base.trim_start_matches("http://").to_owned();
    // Requests whose second half comes only after the server was told to stop.
    let mut requests: Vec<_> = (0..8)
        .map(|n| {
            let body = serde_json::json!({"document": n.to_string(), "thread": "t", "cms": "x"}).to_string();
            let mut stream = TcpStream::connect(&address).unwrap();
            let (length, half) = (body.len(), body.len() / 2);
            write!(
                stream,
                "POST /signature HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{}",
                &body[..half]
            )
            .unwrap();
            (stream, body[half..].to_owned())
        })
        .collect();
    // An answer to a later request tells that these were accepted.
    acme.read("d", "t").expect_error(404, "signature_not_found");
    server.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    for (stream, rest) in &mut requests {
        stream.write_all(rest.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    assert!(server.wait().success());
    let server = Program::serve(&data_dir);
    let listed = server
        .client(&token)
        .get("/signatures?count=true")
        .expect(200);
    assert_eq!(listed.json["content"]["nb_results"], 8);
}
