//! Snapshots of machine-readable output: the OpenAPI document and the JSON of every command. A change in them affects
//! their readers, so accept it on purpose: run with `INSTA_UPDATE=always` and review the difference.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::{Settings, assert_json_snapshot};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sigpersist_model::context::Scope;
use sigpersist_tlog::VerifierKey;

use crate::support::guest::Guest;
use crate::support::registry::{Login, Registry};
use crate::support::{
    COUNTERSIGNED, FIRST, Program, TestApp, certificate_pem, elsewhere, run, sigpersist, succeeds,
    temp_dir,
};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
const AUTHORITY: &str = include_str!("../data/verify/ca.crt.b64");
const CHAINED: &str = include_str!("../data/verify/chained.cms.b64");
/// Commands without JSON output of their own: they run for long, or write the requested data; or need a frozen log, or a
/// receiver of webhooks.
const SILENT: [&str; 6] = [
    "serve",
    "demo",
    "completions",
    "upgrade-data",
    "log reopen",
    "webhook test",
];

/// Commands that work on the machine of the server only.
const OF_MACHINE: [&str; 16] = [
    "audit seal",
    "inspect",
    "master-key rotate",
    "master-key show",
    "migrate",
    "plugin bench",
    "plugin inspect",
    "plugin keygen",
    "plugin new",
    "plugin pack",
    "plugin pull",
    "plugin push",
    "plugin sign",
    "plugin test",
    "proof verify",
    "verify",
];

/// Compares a value with its snapshot file.
fn snapshot(name: &str, value: &Value) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_json_snapshot!(name, value));
}

/// Members whose values differ in each run.
const PASSING: [&str; 30] = [
    "behind",
    "checkpoint",
    "compile_ms",
    "current",
    "cursor",
    "digest",
    "entries",
    "fuel",
    "head",
    "id",
    "key_id",
    "log_entries",
    "log_queued",
    "max",
    "memory_bytes",
    "microseconds",
    "next",
    "p50",
    "origin",
    "p99",
    "public_key",
    "public_path",
    "reference",
    "request_id",
    "runs",
    "runs_per_second",
    "secret",
    "size",
    "token",
    "verifier_keys",
];

/// The JSON with placeholders for values that differ in each run.
fn steady(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), steady(name, value)))
            .collect(),
        // A slow machine may cause warnings.
        Value::Array(_) if name == "warnings" => json!("texts"),
        Value::Array(values) => values.iter().map(|value| steady(name, value)).collect(),
        Value::Number(_) if PASSING.contains(&name) => json!("a number"),
        Value::String(_) if PASSING.contains(&name) => json!("a text"),
        Value::String(text) => json!(steady_text(text)),
        other => other.clone(),
    }
}

fn steady_text(text: &str) -> &str {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = text.len() >= 19
        && text.bytes().take(4).all(|byte| byte.is_ascii_digit())
        && text.get(4..5) == Some("-")
        && text.get(13..14) == Some(":");
    match text {
        _ if is_digest => "a digest",
        _ if is_time => "a time",
        _ => text,
    }
}

#[test]
fn the_openapi_document() {
    let app = TestApp::start();
    let mut document = app.anonymous().get("/openapi.json").json;
    document["info"]["version"] = json!("a version");
    snapshot("openapi", &document);
}

/// Commands that run one after another on one database, each with a snapshot.
struct Told<'a> {
    folder: &'a str,
    data_dir: &'a Path,
    /// Where nobody answers.
    silent: &'a str,
    /// The options that name the server to ask; none for commands that use the database themselves.
    server: Vec<String>,
    commands: BTreeSet<String>,
}

impl Told<'_> {
    /// Runs a command and compares its output with its snapshot.
    #[track_caller]
    fn by(&mut self, name: &str, arguments: &[&str]) -> Value {
        let words: Vec<_> = name.split(' ').collect();
        let is_of_machine = OF_MACHINE.contains(&name);
        let mut all = [&["--json"], &words[..], arguments].concat();
        if !is_of_machine {
            all.extend(self.server.iter().map(String::as_str));
        }
        let told = if is_of_machine || self.server.is_empty() {
            succeeds(allowed(self.data_dir, &all))
        } else {
            succeeds(elsewhere(self.data_dir, &all))
        };
        let told = told
            .replace(self.folder, "FOLDER")
            .replace(self.silent, "https://1.1.1.1")
            .replace(env!("CARGO_MANIFEST_DIR"), "REPOSITORY");
        let mut told: Value = serde_json::from_str(&told).unwrap();
        if name == "whoami" {
            let scopes = told["scopes"].as_array_mut().unwrap();
            scopes.sort_by_key(ToString::to_string);
        }
        if self.server.is_empty() {
            self.keep(name, name, &told);
        } else if is_of_machine {
            self.commands.insert(name.to_owned());
        } else {
            as_command_line(&mut told);
            self.keep(name, name, &told);
        }
        told
    }

    fn keep(&mut self, command: &str, name: &str, told: &Value) {
        self.commands.insert(command.to_owned());
        let name = format!("command {name}").replace(' ', "_");
        snapshot(&name, &steady("", told));
    }
}

/// Removes what tells a caller of the platform from the command line, whose name its token has.
fn as_command_line(told: &mut Value) {
    if told.get("scopes").is_some() && told.get("subject").is_some() {
        assert!(told["key"].is_string());
        told["key"] = Value::Null;
    }
    let events = told.get_mut("events").and_then(Value::as_array_mut);
    for event in events.into_iter().flatten() {
        if event["actor_kind"] == "platform" {
            assert!(event["key"].is_string() && event["request_id"].is_string());
            assert_eq!(event["actor"], "command line");
            event["actor_kind"] = json!("command_line");
            event["key"] = Value::Null;
            event["request_id"] = Value::Null;
        }
    }
}

/// A command that may ask on this machine.
fn allowed(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = sigpersist(data_dir, arguments);
    command.env("SIGPERSIST_WEBHOOKS_ALLOW", "127.0.0.1");
    command
}

fn serve(data_dir: &Path) -> Program {
    let mut command = allowed(data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    command.stderr(Stdio::null());
    Program::start(command)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn the_json_of_every_command() {
    every_command_is_told(false);
}

#[test]
fn the_json_of_every_command_asked_of_a_server() {
    every_command_is_told(true);
}

fn every_command_is_told(by_server: bool) {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    // A witness must not be asked on the network, and its state would change when it has answered.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let mut told = Told {
        folder: folder.path().to_str().unwrap(),
        data_dir: &data_dir,
        silent: &silent,
        server: Vec::new(),
        commands: BTreeSet::new(),
    };
    write("authority.pem", &certificate_pem(AUTHORITY));
    let [signer_tags, cases] =
        ["signer-tags.wasm", "cases"].map(|name| format!("{PLUGINS}/signer-tags/{name}"));
    let authority = path("authority.pem");

    let mut migrated: Value =
        serde_json::from_str(&run(&data_dir, &["--json", "migrate"])).unwrap();
    migrated["applied"].as_array_mut().unwrap().truncate(1);
    told.keep("migrate", "migrate", &migrated);
    let mut server = None;
    if by_server {
        let started = serve(&data_dir);
        write("token", &platform_token(&data_dir));
        told.server = ["--server", &started.base, "--token-file", &path("token")]
            .map(str::to_owned)
            .to_vec();
        server = Some(started);
    }
    told.by("whoami", &[]);
    let created = ["acme", "--name", "Acme", "--max-bytes", "1M"];
    told.by("tenant create", &created);
    let secret = told.by("key add", &["acme", "--kid", "first"]);
    assert!(!text(&secret, "secret").is_empty());
    let server = server.unwrap_or_else(|| serve(&data_dir));
    let token = told.by(
        "token issue",
        &["acme", "--subject", "script", "--kid", "first"],
    );
    let acme = server.client(text(&token, "token"));
    told.by("tenant list", &[]);
    told.by("tenant show", &["acme"]);
    told.by("tenant update", &["acme", "--max-threads", "10"]);
    told.by("tenant suspend", &["acme"]);
    told.by("tenant resume", &["acme"]);
    told.by("key list", &["acme"]);
    told.by("key show", &["first"]);
    told.by("master-key show", &[]);
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    write("jwks.json", &json!({ "keys": [key] }).to_string());
    let jwks = path("jwks.json");
    let issuer = ["acme", "id", "https://id.example.com", "--jwks", &jwks];
    let rules = [
        "--audience",
        "api",
        "--require",
        "azp=crm",
        "--grant",
        "roles=a=events:read",
    ];
    told.by("issuer add", &[&issuer[..], &rules].concat());
    told.by("issuer list", &["acme"]);
    told.by("issuer show", &["acme", "id"]);
    told.by("issuer refresh", &["acme", "id"]);
    told.by("issuer remove", &["acme", "id"]);

    let upload = ["signer-tags", signer_tags.as_str(), "--cases", &cases];
    let uploaded = told.by("plugin upload", &upload);
    let revision = text(&uploaded, "sha256");
    told.by("plugin list", &[]);
    told.by("plugin show", &["signer-tags"]);
    let downloaded = path("downloaded.wasm");
    told.by("plugin download", &["signer-tags", "--output", &downloaded]);
    let new = path("new");
    told.by("plugin new", &["new", "--lang", "rust", "--output", &new]);
    told.by("plugin inspect", &[&signer_tags]);
    told.by("plugin test", &[&signer_tags, &cases]);
    told.by("plugin bench", &[&signer_tags, "--seconds", "1"]);
    let core = path("core.wasm");
    std::fs::write(&core, Guest::default().core_module()).unwrap();
    told.by("plugin pack", &[&core]);
    let (keys, pulled) = (path("publisher"), path("pulled.wasm"));
    let key = path("publisher.key");
    let registry = Registry::start(Login::None);
    let artefact = registry.reference("signer-tags:1.2.0");
    told.by("plugin keygen", &[&keys, "--no-password"]);
    let signature = path("signer-tags.minisig");
    let sign = [
        signer_tags.as_str(),
        "--key",
        &key,
        "--name",
        "signer-tags",
        "--plugin-version",
        "1.2.0",
        "--output",
        &signature,
    ];
    told.by("plugin sign", &sign);
    told.by("plugin push", &[&signer_tags, &artefact, "--key", &key]);
    told.by("plugin pull", &[&artefact, "--output", &pulled]);

    let bind = ["acme", "tags", "--plugin", "signer-tags"];
    told.by("hook set", &bind);
    run(
        &data_dir,
        &[&["hook", "set"], &bind[..], &["--timeout-ms", "5000"]].concat(),
    );
    told.by("hook list", &["acme"]);
    told.by("hook show", &["acme", "tags"]);
    told.by("hook order", &["acme", "tags"]);
    told.by("hook rollback", &["acme", "tags"]);
    told.by("hook release", &["acme", "tags"]);
    told.by("policy trust", &["acme", &authority]);
    let policy = ["acme", "--accept", "intact", "--record-verdicts", "true"];
    told.by("policy set", &policy);
    let shown = told.by("policy show", &["acme"]);
    // A running server applies the policy within a second.
    std::thread::sleep(std::time::Duration::from_secs(1));
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(201);
    let proof = path("proof");
    told.by(
        "proof get",
        &["acme", "d", "t", "--version", "2", "--output", &proof],
    );
    let keys = told.by("log keys", &["acme"]);
    let key = text(&keys["keys"][0], "public_key");
    told.by("proof verify", &[&proof, "--log-key", key]);
    told.by("log show", &["acme"]);
    told.by("log publish", &["acme"]);
    told.by("log unpublish", &["acme"]);
    told.by("log set", &["acme", "--refusals", "false"]);
    told.by("log verify", &["acme"]);
    told.by(
        "events tail",
        &["acme", "--after", "0", "--type", "version."],
    );
    told.by("log rotate-key", &[]);
    let vkey = VerifierKey::witness("example.com/w", [7; 32]).to_string();
    let url = format!("{silent}/w");
    let witness = ["example.com/w", "--url", &url, "--key", &vkey];
    told.by(
        "witness add",
        &[&witness[..], &["--tenant", "acme"]].concat(),
    );
    told.by("witness list", &["--tenant", "acme"]);
    told.by("witness remove", &["example.com/w", "--tenant", "acme"]);
    let hook = ["acme", "https://1.1.1.1/hook", "--type", "no.such"];
    let webhook = told.by("webhook create", &hook);
    let id = webhook["id"].to_string();
    told.by("webhook list", &["acme"]);
    told.by("webhook show", &["acme", &id]);
    told.by("webhook update", &["acme", &id, "--enabled", "false"]);
    told.by("webhook attempts", &["acme", &id]);
    told.by("webhook replay", &["acme", &id, "--from", "1", "--to", "3"]);
    told.by("webhook rotate-secret", &["acme", &id]);
    told.by("webhook delete", &["acme", &id]);
    write(
        "input.json",
        &json!({"document": "e", "thread": "t", "cms": CHAINED.trim()}).to_string(),
    );
    told.by("hook evaluate", &["acme", &path("input.json")]);
    told.by("hook backtest", &["acme", "--hook", "tags"]);
    let decisions = told.by("decision list", &["acme"]);
    told.by("hook logs", &["acme", "tags"]);
    let decision = decisions["decisions"][0]["id"].to_string();
    let decision = decision.trim_matches('"');
    told.by("decision show", &["acme", decision]);
    told.by("decision replay", &["acme", decision]);
    told.by("hook history", &["acme", "tags", "--limit", "2"]);
    told.by("hook diff", &["acme", "tags", "1", "2"]);
    let shadow = [&["hook", "set"], &bind[..], &["--shadow", "latest"]].concat();
    run(&data_dir, &shadow);
    told.by("hook shadow", &["acme", "tags"]);
    told.by("inspect", &[&format!("{DATA}/verify/chained.cms.b64")]);
    let chained = format!("{DATA}/verify/chained.cms.b64");
    told.by("verify", &[&chained, "--trust", &authority]);
    told.by("tenant usage", &["acme"]);
    let file = path("acme.export");
    told.by("tenant export", &["acme", "--output", &file, "--decisions"]);
    told.by("tenant import", &["other", "--input", &file, "--create"]);
    let anchor = text(&shown["trust_anchors"][0], "sha256");
    told.by("policy distrust", &["acme", anchor]);
    told.by("audit list", &["acme"]);
    told.by("audit verify", &["acme"]);
    told.by("audit seal", &["acme"]);
    run(&data_dir, &["policy", "trust", "acme", &authority]);
    let platforms = told.server.clone();
    if by_server {
        // A tenant's own token.
        write("acme", text(&token, "token"));
        told.server[3] = path("acme");
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let thread = ["acme", "--document", "e", "--thread", "t"];
    let tagged = [chained.as_str(), "--tag", "signed", "--stage", "draft"];
    told.by("signature save", &[&thread[..], &tagged].concat());
    told.by("signature get", &thread);
    told.by("signature list", &["acme", "--tag", "signed"]);
    told.by("signature verify", &thread);
    told.by(
        "signature delete",
        &[&thread[..], &["--confirm", "e"]].concat(),
    );
    told.server = platforms;
    run(&data_dir, &["hook", "delete", "other", "tags"]);
    told.by("hook delete", &["acme", "tags"]);
    told.by("plugin delete", &["signer-tags"]);
    told.by("key revoke", &["first"]);
    told.by("tenant delete", &["other", "--confirm", "other"]);
    // Failures have the same form for all commands.
    let show_nobody = ["--json", "tenant", "show", "nobody"].map(str::to_owned);
    let show_nobody = [&show_nobody[..], &told.server].concat();
    let show_nobody: Vec<_> = show_nobody.iter().map(String::as_str).collect();
    let mut failed = match by_server {
        true => elsewhere(&data_dir, &show_nobody),
        false => sigpersist(&data_dir, &show_nobody),
    };
    let failed = failed.output().unwrap();
    let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
    told.keep("help", "failure", &error);
    let keeping = |arguments: &[&str]| {
        let mut command = sigpersist(&data_dir, &[&["--json"], arguments].concat());
        command
            .env("XDG_CONFIG_HOME", folder.path().join("config"))
            .env("SIGPERSIST_TOKEN", platform_token(&data_dir));
        let text = succeeds(command).replace(&server.base, "SERVER");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut kept = keeping(&["login", &server.base]);
    kept["caller"]["key"] = json!("a key");
    told.keep("login", "login", &kept);
    let forgotten = keeping(&["logout", &server.base]);
    told.keep("logout", "logout", &forgotten);

    server.signal(Signal::SIGTERM);
    server.wait();
    told.by("master-key rotate", &["--prepare"]);

    assert_eq!(revision.len(), 64);

    let silent = SILENT.map(str::to_owned);
    let named: BTreeSet<_> = told.commands.union(&silent.into()).cloned().collect();
    assert_eq!(every_command(&data_dir), named);
}

/// A token of the platform that allows everything, and whose subject is that of the command line.
fn platform_token(data_dir: &Path) -> String {
    run(data_dir, &["key", "add", "--platform"]);
    let scopes = Scope::ALL.map(Scope::as_str);
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let issue = ["token", "issue", "--platform", "--subject", "command line"];
    run(
        data_dir,
        &issue.into_iter().chain(scopes).collect::<Vec<_>>(),
    )
}

/// The names of all commands, collected from their help.
fn every_command(data_dir: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut groups = vec![String::new()];
    while let Some(group) = groups.pop() {
        let words = group.split_ascii_whitespace();
        let help = run(data_dir, &words.chain(["--help"]).collect::<Vec<_>>());
        let commands = help.split_once("Commands:\n");
        if commands.is_none() {
            all.insert(group.clone());
        }
        let names = commands.map_or("", |(_, rest)| rest).lines();
        for line in names.take_while(|line| !line.is_empty()) {
            let name = line
                .strip_prefix("  ")
                .filter(|line| !line.starts_with(' '));
            let name = name.and_then(|line| line.split_ascii_whitespace().next());
            match name {
                Some("help") if !group.is_empty() => {}
                Some("help") => drop(all.insert("help".to_owned())),
                Some(name) => groups.push(format!("{group} {name}").trim().to_owned()),
                None => {}
            }
        }
    }
    all
}
