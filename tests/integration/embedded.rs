//! The embedded database: it survives restarts, serves one server at a time, and leaves no Postgres running.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Client, FIRST, Program, Stopwatch, eventually, postmaster, run, sigpersist, succeeds, temp_dir,
    tenant_token,
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
    // The state of the folder before it is given to the user that runs Postgres, who is another one if we are root.
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&socket_dir)
        .unwrap();
    run(&data_dir, &["tenant", "create", "acme"]);
    // A folder that others can enter is refused, since a stranger may have put a socket there.
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
    // The pid of a live process that is not Postgres, as after a reboot or in a container.
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
    // The second half of each request is sent only after the server was told to stop.
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
    // The answer to a later request shows that these connections were accepted.
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

#[test]
fn what_the_environment_says_of_other_databases_does_not_reach_the_embedded_one() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let others = [
        ("PGHOST", "db.invalid"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGSERVICE", "nowhere"),
        ("PGSERVICEFILE", "/nowhere"),
        ("PGOPTIONS", "-c no_such_setting=1"),
        ("PGSSLMODE", "verify-full"),
        ("PGREQUIREPEER", "nobody"),
        ("PGCHANNELBINDING", "require"),
        ("PGREQUIREAUTH", "scram-sha-256"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGCLIENTENCODING", "no such encoding"),
        ("PGDATESTYLE", "no such style"),
        ("PGTZ", "no/zone"),
        ("PGDATA", "/nowhere"),
        ("PGCONNECT_TIMEOUT", "x"),
    ];
    // The variables affect neither commands nor servers, neither when the cluster is created nor later.
    let token = tenant_token(|arguments| {
        let mut command = sigpersist(&data_dir, arguments);
        command.envs(others);
        succeeds(command)
    });
    let mut command = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    command.envs(others).stderr(Stdio::null());
    let server = Program::start(command);
    server.client(&token).save("d", "t", 0, "x").expect(201);
    assert!(server.stop().success());
}

#[test]
fn a_data_directory_may_be_called_as_one_likes() {
    let folder = temp_dir();
    for name in [
        "a,b",
        "a\"b",
        "it's",
        r"a\b",
        "a b",
        "100%",
        "документы",
        "@a",
    ] {
        let data_dir = folder.path().join(name);
        run(&data_dir, &["tenant", "create", "acme"]);
        assert!(
            run(&data_dir, &["tenant", "list"]).contains("acme"),
            "{name}"
        );
    }
}

/// Starts a command that will wait, and returns it with its standard error.
fn starting(mut command: Command) -> (Child, std::io::BufReader<std::process::ChildStderr>) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = std::io::BufReader::new(child.stderr.take().unwrap());
    (child, told)
}

#[track_caller]
fn ends_by_sigterm(child: &mut Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let since = Stopwatch::start();
    let mut status = child.try_wait().unwrap();
    while status.is_none() && since.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
        status = child.try_wait().unwrap();
    }
    // Kills the process, so that a failing test leaves none behind.
    drop(child.kill());
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn a_start_that_waits_for_the_directory_says_so_and_ends_by_sigterm() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let mut lock = std::fs::File::create(data_dir.join("lock")).unwrap();
    lock.lock().unwrap();
    write!(lock, "command (process 1)").unwrap();
    let command = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    let since = Stopwatch::start();
    let (mut child, told) = starting(command);
    let sentence = told
        .lines()
        .map(Result::unwrap)
        .find(|line| line.contains("Waiting for another Sigpersist command (process 1)"));
    assert!(sentence.is_some());
    // The message comes before the command gives up waiting.
    assert!(since.elapsed() < Duration::from_secs(20));
    assert!(child.try_wait().unwrap().is_none());
    ends_by_sigterm(&mut child);
}

#[test]
fn a_start_that_waits_for_a_silent_database_ends_by_sigterm() {
    let folder = temp_dir();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut command = sigpersist(
        &folder.path().join("data"),
        &["serve", "--listen", "127.0.0.1:0"],
    );
    command.env(
        "DATABASE_URL",
        format!("postgres://me@127.0.0.1:{port}/d?connect_timeout=600"),
    );
    let (mut child, _told) = starting(command);
    // Now the server waits for an answer of the database.
    let _connection = silent.accept().unwrap();
    ends_by_sigterm(&mut child);
}

#[test]
fn only_commands_that_begin_a_life_make_a_database() {
    let folder = temp_dir();
    for arguments in [
        &["tenant", "list"][..],
        &["tenant", "show", "acme"],
        &["tenant", "export", "acme"],
        &["key", "add", "acme"],
        &["key", "list", "--platform"],
        &["token", "issue", "acme"],
        &["hook", "list", "acme"],
        &["plugin", "list"],
        &["policy", "show", "acme"],
        &["audit", "verify", "--all"],
        &["audit", "seal", "--all"],
        &["log", "show", "acme"],
        &["events", "tail", "acme"],
        &["master-key", "show"],
        &["whoami"],
    ] {
        // Neither in a folder that is there nor in one that is not.
        for data_dir in [folder.path().to_owned(), folder.path().join("none")] {
            let output = sigpersist(&data_dir, arguments).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success(), "{arguments:?}");
            let place = format!("There is no database in {}.", data_dir.display());
            assert!(error.contains(&place), "{arguments:?}: {error}");
            for way in [
                "--data-dir",
                "SIGPERSIST_DATA_DIR",
                "DATABASE_URL",
                "--server",
                "sigpersist tenant create NAME",
            ] {
                assert!(error.contains(way), "{arguments:?}: {error}");
            }
            let left = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 0, "{arguments:?} left a file");
        }
    }
    for (number, arguments) in [
        &["migrate"][..],
        &["tenant", "create", "acme"],
        &["key", "add", "--platform"],
    ]
    .into_iter()
    .enumerate()
    {
        let data_dir = folder.path().join(number.to_string());
        let made = || {
            let output = sigpersist(&data_dir, arguments).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{arguments:?}: {error}");
            error
        };
        let told = format!("Made a new database in {}.\n", data_dir.display());
        assert_eq!(made(), told, "{arguments:?}");
        assert_eq!(made(), "", "{arguments:?} again");
        run(&data_dir, &["tenant", "list"]);
    }
}

#[test]
fn a_command_waits_for_the_server_that_is_making_the_database() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let mut serve = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    let mut server = serve
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(|| data_dir.join("lock").exists());
    assert!(!data_dir.join("postgres").exists());
    assert!(run(&data_dir, &["tenant", "list"]).contains("tenant create"));
    kill(
        Pid::from_raw(server.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(server.wait().unwrap().success());
    let mut log = String::new();
    server.stderr.unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("Made a new database in "), "{log}");
}
