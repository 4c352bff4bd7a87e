//! Components that are too expensive to compile: their uploader gets an answer, and nobody else notices.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sigpersist::plugins;

use crate::support::guest::Guest;
use crate::support::{
    Client, FIRST, Program, Response, SIGNER_TAGS, Stopwatch, TestApp, eventually,
    eventually_within, run, sigpersist, temp_dir,
};

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];
/// Text in the data of a guest that makes the test compiler sleep without end.
const NEVER: &str = "never gets done";
/// Text in the data of a guest that makes the test compiler use a processor without end.
const WORKS: &str = "works for ever";

fn put(client: &Client, component: &[u8]) -> Response {
    client.send("PUT", "/plugins/p", &WASM, Some(component.to_vec()))
}

/// A function whose compilation takes memory and time in proportion to `blocks` times `locals`.
fn costly(blocks: usize, locals: usize) -> String {
    let declared = "i32 ".repeat(locals);
    let body: String = (0..blocks)
        .map(|block| {
            let local = |factor: usize| (block * factor + 1) % locals;
            format!(
                "(if (local.get {}) (then (local.set {} (i32.add (local.get {}) (i32.const {block})))))",
                local(1),
                local(7),
                local(3)
            )
        })
        .collect();
    format!("(func (local {declared}) {body})")
}

fn guest(definitions: &str) -> Vec<u8> {
    Guest {
        definitions,
        ..Guest::default()
    }
    .component()
}

#[test]
fn what_is_out_of_proportion_is_refused_before_it_is_compiled() {
    let app = TestApp::start();
    app.tenant("evil");
    let refused = put(&app.operator("evil"), &guest(&costly(20_000, 2_000)));
    let refused = refused.expect_error(422, "refused");
    assert!(
        refused
            .text
            .contains("blocks and branches times locals and operands; the limit is 10000000"),
        "{}",
        refused.text
    );
    assert_eq!(app.app.engine.compilations(), 0);
}

#[test]
fn commands_refuse_it_too() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let bomb = Guest {
        definitions: &costly(20_000, 2_000),
        ..Guest::default()
    };
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let component = write("component.wasm", bomb.component());
    let module = write("module.wasm", bomb.core_module());
    let cases = write("cases.json", b"{\"cases\": []}".to_vec());
    for arguments in [
        &["plugin", "inspect", &component][..],
        &["plugin", "test", &component, &cases],
        &["plugin", "bench", &component, &cases],
        &["plugin", "pack", &module],
    ] {
        let output = sigpersist(&data_dir, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("too complex"), "{arguments:?}: {text}");
    }
}

/// The peak memory of a server, in bytes.
fn peak(server: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}

#[test]
fn what_takes_too_much_memory_kills_its_process_and_not_the_server() {
    let folder = temp_dir();
    let data_dir = folder.path();
    run(data_dir, &["tenant", "create", "evil"]);
    run(data_dir, &["key", "add", "evil"]);
    let token = |scopes: &str| run(data_dir, &["token", "issue", "evil", "--scope", scopes]);
    let mut command = sigpersist(data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    let most = 64 * 1024 * 1024_u64;
    command
        .env(
            "SIGPERSIST_HOOKS_MAX_COMPILE_MEMORY_BYTES",
            most.to_string(),
        )
        .stderr(std::process::Stdio::null());
    let server = Program::start(command);
    let operator = server.client(&token("plugins:write"));
    put(&operator, SIGNER_TAGS).expect(201);
    let before = peak(&server);
    let refused = put(&operator, &guest(&costly(5_500, 900))).expect_error(422, "refused");
    let why = format!("takes more than {most} bytes of memory to compile");
    assert!(refused.text.contains(&why), "{}", refused.text);
    // The server itself has used little memory for it, and keeps working.
    let grown = peak(&server) - before;
    assert!(grown < most / 4, "{grown}");
    put(&operator, SIGNER_TAGS).expect(200);
    assert!(server.stop().success());
}

#[test]
fn what_takes_too_much_processor_time_is_refused() {
    let app = TestApp::start_with(|config| config.hooks.max_compile_cpu_ms = 1);
    app.tenant("evil");
    let operator = app.operator("evil");
    put(&operator, SIGNER_TAGS).expect(201);
    let refused = put(&operator, &guest(&costly(5_500, 900))).expect_error(422, "refused");
    assert!(
        refused
            .text
            .contains("takes more than 1 s of processor time"),
        "{}",
        refused.text
    );
}

/// A fake compiler that never finishes some components, and writes a file named after the pid of each process.
fn compiler(folder: &Path) -> PathBuf {
    let path = folder.join("compiler");
    let script = format!(
        "#!/bin/sh\nfile={folder}/$$.wasm\n/bin/cat > $file\nif /bin/grep -q '{NEVER}' $file; then /bin/sleep 1000; fi\nif /bin/grep -q '{WORKS}' $file; then while :; do :; done; fi\nexec {program} \"$@\" < $file\n",
        folder = folder.display(),
        program = env!("CARGO_BIN_EXE_sigpersist"),
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn endless(says: &str, number: u8) -> Vec<u8> {
    Guest {
        // Ends this function early and opens another, so that a data segment with the text can stand between them.
        validate: &format!("(i32.const 1024)) (data \"{says}\") (func"),
        judge: &format!("(drop (i32.const {number})) (i32.const 1024)"),
        ..Guest::default()
    }
    .component()
}

#[test]
fn what_takes_too_long_keeps_nobody_else_waiting() {
    let folder = temp_dir();
    let compiled = temp_dir();
    let app = TestApp::start_with(|config| {
        config.hooks.compiler = Some(compiler(folder.path()));
        config.hooks.cache_dir = Some(compiled.path().to_owned());
        config.hooks.compile_timeout_ms = 30_000;
    });
    app.tenant("evil");
    let other = app.tenant("other");
    app.hook("other", "signer-tags", SIGNER_TAGS, |_| {});
    let (evil, operator) = (app.operator("evil"), app.operator("other"));
    std::thread::scope(|scope| {
        // One upload for each turn to compile; but only one of each tenant's is compiled at a time.
        let uploads: Vec<_> = (0..2)
            .map(|number| {
                let evil = &evil;
                scope.spawn(move || put(evil, &endless(NEVER, number)))
            })
            .collect();
        eventually(|| folder.path().read_dir().unwrap().count() > 2);
        // Another tenant uploads, binds and saves before the first upload is answered.
        put(&operator, &guest("(func (drop (i32.const 7)))")).expect(201);
        app.set("other", "p", "p", |_| {}).unwrap();
        let saved = other.save("doc", "t", 0, FIRST.trim()).expect(201);
        assert_eq!(saved.tags().len(), 3);
        // A component that a request needs is compiled at the same time.
        let again = app.replica_with(|config| {
            config.hooks.compiler = Some(compiler(folder.path()));
        });
        plugins::chain(&again.app, app.tenant_id("other")).unwrap();
        assert_eq!(again.app.engine.compilations(), 2);
        assert!(uploads.iter().all(|upload| !upload.is_finished()));
        for upload in uploads {
            // The compiler used no processor time, so a retry may succeed.
            upload.join().unwrap().expect_error(503, "overloaded");
        }
    });
    // None of the compiler's processes is left.
    let sleeps = || {
        let ours = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.ok()?.path();
            let line = std::fs::read(path.join("cmdline")).ok()?;
            let folder = folder.path().to_str()?.as_bytes();
            Some(line.windows(folder.len()).any(|part| part == folder))
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(ours)
            .any(|ours| ours)
    };
    eventually_within(Duration::from_secs(5), || !sleeps());
}

#[test]
fn what_takes_too_long_though_it_has_a_processor_is_refused() {
    let folder = temp_dir();
    let app = TestApp::start_with(|config| {
        config.hooks.compiler = Some(compiler(folder.path()));
        config.hooks.compile_timeout_ms = 3_000;
    });
    app.tenant("evil");
    let operator = app.operator("evil");
    let watch = Stopwatch::start();
    for _ in 0..20 {
        let answer = put(&operator, &endless(WORKS, 0));
        if answer.status == 422 {
            assert!(
                answer.text.contains("longer than 3000 ms"),
                "{}",
                answer.text
            );
            return;
        }
        // A very busy machine may be the cause.
        answer.expect_error(503, "overloaded");
        assert!(watch.share() < 0.9, "{}", watch.share());
    }
}

#[test]
fn a_stored_component_that_no_longer_compiles_is_its_tenants_failure_alone() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let narrow = app.replica_with(|config| config.hooks.max_compile_memory_bytes = 1024);
    let client = |tenant| narrow.client(tenant, &sigpersist_model::context::Scope::APPLICATION);
    client("acme")
        .save("doc", "t", 0, FIRST.trim())
        .expect_error(500, "hook_failed");
    client("other")
        .save("doc", "t", 0, FIRST.trim())
        .expect(201);
}
