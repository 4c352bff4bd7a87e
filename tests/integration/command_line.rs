//! The command line as scripts use it: each command is a process of the real program.

use serde_json::{Value, json};

use crate::support::{
    COUNTERSIGNED, Client, FIRST, Program, TestDatabase, assert_success, run, sigpersist, temp_dir,
};

#[test]
fn a_script_sets_up_a_tenant_before_and_beside_a_server() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    // Without a running server.
    let created: Value =
        serde_json::from_str(&run(&data_dir, &["tenant", "create", "acme", "--json"])).unwrap();
    assert_eq!(created["slug"], "acme");
    assert_eq!(created["created"], true);
    assert!(run(&data_dir, &["tenant", "create", "acme"]).contains("already exists"));
    run(&data_dir, &["key", "add", "acme"]);
    // While a server runs.
    let server = Program::serve(&data_dir);
    let token = run(
        &data_dir,
        &[
            "token",
            "issue",
            "acme",
            "--subject",
            "script",
            "--ttl",
            "5m",
        ],
    );
    assert!(!token.contains(char::is_whitespace));
    let acme = server.client(&token);
    assert!(
        acme.save("a", "t", 0, FIRST.trim())
            .expect(201)
            .tags()
            .is_empty()
    );

    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");
    for name in ["signer-tags", "require-countersignature"] {
        let uploaded = run(
            &data_dir,
            &[
                "--json",
                "plugin",
                "upload",
                name,
                &format!("{root}/{name}/{name}.wasm"),
            ],
        );
        let uploaded: Value = serde_json::from_str(&uploaded).unwrap();
        let arguments = [
            "hook",
            "set",
            "acme",
            name,
            "--plugin",
            name,
            "--order",
            "1",
            "--timeout-ms",
            "500",
            "--json",
        ];
        let set: Value = serde_json::from_str(&run(&data_dir, &arguments)).unwrap();
        assert_eq!(set["sha256"], uploaded["sha256"]);
        assert_eq!(set["mode"], "enforce");
        assert_eq!(set["on_failure"], "reject");
    }
    // The running server picks the change up without a restart.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(
        acme.save("b", "t", 0, FIRST.trim()).expect(201).tags()[0],
        "iin:123456789011"
    );
    acme.save("b", "t", 1, "x")
        .expect_error(422, "hook_rejected");
    assert_eq!(
        acme.save("b", "t", 1, COUNTERSIGNED.trim())
            .expect(201)
            .tags()
            .len(),
        5
    );

    // A token with one scope, and a key that the caller made.
    let reader = run(
        &data_dir,
        &["token", "issue", "acme", "--scope", "signatures:read"],
    );
    server
        .client(&reader)
        .save("c", "t", 0, "x")
        .expect_error(403, "insufficient_scope");
    server.client(&reader).read("b", "t").expect(200);
    let added: Value = serde_json::from_str(&run(
        &data_dir,
        &["key", "add", "acme", "--alg", "HS512", "--json"],
    ))
    .unwrap();
    let secret = added["secret"].as_str().unwrap();
    assert!(secret.len() > 80);
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512);
    header.kid = Some(added["kid"].as_str().unwrap().to_owned());
    let claims =
        json!({"exp": jsonwebtoken::get_current_timestamp() + 60, "scope": "signatures:read"});
    let own = jsonwebtoken::encode(
        &header,
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap();
    server.client(&own).read("b", "t").expect(200);

    assert!(run(&data_dir, &["migrate"]).contains("up to date"));
    assert!(server.stop().success());
}

#[test]
fn mistakes_are_told_in_sentences_and_by_the_exit_code() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    for (arguments, words) in [
        (&["tenant", "create", "Acme"][..], "lower-case"),
        (&["key", "add", "nobody"], "sigpersist tenant create nobody"),
        (&["token", "issue", "nobody"], "There is no tenant"),
        (&["plugin", "upload", "x", missing], "can't be read"),
        (
            &["hook", "set", "nobody", "x", "--plugin", "x"],
            "There is no tenant",
        ),
        (
            &["token", "issue", "nobody", "--ttl", "soon"],
            "a duration is a whole number",
        ),
        (
            &["token", "issue", "nobody", "--scope", "all"],
            "the scopes are signatures:read",
        ),
        (
            &["key", "add", "nobody", "--alg", "none"],
            "expected one of `HS256`",
        ),
        (
            &["hook", "set", "a", "x", "--plugin", "x", "--settings", "{"],
            "--settings",
        ),
        (&["serve", "--listen", "256.0.0.1:1"], "Can't listen"),
        (&["serve", "--config", missing], "can't be read"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let output = sigpersist(&data_dir, arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && text.contains(words),
            "{arguments:?}: {text}"
        );
        assert!(output.stdout.is_empty());
    }
    run(&data_dir, &["tenant", "create", "acme"]);
    let output = sigpersist(&data_dir, &["token", "issue", "acme", "--json"])
        .output()
        .unwrap();
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(
        error["error"]
            .as_str()
            .unwrap()
            .contains("sigpersist key add acme")
    );
    let added = run(&data_dir, &["key", "add", "--platform"]);
    assert!(added.contains("HS256 key to the platform."), "{added}");
}

/// A script that asks for JSON gets JSON, even for its own mistakes.
#[test]
fn a_wrong_command_line_is_told_as_json_where_that_is_asked_for() {
    let folder = temp_dir();
    let failed = |arguments: &[&str]| {
        let output = sigpersist(folder.path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (arguments, why) in [
        (&["--json", "tenant", "create"][..], "<SLUG>"),
        (&["tenant", "crate", "acme", "--json"], "crate"),
        (
            &["--json", "key", "add", "acme", "--alg", "none"],
            "expected one of `HS256`",
        ),
        (&["--json"], "`sigpersist --help`"),
    ] {
        let told: Value = serde_json::from_str(&failed(arguments)).unwrap();
        let sentence = told["error"].as_str().unwrap();
        assert!(sentence.contains(why), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
        assert_eq!(told["code"], Value::Null);
    }
    assert!(failed(&["tenant", "create"]).starts_with("error: "));
    let help = run(folder.path(), &["--json", "tenant", "--help"]);
    assert!(help.contains("Usage:"), "{help}");
}

#[test]
fn a_port_without_an_address_is_refused_with_what_could_be_meant() {
    let folder = temp_dir();
    let refused = sigpersist(folder.path(), &["serve", "--listen", ":8080"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    for meant in ["`127.0.0.1:8080`", "`0.0.0.0:8080`", "`[::]:8080`"] {
        assert!(told.contains(meant), "{told}");
    }
}

/// Nobody else may put a file into the data directory or hold its locks, whatever the umask is.
#[test]
fn what_is_made_belongs_to_its_user_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = temp_dir();
    let data_dir = folder.path().join("parent/data");
    let program = sigpersist(&data_dir, &["tenant", "create", "acme"]);
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "umask 000 && exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args())
        .env_remove("DATABASE_URL");
    assert_success(&command.output().unwrap());
    let mut looked_at = 0;
    let mut folders = vec![folder.path().join("parent")];
    while let Some(folder) = folders.pop() {
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "{}: {mode:o}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o022, 0, "{}: {mode:o}", path.display());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 3, "{looked_at}");
}

/// Parts that end because the server stops must not log warnings, which may page somebody.
#[test]
fn a_clean_stop_warns_of_nothing() {
    let database = TestDatabase::new();
    for _ in 0..3 {
        let mut command = database.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut log = tempfile::tempfile().unwrap();
        command.stderr(log.try_clone().unwrap());
        let server = Program::start(command);
        let ready = Client::new(&server.base, None);
        crate::support::eventually(|| ready.get("/health/ready").status == 200);
        assert!(server.stop().success());
        let mut told = String::new();
        std::io::Seek::rewind(&mut log).unwrap();
        std::io::Read::read_to_string(&mut log, &mut told).unwrap();
        let (_, stopping) = told.split_once("Received a signal to stop").unwrap();
        assert!(stopping.contains("Stopping"), "{told}");
        let warned = stopping.contains("WARN") || stopping.contains("ERROR");
        assert!(!warned, "{stopping}");
    }
}

#[test]
fn commands_work_on_a_database_of_ones_own() {
    let database = TestDatabase::empty();
    let command = |arguments: &[&str]| {
        let mut command = sigpersist(database.folder.path(), arguments);
        command.env("DATABASE_URL", &database.url);
        command
    };
    // A server that must not migrate explains what to do.
    let refused = command(&["serve", "--listen", "127.0.0.1:0", "--no-migrate"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("sigpersist migrate"));
    let migrated = command(&["migrate"]).output().unwrap();
    assert!(String::from_utf8_lossy(&migrated.stdout).contains("Ran the migrations"));
    assert!(
        command(&["tenant", "create", "acme"])
            .status()
            .unwrap()
            .success()
    );
    // Shared secrets need a master key, and there is none yet.
    let refused = command(&["key", "add", "acme"]).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && text.contains("SIGPERSIST_MASTER_KEY_FILE"),
        "{text}"
    );
    let key_file = database.master_key_file();
    let with_key = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("SIGPERSIST_MASTER_KEY_FILE", &key_file);
        command
    };
    assert!(
        with_key(&["key", "add", "acme"])
            .status()
            .unwrap()
            .success()
    );
    let issued = with_key(&["token", "issue", "acme"]).output().unwrap();
    let server = Program::start(with_key(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--no-migrate",
    ]));
    let acme = server.client(String::from_utf8_lossy(&issued.stdout).trim());
    acme.save("d", "t", 0, "x").expect(201);
    assert!(server.stop().success());
    assert!(!database.folder.path().join("postgres").exists());
}

#[test]
fn a_database_that_is_not_there_is_told_in_a_sentence() {
    let folder = temp_dir();
    for (url, words) in [
        ("postgres://127.0.0.1:1/x", "can't be reached"),
        ("postgres:///x?host=/nowhere", "can't be reached"),
    ] {
        let output = sigpersist(folder.path(), &["migrate"])
            .env("DATABASE_URL", url)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(words), "{text}");
    }
    // If TLS is required but not available, the connection is refused instead of made without TLS.
    let database = TestDatabase::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer_no = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        // A server without TLS answers a request for TLS with N.
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(b"N").unwrap();
    });
    let url = format!("postgres://x@127.0.0.1:{port}/x?sslmode=verify-full");
    let output = sigpersist(database.folder.path(), &["migrate"])
        .env("DATABASE_URL", url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && (text.contains("SSL") || text.contains("sslmode")),
        "{text}"
    );
    drop(answer_no);
}

#[test]
fn several_servers_may_start_at_once_on_an_empty_database() {
    let database = TestDatabase::empty();
    database.master_key_file();
    std::thread::scope(|scope| {
        let servers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    Program::serve_on(&database, &[("SIGPERSIST_DATABASE_POOL_SIZE", "2")])
                })
            })
            .collect();
        for server in servers {
            let server = server.join().unwrap();
            Client::new(&server.base, None)
                .get("/signatures")
                .expect_error(401, "missing_token");
            assert!(server.stop().success());
        }
    });
}

#[test]
fn the_demo_shows_it_all() {
    let folder = temp_dir();
    for _ in 0..2 {
        let shown = run(
            &folder.path().join("data"),
            &["demo", "--listen", "127.0.0.1:0", "--exit"],
        );
        for words in [
            "201 Created",
            "422 Unprocessable",
            "signer-dropped",
            "iin:123456789011",
            "\"nb_results\"",
            "\"type\":\"version.saved\"",
            "The proof holds: version 2 of",
            "curl -s",
        ] {
            assert!(shown.contains(words), "{words} is not in:\n{shown}");
        }
    }
}

#[test]
fn the_server_of_the_demo_gets_ready() {
    let folder = temp_dir();
    let shown = folder.path().join("shown");
    let mut command = sigpersist(
        &folder.path().join("data"),
        &["demo", "--listen", "127.0.0.1:0"],
    );
    // It goes on to print, which needs a reader.
    command.stdout(std::fs::File::create(&shown).unwrap());
    let _demo = Program {
        child: command.spawn().unwrap(),
        base: String::new(),
    };
    crate::support::eventually(|| {
        let shown = std::fs::read_to_string(&shown).unwrap();
        let address = shown
            .lines()
            .find_map(|line| line.split_once("listening on "));
        address.is_some_and(|(_, base)| Client::new(base, None).get("/health/ready").status == 200)
    });
}

#[test]
fn secrets_tokens_and_signatures_never_reach_the_log() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    run(&data_dir, &["tenant", "create", "acme"]);
    let added: Value =
        serde_json::from_str(&run(&data_dir, &["key", "add", "acme", "--json"])).unwrap();
    let token = run(&data_dir, &["token", "issue", "acme"]);
    let log = folder.path().join("log");
    for format in ["text", "json"] {
        let mut command = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
        command
            .env("RUST_LOG", "trace")
            .env("SIGPERSIST_LOG_FORMAT", format)
            .stderr(std::fs::File::create(&log).unwrap());
        let server = Program::start(command);
        let acme = server.client(&token);
        let document = format!("doc-{format}");
        acme.save(&document, "t", 0, FIRST.trim()).expect(201);
        acme.save(&document, "t", 0, "marked-body")
            .expect_error(409, "version_conflict");
        acme.post(&json!({"document": 7, "cms": "marked-body"}))
            .expect_error(400, "invalid_parameter");
        server
            .client(&token[..token.len() - 2])
            .read("d", "t")
            .expect_error(401, "invalid_token");
        assert!(server.stop().success());
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(
            text.contains("/signature") && text.contains("201"),
            "{text}"
        );
        let signature = token.rsplit('.').next().unwrap();
        for secret in [
            added["secret"].as_str().unwrap(),
            &token,
            signature,
            &FIRST[..60],
            "marked-body",
        ] {
            assert!(!text.contains(secret), "{secret} is in the log");
        }
        if format == "json" {
            assert!(
                text.lines()
                    .all(|line| serde_json::from_str::<Value>(line).is_ok()),
                "{text}"
            );
        }
    }
}
