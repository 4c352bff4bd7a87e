//! Commands that ask a server: the same words and exit codes as on the server's machine, tokens, TLS, retries, and
//! transfers that go on where they broke off. The JSON of every command is compared in `snapshots`.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sigpersist_model::context::Scope;
use sigpersist_model::digest::{sha256, to_hex};

use crate::support::guest::Guest;
use crate::support::{FIRST, TestApp, elsewhere, eventually, temp_dir};

/// The exit code, standard output and standard error of a command.
fn told(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A file with a token of the platform that allows everything, and has the name of the command line.
fn platform_token(app: &TestApp) -> PathBuf {
    let path = app.database.folder.path().join("token");
    std::fs::write(&path, app.platform().token.unwrap()).unwrap();
    path
}

#[test]
fn words_and_exit_codes_are_those_of_the_servers_machine() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.upload("accepts", &Guest::default().component())
        .unwrap();
    app.set("acme", "accepts", "accepts", |_| {}).unwrap();
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    let token = platform_token(&app);
    let decisions = app.operator("acme").get("/hooks/decisions").expect(200);
    let decision = decisions.json["content"]["decisions"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    app.sequence();
    let folder = app.database.folder.path();
    for arguments in [
        &["tenant", "list"][..],
        &["tenant", "list", "--state", "suspended"],
        &["tenant", "show", "acme"],
        &["tenant", "usage", "acme"],
        &["tenant", "create", "acme"],
        &["key", "list", "acme"],
        &["key", "list", "--platform"],
        &["plugin", "list"],
        &["plugin", "list", "--tenant", "acme"],
        &["plugin", "show", "accepts"],
        &["hook", "list", "acme"],
        &["hook", "show", "acme", "accepts"],
        &["hook", "release", "acme", "accepts"],
        &["hook", "logs", "acme", "accepts"],
        &["hook", "logs", "acme", "none"],
        &["policy", "show", "acme"],
        &["decision", "list", "acme"],
        &["decision", "show", "acme", &decision],
        &["audit", "list", "acme"],
        &["audit", "verify", "--all"],
        &["log", "show", "acme"],
        &["log", "publish", "acme"],
        &["log", "show", "acme"],
        &["log", "unpublish", "acme"],
        &["log", "set", "acme", "--refusals", "true"],
        &["log", "keys", "acme"],
        &["log", "verify", "acme"],
        &["events", "tail", "acme"],
        &["webhook", "list", "acme"],
        &["witness", "list"],
        &["witness", "list", "--tenant", "acme"],
        &["events", "tail", "acme", "--after", "0", "--type", "hook."],
        // Failures.
        &["log", "show", "nobody"],
        &["log", "reopen", "acme", "--reason", "none"],
        &["proof", "get", "acme", "none", "t"],
        &["events", "tail", "nobody"],
        &["webhook", "show", "acme", "7"],
        &["witness", "remove", "none"],
        &["witness", "remove", "none", "--tenant", "acme"],
        &["witness", "list", "--tenant", "nobody"],
        &[
            "witness",
            "add",
            "w",
            "--url",
            "https://1.1.1.1/",
            "--key",
            "w",
        ],
        &["webhook", "create", "acme", "https://127.0.0.1/"],
        &["tenant", "show", "nobody"],
        &["tenant", "usage", "nobody"],
        &["tenant", "create", "Acme"],
        &["tenant", "create", "acme", "--name", "Other"],
        &["tenant", "update", "acme"],
        &["tenant", "export", "nobody"],
        &["tenant", "import", "acme", "--input", "/none"],
        &["key", "add", "nobody"],
        &["key", "show", "none"],
        &["token", "issue", "acme", "--kid", "none"],
        &["plugin", "show", "none"],
        &["plugin", "download", "none"],
        &["plugin", "delete", "accepts"],
        &["hook", "set", "acme", "x", "--plugin", "none"],
        &[
            "hook",
            "set",
            "acme",
            "accepts",
            "--plugin",
            "accepts",
            "--if-match",
            "7",
        ],
        &[
            "hook",
            "set",
            "acme",
            "accepts",
            "--plugin",
            "accepts",
            "--if-match",
            "0",
        ],
        &["hook", "rollback", "acme", "accepts"],
        &["hook", "order", "acme", "other"],
        &["hook", "show", "nobody", "x"],
        &["policy", "distrust", "acme", &"0".repeat(64)],
        &["decision", "show", "acme", "1-1-1"],
        &["audit", "verify", "nobody"],
        &[
            "audit",
            "verify",
            "acme",
            "--expect",
            &format!("1:{}", "0".repeat(64)),
        ],
    ] {
        let here = told(app.database.command(arguments));
        let mut command = elsewhere(folder, arguments);
        command
            .env("SIGPERSIST_SERVER", &app.base)
            .arg("--token-file")
            .arg(&token);
        let there = told(command);
        assert_eq!(here, there, "{arguments:?}");
        let said = if here.0 == Some(0) { &here.1 } else { &here.2 };
        assert!(!said.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_operator_of_a_tenant_commands_its_own_tenant_alone() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    let folder = app.database.folder.path();
    let token = app.operator("acme").token.unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = elsewhere(folder, arguments);
        command
            .env("SIGPERSIST_SERVER", &app.base)
            .env("SIGPERSIST_TOKEN", &token);
        told(command)
    };
    for own in [
        &["hook", "list", "acme"][..],
        &["policy", "show", "acme"],
        &["audit", "verify", "acme"],
        &["audit", "list", "acme"],
        &["plugin", "list", "--tenant", "acme"],
    ] {
        assert_eq!(ask(own).0, Some(0), "{own:?}");
    }
    for (others, words) in [
        (&["hook", "list", "other"][..], "There is no tenant `other`"),
        (&["audit", "list", "other"], "Only a token of the platform"),
        (
            &["audit", "verify", "--platform"],
            "Only a token of the platform",
        ),
        (
            &["tenant", "list"],
            "`sigpersist whoami` shows what the token allows",
        ),
        (
            &["tenant", "export", "acme"],
            "`sigpersist whoami` shows what the token allows",
        ),
    ] {
        let (code, output, error) = ask(others);
        // A check that could not be made has an exit code of its own.
        let refused = if others.contains(&"verify") { 2 } else { 1 };
        assert_eq!((code, output.as_str()), (Some(refused), ""), "{others:?}");
        assert!(error.contains(words), "{error}");
    }
    let (_, who, _) = ask(&["whoami"]);
    assert!(
        who.contains("tenant:   acme") && who.contains("hooks:write"),
        "{who}"
    );
}

#[test]
fn a_login_keeps_the_token_for_its_owner_alone_until_the_logout() {
    let app = TestApp::start();
    app.tenant("acme");
    let folder = app.database.folder.path();
    let login = |token: &str| {
        let mut command = elsewhere(folder, &["login", &app.base]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{token}").unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    };
    let kept = folder.join("config/sigpersist/tokens.json");
    let list = || {
        told(elsewhere(
            folder,
            &["hook", "list", "acme", "--server", &app.base],
        ))
    };
    let (code, _, error) = list();
    assert_eq!(code, Some(1));
    assert!(
        error.contains(&format!("sigpersist login {}", app.base)),
        "{error}"
    );
    // A token that the server refuses is not kept.
    let refused = login("x.y.z");
    assert!(!refused.status.success() && !kept.exists());
    let token = app.operator("acme").token.unwrap();
    let output = login(&token);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("tenant:   acme"),
        "{said}"
    );
    assert!(!said.contains(&token));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o700));
    assert_eq!(list().0, Some(0));
    // Others who can read the file could act for the tenant.
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o640)).unwrap();
    let (code, _, error) = list();
    assert!(code == Some(1) && error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o600)).unwrap();
    let (code, said, _) = told(elsewhere(folder, &["logout", &app.base]));
    assert!(
        code == Some(0) && said.contains("Forgot the token"),
        "{said}"
    );
    assert_eq!(list().0, Some(1));
}

#[test]
fn mistakes_about_servers_are_told() {
    let app = TestApp::start();
    let folder = app.database.folder.path();
    let token = platform_token(&app);
    let token = token.to_str().unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    for (arguments, code, words) in [
        (
            &["tenant", "list", "--server", "example.org"][..],
            2,
            "a server is a URL",
        ),
        (
            &["tenant", "list", "--server", &closed, "--token-file", token],
            3,
            "did not answer",
        ),
        (
            &[
                "tenant",
                "list",
                "--server",
                &app.base,
                "--token-file",
                "/none",
            ],
            1,
            "The token file",
        ),
        (
            &[
                "tenant",
                "list",
                "--server",
                &format!("{}/none", app.base),
                "--token-file",
                token,
            ],
            1,
            "There is nothing at this path",
        ),
        (
            &["serve", "--server", &app.base],
            1,
            "works on this machine only",
        ),
        (
            &["audit", "seal", "--all", "--server", &app.base],
            1,
            "works on this machine only",
        ),
        (
            &["master-key", "show", "--server", &app.base],
            1,
            "works on this machine only",
        ),
    ] {
        let (ended, _, error) = told(elsewhere(folder, arguments));
        assert_eq!(ended, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn commands_wait_for_a_server_that_says_when_to_come_back() {
    let app = TestApp::start();
    let token = platform_token(&app);
    let folder = app.database.folder.path();
    app.database.forbid_connections(true);
    let asked = {
        let mut command = elsewhere(folder, &["tenant", "list", "--server", &app.base]);
        command.arg("--token-file").arg(&token);
        thread::spawn(move || told(command))
    };
    thread::sleep(Duration::from_millis(1500));
    assert!(!asked.is_finished());
    app.database.forbid_connections(false);
    let (code, output, error) = asked.join().unwrap();
    assert_eq!(code, Some(0), "{output} {error}");
}

#[test]
fn a_server_behind_tls_is_believed_if_its_authority_is_given() {
    let app = TestApp::start();
    let folder = app.database.folder.path();
    let token = platform_token(&app);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let authority = folder.join("authority.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key)
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, behind) = (Arc::new(config), app.base.replace("http://", ""));
    thread::spawn(move || {
        for client in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that does not believe the certificate hangs up.
            drop(pass_one(
                rustls::StreamOwned::new(session, client.unwrap()),
                &behind,
            ));
        }
    });
    let url = format!("https://localhost:{port}");
    let mut command = elsewhere(folder, &["whoami", "--json", "--server", &url]);
    command.arg("--token-file").arg(&token);
    let (code, _, error) = told(command);
    assert!(code == Some(3) && error.contains("--ca-file"), "{error}");
    let mut command = elsewhere(folder, &["whoami", "--json", "--server", &url]);
    command
        .arg("--token-file")
        .arg(&token)
        .arg("--ca-file")
        .arg(&authority);
    let (code, output, error) = told(command);
    assert_eq!(code, Some(0), "{error}");
    let caller: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(caller["tenant"], Value::Null);
}

/// Passes one request without a body on to a server, and its answer back.
fn pass_one(client: impl Read + Write, server: &str) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut server = TcpStream::connect(server)?;
    loop {
        let mut line = String::new();
        client.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        server.write_all(line.as_bytes())?;
    }
    server.write_all(b"connection: close\r\n\r\n")?;
    std::io::copy(&mut server, client.get_mut())?;
    client.get_mut().flush()
}

/// A way to a server that breaks off again and again: each of the first connections after so many bytes.
fn broken_way(server: &str, connections: usize, bytes: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let broken = Arc::new(AtomicUsize::new(0));
    let (counted, server) = (Arc::clone(&broken), server.replace("http://", ""));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let pairs = [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ];
            for (mut from, mut to) in pairs {
                let counted = Arc::clone(&counted);
                thread::spawn(move || {
                    let mut passed = 0;
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        passed += length;
                        if passed > bytes && counted.load(Ordering::SeqCst) < connections {
                            counted.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                        if to.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                    // The other side may have gone already.
                    drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
                });
            }
        }
    });
    (url, broken)
}

/// A server that takes files of imports, and has forgotten each when its import is begun, as several servers behind one
/// address do. Counts the files.
fn forgetful_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = BufReader::new(client.unwrap());
            let (mut request, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                client.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                request.push_str(&line);
            }
            client.read_exact(&mut vec![0; length]).unwrap();
            let (status, answer) = if request.starts_with("PUT") {
                counted.fetch_add(1, Ordering::SeqCst);
                let import = json!({
                    "sha256": "0".repeat(64), "size": length, "received": length, "state": "receiving",
                    "tenant": "acme", "steps_done": 0, "steps": 0,
                });
                (
                    200,
                    json!({ "status": true, "content": { "import": import } }),
                )
            } else {
                let message = "There is no such import.";
                (
                    404,
                    json!({ "message": message, "code": "import_not_found", "request_id": "1" }),
                )
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            client
                .get_mut()
                .write_all((head + &answer).as_bytes())
                .unwrap();
        }
    });
    (url, sent)
}

#[test]
fn a_file_that_is_forgotten_again_and_again_is_not_sent_for_ever() {
    let folder = temp_dir();
    let (url, sent) = forgetful_server();
    let file = folder.path().join("acme.ndjson");
    std::fs::write(&file, "a file").unwrap();
    let mut command = elsewhere(
        folder.path(),
        &["tenant", "import", "acme", "--server", &url],
    );
    command
        .env("SIGPERSIST_TOKEN", "token")
        .arg("--input")
        .arg(&file);
    let (code, _, error) = told(command);
    assert!(error.contains("forgot the file 3 times"), "{error}");
    assert_eq!((code, sent.load(Ordering::SeqCst)), (Some(1), 3));
}

/// Files of exports and imports on a server in this process: they have no name.
fn spooled(spool: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    open.filter(|file| file.starts_with(spool)).count()
}

/// Creates a tenant whose export takes several pieces.
fn large_tenant(app: &TestApp, slug: &str) {
    let tenant = app.tenant(slug);
    for number in 0..12 {
        let text = format!("{number}").repeat(1_500_000);
        tenant
            .save(&format!("d{number}"), "t", 0, &text)
            .expect(201);
    }
}

#[test]
fn clients_that_import_the_same_file_at_once_do_not_disturb_each_other() {
    let app = TestApp::start();
    large_tenant(&app, "acme");
    let folder = app.database.folder.path();
    let file = folder.join("acme.ndjson");
    let file = file.to_str().unwrap();
    app.database
        .run(&["tenant", "export", "acme", "--output", file]);
    let token = platform_token(&app);
    let importing: Vec<_> = ["one", "one", "two"]
        .into_iter()
        .map(|slug| {
            let import = ["tenant", "import", slug, "--input", file, "--create"];
            let mut command = elsewhere(folder, &import);
            command.args(["--server", &app.base, "--token-file"]);
            command.arg(&token);
            thread::spawn(move || told(command))
        })
        .collect();
    for import in importing {
        let (code, _, error) = import.join().unwrap();
        assert_eq!(code, Some(0), "{error}");
    }
    let threads = app
        .database
        .lines("SELECT count(*)::text AS line FROM signatures");
    assert_eq!(threads.trim(), "36");
}

#[test]
fn a_token_for_transfers_hands_out_and_takes_in_no_key_and_makes_no_tenant() {
    let app = TestApp::start();
    app.tenant("acme");
    let mover = app.platform_with(&[Scope::TenantsTransfer]);
    let keys = json!({ "keys": { "passphrase": "correct horse battery staple" } });
    mover
        .json("POST", "/tenants/acme/exports", &keys)
        .expect_error(403, "insufficient_scope");
    let exported = mover
        .json("POST", "/tenants/acme/exports", &json!({}))
        .expect(202);
    let id = exported.json["content"]["export"]["id"].as_str().unwrap();
    let listed = mover.get("/tenants/acme/exports").expect(200);
    assert_eq!(listed.json["content"]["exports"][0]["id"], id);
    let path = format!("/tenants/acme/exports/{id}");
    eventually(|| mover.get(&path).json["content"]["export"]["state"] == "done");
    let file = mover.get(&format!("{path}/file"));
    assert_eq!(file.status, 200);
    let part = mover.send(
        "GET",
        &format!("{path}/file"),
        &[("range", "bytes=3-9")],
        None,
    );
    assert_eq!((part.status, part.text.as_str()), (206, &file.text[3..10]));
    // Nothing begins there, which is no reason to send all of it.
    let size = file.text.len();
    let beyond = format!("bytes={size}-");
    let beyond = [("range", beyond.as_str())];
    let refused = mover
        .send("GET", &format!("{path}/file"), &beyond, None)
        .expect_error(416, "range_not_satisfiable");
    let end = format!("bytes */{size}");
    assert_eq!(refused.header("content-range"), Some(end.as_str()));
    let head = mover.send("HEAD", &format!("{path}/file"), &beyond, None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let head = [("range", "bytes=3-9")];
    let head = mover.send("HEAD", &format!("{path}/file"), &head, None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let sha256 = to_hex(&sha256(file.text.as_bytes()));
    let path = format!("/imports/copy/{sha256}");
    let range = format!("bytes 0-{}/{}", file.text.len() - 1, file.text.len());
    let headers = [
        ("content-type", "application/x-ndjson"),
        ("content-range", range.as_str()),
    ];
    let sent = mover.send("PUT", &path, &headers, Some(file.text.clone().into_bytes()));
    sent.expect(200);
    for form in [
        json!({ "create": true }),
        json!({ "passphrase": "correct horse battery staple" }),
    ] {
        mover
            .json("POST", &path, &form)
            .expect_error(403, "insufficient_scope");
    }
    mover
        .json("POST", &path, &json!({}))
        .expect_error(404, "tenant_not_found");
    mover.send("DELETE", &path, &[], None).expect(200);
    mover.get(&path).expect_error(404, "import_not_found");
}

#[test]
fn exports_and_imports_go_on_where_their_way_broke_off() {
    let spools = [temp_dir(), temp_dir()];
    let [here, there] = spools.each_ref().map(|spool| {
        TestApp::start_with(|config| config.transfer.dir = Some(spool.path().to_owned()))
    });
    large_tenant(&here, "acme");
    let folder = here.database.folder.path();
    let file = folder.join("acme.ndjson");
    let file = file.to_str().unwrap();
    for (app, arguments) in [
        (&here, &["tenant", "export", "acme", "--output", file][..]),
        (
            &there,
            &["tenant", "import", "copy", "--input", file, "--create"],
        ),
    ] {
        let (url, broken) = broken_way(&app.base, 3, 3 << 20);
        let mut command = elsewhere(folder, arguments);
        command.args(["--json", "--server", &url, "--token-file"]);
        let (code, output, error) = told({
            command.arg(platform_token(app));
            command
        });
        assert_eq!(code, Some(0), "{error}");
        assert_eq!(broken.load(Ordering::SeqCst), 3, "{output}");
        let spool = app.app.config.transfer.dir.as_ref().unwrap();
        assert_eq!(spooled(spool), 0, "nothing is left on the server");
    }
    let threads = there
        .database
        .lines("SELECT count(*)::text AS line FROM signatures");
    assert_eq!(threads.trim(), "12");
}
