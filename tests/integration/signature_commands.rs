//! `sigpersist signature`: the same with a tenant's token for a server and as an operator on the server's machine, where hooks,
//! policy and quotas hold as for everybody.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sigpersist_model::context::Scope;

use crate::support::guest::Guest;
use crate::support::{
    COUNTERSIGNED, DETACHED, FIRST, REJECT, TestApp, certificate_pem, elsewhere, eventually,
};

const CHAINED: &str = include_str!("../data/verify/chained.cms.b64");
const AUTHORITY: &str = include_str!("../data/verify/ca.crt.b64");
const CONTENT: &str = "A contract between two people who do not exist.\n";

fn der(base64: &str) -> Vec<u8> {
    BASE64.decode(base64.trim()).unwrap()
}

/// Exit code, standard output and standard error.
type Told = (Option<i32>, Vec<u8>, String);

/// A server, and files for commands.
struct Story {
    app: TestApp,
    token: String,
}

impl Story {
    fn new() -> Self {
        let app = TestApp::start();
        let token = app.tenant("acme").token.unwrap();
        let story = Self { app, token };
        for (name, content) in [
            ("first.p7s", der(FIRST)),
            ("second.p7s", der(COUNTERSIGNED)),
            ("chained.p7s", der(CHAINED)),
            ("authority.pem", certificate_pem(AUTHORITY).into()),
            ("content.txt", CONTENT.into()),
        ] {
            std::fs::write(story.path(name), content).unwrap();
        }
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.app.database.folder.path().join(name)
    }

    fn command(&self, by_server: bool, arguments: &[&str]) -> Command {
        let mut command = match by_server {
            true => elsewhere(self.app.database.folder.path(), arguments),
            false => self.app.database.command(arguments),
        };
        if by_server {
            command
                .env("SIGPERSIST_SERVER", &self.app.base)
                .env("SIGPERSIST_TOKEN", &self.token);
        }
        command.current_dir(self.app.database.folder.path());
        command
    }

    /// Runs `sigpersist signature`.
    fn signature(&self, by_server: bool, arguments: &str) -> Told {
        let words = arguments.split(' ').filter(|word| !word.is_empty());
        let words: Vec<_> = ["signature"].into_iter().chain(words).collect();
        told(self.command(by_server, &words))
    }

    /// Runs `sigpersist signature`, which must succeed; returns its sentence.
    #[track_caller]
    fn done(&self, by_server: bool, arguments: &str) -> String {
        let (code, output, error) = self.signature(by_server, arguments);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{arguments}");
        String::from_utf8(output).unwrap()
    }

    /// Runs `sigpersist signature`, which must fail; returns its sentence.
    #[track_caller]
    fn refused(&self, by_server: bool, arguments: &str) -> String {
        let (code, output, error) = self.signature(by_server, arguments);
        assert_eq!(code, Some(1), "{arguments}: {error}");
        assert!(output.is_empty(), "{arguments}");
        error
    }

    #[track_caller]
    fn json(&self, by_server: bool, arguments: &str) -> Value {
        serde_json::from_str(&self.done(by_server, &format!("{arguments} --json"))).unwrap()
    }
}

fn told(mut command: Command) -> Told {
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), output.stdout, error)
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_thread_lives_from_its_first_signature_to_its_end() {
    let story = Story::new();
    for by_server in [false, true] {
        let it = format!("acme --document doc --thread t-{by_server}");
        let names = format!("`doc`/`t-{by_server}`");
        let done = |arguments: &str| story.done(by_server, arguments);
        let save = format!(
            "save {it} first.p7s --tag a --tag b --stage draft --created-by olga --comment first"
        );
        assert_eq!(done(&save), format!("Saved version 1 of {names}.\n"));
        assert_eq!(
            done(&save),
            format!(
                "Version 1 of {names} was saved before, with this signature; nothing was changed.\n"
            )
        );
        // Somebody who did not see version 1 is told what to do.
        let late = story.refused(by_server, &format!("save {it} second.p7s"));
        for words in [
            "the current version",
            "is 1",
            "--over 1",
            "signature get acme --document doc",
        ] {
            assert!(late.contains(words), "{late}");
        }
        done(&format!("save {it} second.p7s --over 1 --tag signed"));
        let late = story.refused(by_server, &format!("save {it} chained.p7s --over 1"));
        assert!(
            late.contains("made over version 1") && late.contains("--over 2"),
            "{late}"
        );
        let never = story.refused(
            by_server,
            "save acme --document new --thread t first.p7s --over 3",
        );
        assert!(never.contains("no version yet"), "{never}");

        // The current version goes to standard output, and earlier ones to files, as they were.
        let (code, output, _) = story.signature(by_server, &format!("get {it}"));
        assert_eq!((code, output), (Some(0), der(COUNTERSIGNED)));
        let wrote = done(&format!("get {it} --version 1 --output again.p7s"));
        assert!(
            wrote.contains("Wrote version 1") && wrote.contains("again.p7s"),
            "{wrote}"
        );
        assert_eq!(bytes(&story.path("again.p7s")), der(FIRST));
        let (code, output, _) = story.signature(by_server, &format!("get {it} --output -"));
        assert_eq!((code, output), (Some(0), der(COUNTERSIGNED)));
        let first = story.json(by_server, &format!("get {it} --version 1"));
        assert_eq!(first["signature"], FIRST.trim());
        assert_eq!(first["tags"], json!(["a", "b"]));
        assert_eq!(
            (
                &first["stage"],
                &first["version_created_by"],
                &first["version_comment"]
            ),
            (&json!("draft"), &json!("olga"), &json!("first"))
        );
        let file = story.json(by_server, &format!("get {it} -o again.p7s"));
        assert_eq!(file["content_type"], "application/pkcs7-signature");
        assert_eq!(file["size"], der(COUNTERSIGNED).len());
        let both = story.refused(by_server, &format!("get {it} --output - --json"));
        assert!(both.contains("Standard output is for the JSON"), "{both}");

        let asked = format!("delete {it}");
        let ask = story.refused(by_server, &asked);
        assert!(ask.contains(&format!("{asked} --confirm doc")), "{ask}");
        story.refused(by_server, &format!("{asked} --confirm other"));
        let stale = story.refused(by_server, &format!("{asked} --confirm doc --version 1"));
        assert!(stale.contains("the current version is now 2"), "{stale}");
        done(&format!("{asked} --confirm doc --version 2"));
        for gone in [
            format!("get {it}"),
            format!("{asked} --confirm doc"),
            format!("verify {it}"),
        ] {
            let gone = story.refused(by_server, &gone);
            assert!(
                gone.contains("`sigpersist signature list acme` shows all signatures"),
                "{gone}"
            );
        }
    }
    // Who deleted it is in the audit trail.
    let actors: Vec<_> = story
        .app
        .audit("acme")
        .into_iter()
        .filter(|event| event.contains("signature.delete"))
        .collect();
    assert_eq!(actors.len(), 2, "{actors:?}");
    let trail = story.app.database.run(&["audit", "list", "acme", "--json"]);
    let trail: Value = serde_json::from_str(&trail).unwrap();
    let events = trail["events"].as_array().unwrap().iter();
    let deleted = events.filter(|event| event["action"] == "signature.delete");
    let mut kinds: Vec<_> = deleted.map(|event| event["actor_kind"].clone()).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["command_line", "tenant"]);
}

#[test]
fn a_signature_may_come_from_standard_input() {
    let story = Story::new();
    for by_server in [false, true] {
        let thread = by_server.to_string();
        let arguments = [
            "signature",
            "save",
            "acme",
            "--document",
            "d",
            "--thread",
            &thread,
            "-",
        ];
        let mut command = story.command(by_server, &arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&der(FIRST)).unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
        let saved = story.json(
            by_server,
            &format!("get acme --document d --thread {thread}"),
        );
        assert_eq!(saved["signature"], FIRST.trim());
    }
    std::fs::write(story.path("empty"), "").unwrap();
    let empty = story.refused(false, "save acme --document d --thread e empty");
    assert!(empty.contains("nothing was saved"), "{empty}");
}

#[test]
fn lists_have_all_pages_and_obey_filters() {
    let story = Story::new();
    let acme = story.app.tenant("acme");
    for batch in 0..11 {
        let signatures: Vec<_> = (0..100)
            .map(|number| {
                let tags = match number % 2 {
                    0 => vec!["even"],
                    _ => vec!["odd", "signed"],
                };
                json!({"document": format!("d{batch}"), "thread": number.to_string(), "cms": "x", "tags": tags})
            })
            .collect();
        acme.json("POST", "/signatures", &json!({ "signatures": signatures }))
            .expect(200);
    }
    for by_server in [false, true] {
        let found = |arguments: &str| {
            let listed = story.json(by_server, &format!("list acme {arguments}"));
            let found = listed["signatures"].as_array().unwrap().len();
            (found, listed["next"].is_string())
        };
        assert_eq!(found(""), (1100, false));
        assert_eq!(found("--limit 1050"), (1050, true));
        assert_eq!(found("--document d3"), (100, false));
        assert_eq!(found("--document d3 --thread 7"), (1, false));
        assert_eq!(found("--tag even --document d3"), (50, false));
        assert_eq!(found("--tag even --tag signed --document d3"), (100, false));
        assert_eq!(found("--tag odd --tag signed --all-tags"), (550, false));
        assert_eq!(found("--tag even --tag signed --all-tags"), (0, false));
        assert_eq!(found("--stage approval"), (0, false));
        let text = story.done(by_server, "list acme --document d3 --limit 2");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.contains("There are more") && text.contains("odd, signed"),
            "{text}"
        );
    }
}

#[test]
fn hooks_policy_and_quotas_hold_for_the_command_line() {
    let story = Story::new();
    let app = &story.app;
    app.upload(
        "rejects",
        &Guest {
            judge: REJECT,
            ..Guest::default()
        }
        .component(),
    )
    .unwrap();
    app.set("acme", "rejects", "rejects", |_| {}).unwrap();
    for by_server in [false, true] {
        let rejected = story.refused(by_server, "save acme --document d --thread t first.p7s");
        assert!(rejected.contains("rejects"), "{rejected}");
    }
    let decisions = app.operator("acme").get("/hooks/decisions").expect(200);
    let decisions = decisions.json["content"]["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 2, "both are recorded");
    app.database.run(&["hook", "delete", "acme", "rejects"]);
    app.database
        .run(&["policy", "set", "acme", "--accept", "readable"]);
    std::fs::write(story.path("text"), "no signature").unwrap();
    let refused = story.refused(false, "save acme --document d --thread t text");
    assert!(refused.contains("signature"), "{refused}");
    story.done(false, "save acme --document d --thread t first.p7s");
    app.database
        .run(&["tenant", "update", "acme", "--max-threads", "1"]);
    let full = story.refused(false, "save acme --document d --thread u first.p7s");
    assert!(full.contains("quota") || full.contains("threads"), "{full}");
    app.database.run(&["tenant", "suspend", "acme"]);
    let suspended = story.refused(false, "get acme --document d --thread t");
    assert!(suspended.contains("suspended"), "{suspended}");
    let nobody = story.refused(false, "list nobody");
    assert!(
        nobody.contains("sigpersist tenant create nobody"),
        "{nobody}"
    );
}

#[test]
fn only_the_tenants_own_token_will_do() {
    let story = Story::new();
    let app = &story.app;
    app.tenant("other");
    let folder = app.database.folder.path();
    let ask = |token: String, arguments: &[&str]| {
        let mut command = elsewhere(folder, arguments);
        command
            .current_dir(folder)
            .env("SIGPERSIST_SERVER", &app.base)
            .env("SIGPERSIST_TOKEN", token);
        told(command)
    };
    let save = [
        "signature",
        "save",
        "acme",
        "--document",
        "d",
        "--thread",
        "t",
        "first.p7s",
    ];
    let token = |scopes: &[Scope]| app.client("acme", scopes).token.unwrap();
    for (token, words) in [
        (app.platform().token.unwrap(), "sigpersist token issue acme"),
        (
            app.tenant("other").token.unwrap(),
            "is of the tenant `other`",
        ),
        (
            token(&[Scope::SignaturesRead]),
            "`sigpersist whoami` shows what the token allows",
        ),
        ("x.y.z".to_owned(), "sigpersist login URL"),
    ] {
        let (code, _, error) = ask(token, &save);
        assert!(code == Some(1) && error.contains(words), "{error}");
    }
    app.tenant("acme")
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    app.tenant("other")
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    let (code, ..) = ask(token(&[Scope::SignaturesWrite]), &save);
    assert_eq!(code, Some(0));
}

#[test]
fn a_save_waits_for_its_place_in_the_log() {
    let story = Story::new();
    for by_server in [false, true] {
        let save = format!("save acme --document d --thread {by_server} first.p7s");
        let early = story.done(by_server, &format!("{save} --wait=1"));
        assert!(early.contains("not in the log yet"), "{early}");
        let story = &story;
        let logged = thread::scope(|scope| {
            let save = format!("{save} --over 1 --wait");
            let waiting =
                scope.spawn(move || story.json(by_server, &save.replace("first", "second")));
            eventually(|| {
                story.app.sequence();
                waiting.is_finished()
            });
            waiting.join().unwrap()
        });
        assert_eq!(logged["evidence"]["state"], "logged", "{logged}");
        assert!(logged["evidence"]["number"].is_u64(), "{logged}");
    }
}

#[test]
fn verification_is_by_what_the_tenant_trusts() {
    let story = Story::new();
    story.done(false, "save acme --document d --thread t chained.p7s");
    std::fs::write(story.path("detached.pem"), DETACHED).unwrap();
    let verify = |by_server, arguments: &str| {
        story.signature(by_server, &format!("verify acme {arguments}"))
    };
    let text = |output| String::from_utf8(output).unwrap();
    for by_server in [false, true] {
        for it in ["--document d --thread t", "chained.p7s"] {
            let (code, output, error) = verify(by_server, it);
            assert_eq!(code, Some(1), "{error}");
            assert!(error.contains("signer 1 does not pass"), "{error}");
            assert!(text(output).contains("INDETERMINATE"));
        }
    }
    let authority = story.path("authority.pem");
    story
        .app
        .database
        .run(&["policy", "trust", "acme", authority.to_str().unwrap()]);
    // A running server applies the policy within a second.
    eventually(|| verify(true, "chained.p7s").0 == Some(0));
    for by_server in [false, true] {
        for it in [
            "--document d --thread t",
            "--document d --thread t --version 1",
            "chained.p7s",
        ] {
            let (code, output, error) = verify(by_server, it);
            assert_eq!(code, Some(0), "{it}: {error}");
            let output = text(output);
            assert!(
                output.contains("signer 1: CN=Signer") && output.contains("TOTAL_PASSED"),
                "{output}"
            );
        }
        // What a detached signature signs, and further certificates, go along.
        let save = format!("save acme --document d --thread detached-{by_server} detached.pem");
        story.done(
            by_server,
            &format!("{save} --content content.txt --certificate authority.pem"),
        );
        for it in [
            format!("--document d --thread detached-{by_server}"),
            "detached.pem".to_owned(),
        ] {
            let with = |options: &str| {
                let (code, output, _) = verify(by_server, &format!("{it} {options} --json"));
                assert_eq!(code, Some(1));
                let told: Value = serde_json::from_slice(&output).unwrap();
                told["signers"][0]["verdict"]["intact"].clone()
            };
            assert_eq!(
                with("--content content.txt --certificate authority.pem"),
                true
            );
            assert_eq!(with("--content authority.pem"), false);
        }
        let (code, _, error) = verify(by_server, "content.txt");
        assert!(code == Some(1) && !error.is_empty());
    }
    let (code, _, error) = verify(false, "");
    assert_eq!(code, Some(2), "{error}");
}

#[test]
fn words_are_the_same_from_a_server() {
    let story = Story::new();
    story.done(false, "save acme --document d --thread t first.p7s");
    for arguments in [
        "list acme",
        "list acme --tag none",
        "save acme --document d --thread t first.p7s",
        "save acme --document d --thread t second.p7s",
        "save acme --document d --thread t first.p7s --certificate content.txt",
        "save acme --document d --thread t none",
        "get acme --document d --thread t",
        "get acme --document d --thread none",
        "get acme --document d --thread t --version 7",
        "verify acme --document d --thread t",
        "verify acme content.txt",
        "delete acme --document d --thread t",
        "delete acme --document d --thread none --confirm d",
    ] {
        let here = story.signature(false, arguments);
        assert_eq!(here, story.signature(true, arguments), "{arguments}");
        assert!(!here.1.is_empty() || !here.2.is_empty(), "{arguments}");
    }
}
