//! Keys in a tenant's export file: they are included only on demand, encrypted, and verify the same tokens on the other
//! server.

use std::path::{Path, PathBuf};
use std::process::Output;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sigpersist::auth::GivenKey;
use sigpersist::auth::key::open_secret;
use sigpersist::tenants::NewKey;
use sigpersist_model::key::Algorithm;

use crate::issuers::{asked, trust};
use crate::support::TestApp;
use crate::support::provider::{TestKey, claims, set};
use crate::support::tenant_file::{is_of_trail, lines};

const PASSPHRASE: &str = "correct horse battery";

/// A server with a tenant that has a key of each kind, with tokens for these keys and the secrets that must not leak.
struct Source {
    app: TestApp,
    tokens: Vec<String>,
    secrets: Vec<Vec<u8>>,
}

impl Source {
    fn start() -> Self {
        let app = TestApp::start();
        app.tenant("acme").save("d", "t", 0, "x").expect(201);
        let acme = app.platform_for("acme");
        let mut tokens = Vec::new();
        let mut secrets = Vec::new();
        for (kid, algorithm) in [("shared", Algorithm::Hs256), ("pair", Algorithm::Es256)] {
            let new = NewKey {
                kid: Some(kid.to_owned()),
                ..NewKey::made(algorithm)
            };
            app.add_key(Some("acme"), &new).unwrap();
            let issued = acme
                .json("POST", "/tokens", &json!({"subject": "us", "kid": kid}))
                .expect(201);
            tokens.push(issued.json["content"]["token"].as_str().unwrap().to_owned());
            let key = app.app.store.key_get(kid).unwrap().unwrap();
            secrets.push(
                open_secret(&key, app.app.vault.as_deref())
                    .unwrap()
                    .to_vec(),
            );
        }
        let own = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = own.public_key().as_der().unwrap();
        let foreign = NewKey {
            kid: Some("foreign".to_owned()),
            public_key: Some(GivenKey::Pem(pem(der.as_ref()))),
            ..NewKey::made(Algorithm::Es256)
        };
        app.add_key(Some("acme"), &foreign).unwrap();
        let mut header = Header::new(JwtAlgorithm::ES256);
        header.kid = Some("foreign".to_owned());
        let claims = json!({"exp": Utc::now().timestamp() + 3600, "scope": "signatures:read"});
        let signer = EncodingKey::from_ec_der(own.to_pkcs8v1().unwrap().as_ref());
        tokens.push(encode(&header, &claims, &signer).unwrap());
        Self {
            app,
            tokens,
            secrets,
        }
    }

    /// Exports the tenant. Returns the file and the command's message.
    #[track_caller]
    fn export(&self, more: &[&str]) -> (PathBuf, String) {
        let path = self.app.database.folder.path().join("acme.ndjson");
        let mut arguments = vec![
            "tenant",
            "export",
            "acme",
            "--output",
            path.to_str().unwrap(),
        ];
        arguments.extend(more);
        let output = command(&self.app, &arguments, Some(PASSPHRASE));
        assert!(output.status.success(), "{}", error(&output));
        (path, String::from_utf8(output.stdout).unwrap())
    }
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

fn command(app: &TestApp, arguments: &[&str], passphrase: Option<&str>) -> Output {
    let mut command = app.database.command(arguments);
    command.env_remove("SIGPERSIST_EXPORT_PASSPHRASE");
    if let Some(passphrase) = passphrase {
        command.env("SIGPERSIST_EXPORT_PASSPHRASE", passphrase);
    }
    command.output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn import(app: &TestApp, slug: &str, file: &Path, passphrase: Option<&str>) -> Output {
    let file = file.to_str().unwrap();
    let arguments = [
        "tenant", "import", slug, "--input", file, "--create", "--json",
    ];
    command(app, &arguments, passphrase)
}

#[track_caller]
fn imported(output: &Output) -> Value {
    assert!(output.status.success(), "{}", error(output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["imported"].clone()
}

/// A server with a different master key.
fn target() -> TestApp {
    TestApp::start_with(|config| {
        let path = config.master_key_file.as_ref().unwrap();
        std::fs::write(path, "08".repeat(32)).unwrap();
    })
}

#[track_caller]
fn assert_tokens_are_good(source: &Source, there: &TestApp) {
    for token in &source.tokens {
        let client = there.anonymous().with_token(token);
        client.read("d", "t").expect(200);
    }
}

#[track_caller]
fn assert_nothing_is_there(app: &TestApp, slug: &str) {
    assert!(app.app.store.key_get("shared").unwrap().is_none());
    let shown = command(app, &["tenant", "show", slug], None);
    assert!(!shown.status.success(), "{shown:?}");
}

#[test]
fn keys_travel_under_a_passphrase_and_the_same_tokens_are_good_there() {
    let (source, there) = (Source::start(), target());
    let (file, said) = source.export(&["--keys"]);
    assert!(said.contains("4 keys"), "{said}");
    assert_tokens_are_good(&source, &source.app);
    let bytes = std::fs::read(&file).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"\"shared\"") && !holds(PASSPHRASE.as_bytes()));
    for secret in &source.secrets {
        assert!(secret.len() >= 32 && !holds(secret));
        let texts = [
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            secret.iter().map(|byte| format!("{byte:02x}")).collect(),
        ];
        for text in texts {
            assert!(!holds(text.as_bytes()));
        }
    }
    let said = imported(&import(&there, "acme", &file, Some(PASSPHRASE)));
    assert_eq!(said["new_keys"], 4);
    assert_tokens_are_good(&source, &there);
    // The new server can sign with the keys, and a second import changes nothing.
    let args = ["token", "issue", "acme", "--kid", "pair"];
    let issued = command(&there, &args, None);
    assert!(issued.status.success(), "{}", error(&issued));
    let said = imported(&import(&there, "acme", &file, Some(PASSPHRASE)));
    assert_eq!(said["new_keys"], 0);
}

#[test]
fn keys_travel_for_the_master_key_of_the_other_server_alone() {
    let (source, there, wrong) = (Source::start(), target(), TestApp::start());
    let master_key = there.database.master_key_file();
    let (file, _) = source.export(&["--keys-for", master_key.to_str().unwrap()]);
    let refused = import(&wrong, "acme", &file, None);
    assert!(
        error(&refused).contains("master key of another server"),
        "{}",
        error(&refused)
    );
    assert_nothing_is_there(&wrong, "acme");
    assert_eq!(
        imported(&import(&there, "acme", &file, None))["new_keys"],
        4
    );
    assert_tokens_are_good(&source, &there);
}

#[test]
fn keys_stay_unless_asked_for_which_is_said() {
    let (source, there) = (Source::start(), target());
    let (file, said) = source.export(&[]);
    assert!(said.contains("Its keys were not exported"), "{said}");
    // The audit trail names keys by their ids.
    let mut others = lines(&file).into_iter().filter(|line| !is_of_trail(line));
    assert!(!others.any(|line| line.contains("shared")));
    assert_eq!(
        imported(&import(&there, "acme", &file, None))["new_keys"],
        0
    );
    // A file with keys is imported without a passphrase: everything except the keys is imported, and the message says
    // so.
    let (file, _) = source.export(&["--keys"]);
    let output = import(&there, "acme", &file, None);
    assert!(!output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["imported"]["left_out"], 4);
    assert!(said.to_string().contains("no passphrase was given"));
    let short = ["tenant", "export", "acme", "--output", "-", "--keys"];
    for passphrase in [None, Some("short")] {
        let output = command(&source.app, &short, passphrase);
        assert!(!output.status.success() && output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_passphrase_a_taken_name_or_a_changed_key_imports_nothing() {
    let (source, there) = (Source::start(), target());
    let (file, _) = source.export(&["--keys"]);
    let refused = import(&there, "acme", &file, Some("correct horse buttery"));
    assert!(!refused.status.success());
    assert!(
        error(&refused).contains("nothing was imported"),
        "{}",
        error(&refused)
    );
    assert_nothing_is_there(&there, "acme");
    // A wrong passphrase is also detected on a pipe, which can't be read twice.
    let mut piped = there
        .database
        .command(&["tenant", "import", "acme", "--create"]);
    piped
        .env("SIGPERSIST_EXPORT_PASSPHRASE", "correct horse buttery")
        .stdin(std::fs::File::open(&file).unwrap());
    let refused = piped.output().unwrap();
    assert!(
        error(&refused).contains("nothing was imported"),
        "{}",
        error(&refused)
    );
    assert_nothing_is_there(&there, "acme");
    // Public keys are not secret, but a change to one or to its id in the file is detected.
    let changed = file.with_extension("changed");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&changed, text.replace("\"foreign\"", "\"mine\"")).unwrap();
    let refused = import(&there, "acme", &changed, Some(PASSPHRASE));
    assert!(
        error(&refused).contains("The key `mine` of the file was changed"),
        "{}",
        error(&refused)
    );
    assert_nothing_is_there(&there, "acme");
    // On the same server, the ids are already taken by the tenant's own keys.
    let refused = import(&source.app, "copy", &file, Some(PASSPHRASE));
    assert!(
        error(&refused).contains("Another key here has the name"),
        "{}",
        error(&refused)
    );
    let shown = command(&source.app, &["tenant", "show", "copy"], None);
    assert!(!shown.status.success());
}

#[test]
fn issuers_travel_with_the_keys_and_nobody_can_change_them_on_the_way() {
    let (source, there, shared) = (Source::start(), target(), target());
    let key = TestKey::new("k", JwtAlgorithm::ES256);
    let form = json!({"jwks": set(&[&key])});
    let admin = source.app.platform_for("acme");
    trust(&admin, "id", "urn:id", &form).expect(201);
    let token = key.sign(&claims("urn:id", "api", &json!({})));
    let (file, said) = source.export(&[]);
    assert!(!said.contains("issuers"), "{said}");
    let said = imported(&import(&there, "without", &file, None));
    assert_eq!(said["new_issuers"], 0);
    let (file, said) = source.export(&["--keys"]);
    assert!(said.contains("1 issuers"), "{said}");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace(r#""audiences":["api"]"#, r#""audiences":["shop"]"#);
    assert_ne!(changed, text);
    std::fs::write(&file, changed).unwrap();
    let refused = import(&there, "acme", &file, Some(PASSPHRASE));
    assert!(error(&refused).contains("The issuer `id` of the file was changed"));
    asked(&there, &token).expect_error(401, "invalid_token");
    std::fs::write(&file, text).unwrap();
    let said = imported(&import(&there, "acme", &file, Some(PASSPHRASE)));
    assert_eq!(said["new_issuers"], 1);
    let caller = asked(&there, &token).expect(200);
    assert_eq!(caller.json["content"]["caller"]["tenant"], "acme");
    let said = imported(&import(&there, "acme", &file, Some(PASSPHRASE)));
    assert_eq!(said["new_issuers"], 0);
    // Where another tenant has its tokens already, it is left out.
    shared.tenant("other");
    trust(&shared.platform_for("other"), "id", "urn:id", &form).expect(201);
    let partly = import(&shared, "acme", &file, Some(PASSPHRASE));
    assert!(error(&partly).contains("1 other items were left out"));
    let caller = asked(&shared, &token).expect(200);
    assert_eq!(caller.json["content"]["caller"]["tenant"], "other");
}
