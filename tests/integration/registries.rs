//! Plugins in a registry: pushed, pulled and uploaded by the program, over HTTP, from a registry that keeps to the specification,
//! and from registries that do not.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sigpersist_model::digest::{sha256, to_hex};
use tempfile::TempDir;

use crate::support::registry::{Answer, Login, Registry, USER, digest_of};
use crate::support::{SIGNER_TAGS, elsewhere, run, sigpersist, succeeds, temp_dir};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/plugins/signer-tags/signer-tags.wasm"
);
const KEY_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/minisign/publisher.key"
);
const PUBLIC_KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/minisign/publisher.pub"
);
const OTHER_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/minisign/other.pub");
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// A machine with this program, and nothing of Docker's.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(temp_dir())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = elsewhere(self.0.path(), arguments);
        command
            .env("DOCKER_CONFIG", self.0.path().join("docker"))
            .env_remove("SIGPERSIST_REGISTRY_USERNAME")
            .env_remove("SIGPERSIST_REGISTRY_PASSWORD");
        command
    }

    #[track_caller]
    fn told(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&succeeds(self.command(&arguments))).unwrap()
    }

    #[track_caller]
    fn failed(&self, arguments: &[&str]) -> String {
        error_of(self.command(arguments))
    }

    /// Fails to pull, and leaves no file.
    #[track_caller]
    fn pulls_nothing(&self, reference: &str) -> String {
        let file = self.path("nothing.wasm");
        let error = self.failed(&["plugin", "pull", reference, "-o", &file]);
        assert!(!Path::new(&file).exists(), "{error}");
        error
    }
}

#[track_caller]
fn error_of(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn push(machine: &Machine, reference: &str, more: &[&str]) -> Value {
    machine.told(&[&["plugin", "push", FILE, reference], more].concat())
}

/// A manifest of this component, whose members a closure may change.
fn manifest(registry: &Registry, component: &[u8], change: impl FnOnce(&mut Value)) -> Value {
    let layer = registry.put_blob("p", component);
    let config = registry.put_blob("p", b"{}");
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/wasm", "digest": layer, "size": component.len() }],
    });
    change(&mut manifest);
    manifest
}

#[test]
fn what_is_pushed_has_the_layout_of_wasm_artefacts() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::None));
    let reference = registry.reference("acme/plugins/signer-tags:1.2.0");
    let pushed = push(
        &machine,
        &reference,
        &["--source", "https://example.org/tags"],
    );
    let repository = "acme/plugins/signer-tags";
    let stored = registry.manifest(repository, "1.2.0");
    assert_eq!(pushed["digest"], digest_of(stored.to_string().as_bytes()));
    assert_eq!(
        pushed["origin"],
        format!("{reference}@{}", pushed["digest"].as_str().unwrap())
    );
    let sha256 = to_hex(&sha256(SIGNER_TAGS));
    assert_eq!(pushed["sha256"], sha256);
    let layer = format!("sha256:{sha256}");
    assert_eq!(
        (&stored["mediaType"], &stored["config"]["mediaType"]),
        (&json!(MANIFEST), &json!(CONFIG))
    );
    assert_eq!(
        stored["layers"],
        json!([{
            "mediaType": "application/wasm",
            "digest": layer,
            "size": SIGNER_TAGS.len(),
            "annotations": { "org.opencontainers.image.title": "signer-tags.wasm" },
        }])
    );
    let annotation = |name: &str| {
        stored["annotations"][format!("org.opencontainers.image.{name}")]
            .as_str()
            .unwrap_or_default()
    };
    assert_eq!(
        (annotation("title"), annotation("version")),
        ("signer-tags", "1.2.0")
    );
    assert_eq!(annotation("source"), "https://example.org/tags");
    assert!(annotation("description").len() > 10 && annotation("created").ends_with('Z'));
    let config = registry.blob(repository, stored["config"]["digest"].as_str().unwrap());
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        (&config["architecture"], &config["os"]),
        (&json!("wasm"), &json!("wasip2"))
    );
    assert_eq!(config["layerDigests"], json!([layer]));
    assert!(
        config["component"]["exports"]
            .to_string()
            .contains("tagger"),
        "{config}"
    );
    // The second time, the registry has the bytes.
    push(&machine, &reference, &[]);
    let uploads = registry
        .asked()
        .iter()
        .filter(|asked| {
            asked.method == "PUT"
                && asked.path.contains("/uploads/")
                && asked.parameter("digest").as_ref() == Some(&layer)
        })
        .count();
    assert_eq!(uploads, 1);
}

#[test]
fn a_plugin_goes_from_its_publisher_to_a_server_with_origin_and_signature() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::Token));
    let reference = registry.reference("acme/signer-tags:1.2.0");
    let password = machine.path("password");
    std::fs::write(&password, format!("{}\n", USER.1)).unwrap();
    let login = [
        "--registry-username",
        USER.0,
        "--registry-password-file",
        &password,
    ];
    let pushed = push(
        &machine,
        &reference,
        &[&["--key", KEY_FILE], &login[..]].concat(),
    );
    let digest = pushed["digest"].as_str().unwrap();

    // Everybody may pull, by tag and by digest.
    let file = machine.path("pulled.wasm");
    let by_digest = registry.reference(&format!("acme/signer-tags@{digest}"));
    for reference in [&reference, &by_digest] {
        let pulled = machine.told(&[
            "plugin",
            "pull",
            reference,
            "-o",
            &file,
            "--publisher-key",
            PUBLIC_KEY,
        ]);
        assert_eq!(pulled["digest"], digest);
        assert_eq!(
            (&pulled["verified"], &pulled["version"]),
            (&json!(true), &json!("1.2.0"))
        );
        assert_eq!(std::fs::read(&file).unwrap(), SIGNER_TAGS);
    }
    let text = succeeds(machine.command(&["plugin", "pull", &reference, "-o", &file]));
    assert!(
        text.contains(digest) && text.contains("not verified; --publisher-key"),
        "{text}"
    );
    let signature = std::fs::read_to_string(machine.path("pulled.wasm.minisig")).unwrap();

    let data_dir = machine.0.path().join("data");
    let key = std::fs::read_to_string(PUBLIC_KEY).unwrap();
    let key = key.lines().nth(1).unwrap();
    let strict = |arguments: &[&str]| {
        let mut command = sigpersist(&data_dir, arguments);
        command
            .env("SIGPERSIST_PLUGINS_REQUIRE_SIGNATURE", key)
            .env("DOCKER_CONFIG", machine.path("docker"));
        command
    };
    succeeds(sigpersist(&data_dir, &["migrate"]));
    let source = format!("oci://{reference}");
    let uploaded = succeeds(strict(&["plugin", "upload", "signer-tags", &source]));
    let origin = pushed["origin"].as_str().unwrap();
    assert!(
        uploaded.contains(&format!("origin: {origin}")),
        "{uploaded}"
    );
    let shown: Value = serde_json::from_str(&succeeds(strict(&[
        "plugin",
        "show",
        "signer-tags",
        "--json",
    ])))
    .unwrap();
    let newest = &shown["revisions"][0];
    assert_eq!(newest["origin"], origin);
    assert_eq!(
        (
            &newest["publisher"]["trusted"],
            &newest["publisher"]["signature"]
        ),
        (&json!(true), &json!(signature))
    );
    let table = succeeds(strict(&["plugin", "show", "signer-tags"]));
    let key_id = pushed["key_id"].as_str().unwrap();
    assert!(table.contains(origin) && table.contains(key_id), "{table}");
    let audited = run(&data_dir, &["audit", "list", "--platform", "--json"]);
    assert!(
        audited.contains(origin) && audited.contains(key_id),
        "{audited}"
    );
    // By file, too; and a server without trusted keys says so.
    let other = strict(&["plugin", "upload", "signer-tags", FILE]);
    assert!(error_of(other).contains("plugins.require_signature"));
    let beside = machine.path("pulled.wasm.minisig");
    succeeds(strict(&[
        "plugin",
        "upload",
        "signer-tags",
        FILE,
        "--signature",
        &beside,
    ]));
    assert!(run(&data_dir, &["plugin", "list"]).contains(&format!("{key_id} (not trusted)")));
    // What is downloaded has its signature with it.
    let copy = machine.path("copy.wasm");
    run(
        &data_dir,
        &["plugin", "download", "signer-tags", "-o", &copy],
    );
    assert_eq!(
        std::fs::read_to_string(machine.path("copy.wasm.minisig")).unwrap(),
        signature
    );
}

#[test]
fn somebody_who_pulls_may_insist_on_a_publisher() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::None));
    let (signed, unsigned) = (
        registry.reference("signer-tags:1.2.0"),
        registry.reference("signer-tags:2.0.0"),
    );
    push(&machine, &signed, &["--key", KEY_FILE]);
    push(&machine, &unsigned, &[]);
    let file = machine.path("x.wasm");
    let pull = |reference: &str, key: &str| {
        machine.command(&[
            "plugin",
            "pull",
            reference,
            "-o",
            &file,
            "--publisher-key",
            key,
        ])
    };
    assert!(error_of(pull(&signed, OTHER_KEY)).contains("not trusted"));
    assert!(error_of(pull(&unsigned, PUBLIC_KEY)).contains("Nobody signed it"));
    assert!(error_of(pull(&signed, "nonsense")).contains("not a public key"));
    assert!(!Path::new(&file).exists());
    succeeds(pull(&signed, PUBLIC_KEY));
    // What the publisher signed as this version of this plugin, under another tag or name.
    let whole = registry.manifest("signer-tags", "1.2.0");
    registry.put_manifest("signer-tags", "1.3.0", MANIFEST, &whole);
    let newer = registry.reference("signer-tags:1.3.0");
    let why = error_of(pull(&newer, PUBLIC_KEY));
    assert!(
        why.contains("is signed as signer-tags 1.2.0, which is another plugin or version"),
        "{why}"
    );
    let name = [
        "plugin",
        "pull",
        &signed,
        "-o",
        &file,
        "--publisher-key",
        PUBLIC_KEY,
        "--name",
        "tag-vocabulary",
    ];
    assert!(error_of(machine.command(&name)).contains("another plugin or version"));
    // The signature of one artefact under another's component.
    let mut moved = registry.manifest("signer-tags", "1.2.0");
    let other = registry.put_blob("signer-tags", b"\0asm other bytes");
    moved["layers"][0]["digest"] = json!(other);
    moved["layers"][0]["size"] = json!(16);
    registry.put_manifest("signer-tags", "1.2.0", MANIFEST, &moved);
    assert!(error_of(pull(&signed, PUBLIC_KEY)).contains("does not verify"));
    let data_dir = machine.0.path().join("data");
    succeeds(sigpersist(&data_dir, &["migrate"]));
    let source = format!("oci://{signed}");
    let upload = [
        "plugin",
        "upload",
        "signer-tags",
        &source,
        "--publisher-key",
        PUBLIC_KEY,
    ];
    assert!(error_of(sigpersist(&data_dir, &upload)).contains("does not verify"));
}

#[test]
fn a_registry_asks_for_name_and_password_and_a_token_is_for_one_repository() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::Token));
    let reference = registry.reference("acme/signer-tags:1.2.0");
    let anonymous = machine.failed(&["plugin", "push", FILE, &reference]);
    assert!(
        anonymous.contains("docker login") && anonymous.contains("401"),
        "{anonymous}"
    );
    // As `docker login` keeps it.
    let docker = machine.0.path().join("docker");
    std::fs::create_dir_all(&docker).unwrap();
    let config = |password: &str| {
        let auth = BASE64.encode(format!("{}:{password}", USER.0));
        let config = json!({ "auths": { registry.host.clone(): { "auth": auth } } });
        std::fs::write(docker.join("config.json"), config.to_string()).unwrap();
    };
    config("wrong");
    let error = machine.failed(&["plugin", "push", FILE, &reference]);
    assert!(
        error.contains("makes no token with your name and password"),
        "{error}"
    );
    assert!(!error.contains("wrong"), "{error}");
    config(USER.1);
    push(&machine, &reference, &[]);
    let asked = registry.asked();
    let scopes: Vec<_> = asked
        .iter()
        .filter(|asked| asked.path == "/token")
        .filter_map(|asked| asked.parameter("scope"))
        .collect();
    assert!(
        scopes
            .iter()
            .all(|scope| scope == "repository:acme/signer-tags:pull,push"),
        "{scopes:?}"
    );
    // The password goes only to where tokens are made.
    let mut with_password = asked.iter().filter(|asked| {
        asked
            .authorization
            .as_ref()
            .is_some_and(|it| it.starts_with("Basic "))
    });
    assert!(with_password.clone().count() > 0);
    assert!(with_password.all(|asked| asked.path == "/token"));

    let basic = Registry::start(Login::Basic);
    let reference = basic.reference("acme/signer-tags:1.2.0");
    let error = machine.failed(&["plugin", "push", FILE, &reference]);
    assert!(error.contains("does not let you"), "{error}");
    let mut command = machine.command(&["plugin", "push", FILE, &reference]);
    command
        .env("SIGPERSIST_REGISTRY_USERNAME", USER.0)
        .env("SIGPERSIST_REGISTRY_PASSWORD", USER.1);
    succeeds(command);
}

#[test]
fn a_registry_that_sends_other_bytes_than_asked_for_is_not_believed() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::None));
    let good = manifest(&registry, b"component", |_| {});
    let digest = registry.put_manifest("p", "1", MANIFEST, &good);
    let layer = digest_of(b"component");
    let (by_tag, by_digest) = (
        registry.reference("p:1"),
        registry.reference(&format!("p@{digest}")),
    );
    machine.told(&["plugin", "pull", &by_tag, "-o", &machine.path("good.wasm")]);

    // Another blob of the same length; a longer and a shorter one; one that never ends.
    let body = |bytes: &'static [u8]| {
        let layer = layer.clone();
        registry.otherwise(move |asked| {
            asked
                .path
                .ends_with(&layer)
                .then(|| Answer::status(200).body(bytes))
        });
        machine.pulls_nothing(&by_tag)
    };
    assert!(body(b"componenT").contains("other bytes than the manifest names"));
    assert!(body(b"component and more").contains("more than the 9 bytes"));
    assert!(body(b"comp").contains("broke off"));
    let path = layer.clone();
    registry.otherwise(move |asked| {
        let long = Answer::status(200).with("content-length", "99999999999999");
        asked
            .path
            .ends_with(&path)
            .then(|| long.body(vec![0; 1 << 20]))
    });
    assert!(
        machine
            .pulls_nothing(&by_tag)
            .contains("more than the 9 bytes")
    );

    // Another manifest under a digest, and a digest in the header that the manifest has not.
    let other = manifest(&registry, b"other", |_| {}).to_string();
    registry.otherwise(move |asked| {
        let kind = Answer::status(200).with("content-type", MANIFEST);
        asked
            .path
            .contains("/manifests/sha256:")
            .then(|| kind.body(other.clone()))
    });
    assert!(
        machine
            .pulls_nothing(&by_digest)
            .contains("another artefact than")
    );
    let text = good.to_string();
    registry.otherwise(move |asked| {
        let answer = Answer::status(200).with("content-type", MANIFEST);
        let answer = answer.with("docker-content-digest", digest_of(b"x"));
        asked
            .path
            .ends_with("/manifests/1")
            .then(|| answer.body(text.clone()))
    });
    assert!(
        machine
            .pulls_nothing(&by_tag)
            .contains("says that the manifest has the digest")
    );
}

#[test]
fn a_tag_that_moves_meanwhile_changes_nothing() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::None));
    let first = manifest(&registry, b"first", |_| {});
    let second = manifest(&registry, b"second", |_| {}).to_string();
    let digest = registry.put_manifest("p", "1", MANIFEST, &first);
    let (text, count) = (first.to_string(), std::sync::atomic::AtomicUsize::new(0));
    registry.otherwise(move |asked| {
        if !asked.path.ends_with("/manifests/1") {
            return None;
        }
        let seen = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let text = if seen == 0 { &text } else { &second };
        Some(
            Answer::status(200)
                .with("content-type", MANIFEST)
                .body(text.clone()),
        )
    });
    let file = machine.path("p.wasm");
    let pulled = machine.told(&["plugin", "pull", &registry.reference("p:1"), "-o", &file]);
    assert_eq!(
        (pulled["digest"].as_str(), std::fs::read(&file).unwrap()),
        (Some(&digest[..]), b"first".to_vec())
    );
    // What was pulled then can be pulled again by the origin that was recorded, wherever the tag is now.
    let origin = pulled["origin"].as_str().unwrap();
    machine.told(&["plugin", "pull", origin, "-o", &file]);
    assert_eq!(std::fs::read(&file).unwrap(), b"first");
}

#[test]
fn artefacts_of_other_kinds_and_bombs_are_refused_in_plain_words() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::None));
    let refused = |kind: &str, manifest: &Value, said: &str| {
        registry.put_manifest("p", "1", kind, manifest);
        let error = machine.pulls_nothing(&registry.reference("p:1"));
        assert!(error.contains(said), "{said}: {error}");
    };
    let of = |change: &dyn Fn(&mut Value)| manifest(&registry, b"component", change);
    refused(
        INDEX,
        &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }),
        "an index of several artefacts",
    );
    refused(
        MANIFEST,
        &of(&|it| it["manifests"] = json!([])),
        "an index of several artefacts",
    );
    refused(INDEX, &of(&|_| {}), "calls itself");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    refused(
        docker,
        &of(&|it| it["mediaType"] = json!(docker)),
        "image of a container",
    );
    refused(
        MANIFEST,
        &of(&|it| it["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json")),
        "holds no WebAssembly",
    );
    refused(
        MANIFEST,
        &of(&|it| {
            it["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
        }),
        "not application/wasm",
    );
    refused(
        MANIFEST,
        &of(&|it| it["layers"] = json!([])),
        "exactly one layer",
    );
    refused(
        MANIFEST,
        &of(&|it| it["layers"] = json!([it["layers"][0], it["layers"][0]])),
        "exactly one layer",
    );
    refused(
        MANIFEST,
        &of(&|it| it["layers"][0]["digest"] = json!("sha256:../../../x")),
        "not a SHA-256",
    );
    refused(
        MANIFEST,
        &of(&|it| it["layers"][0]["size"] = json!(1_u64 << 40)),
        "hooks.max_component_bytes",
    );
    refused(
        MANIFEST,
        &of(&|it| it["layers"][0]["size"] = json!(-1)),
        "can't be read",
    );
    refused(
        MANIFEST,
        &of(&|it| it["annotations"] = json!({ "sigpersist.plugin.minisig": "x".repeat(5_000) })),
        "longer than 4096",
    );
    refused(
        MANIFEST,
        &of(&|it| it["annotations"] = json!({ "sigpersist.plugin.minisig": "x" })),
        "signature can't be read",
    );
    // A manifest without an end, and one that is deep.
    registry.otherwise(|asked| {
        let answer = Answer::status(200).with("content-type", MANIFEST);
        asked
            .path
            .contains("/manifests/")
            .then(|| answer.body(vec![b' '; 5 << 20]))
    });
    assert!(
        machine
            .pulls_nothing(&registry.reference("p:1"))
            .contains("longer than 4194304 bytes")
    );
    registry.otherwise(|asked| {
        let answer = Answer::status(200).with("content-type", MANIFEST);
        asked
            .path
            .contains("/manifests/")
            .then(|| answer.body("[".repeat(1 << 20)))
    });
    assert!(
        machine
            .pulls_nothing(&registry.reference("p:1"))
            .contains("can't be read")
    );
    registry.otherwise(|asked| {
        let error = r#"{"errors": [{"code": "X", "message": "busy\u001b[2J"}]}"#;
        asked
            .path
            .contains("/manifests/")
            .then(|| Answer::status(503).body(error))
    });
    let error = machine.pulls_nothing(&registry.reference("p:1"));
    assert!(
        error.contains("503") && error.contains("busy\\u{1b}[2J"),
        "{error}"
    );
}

#[test]
fn no_redirect_carries_the_token_to_another_host() {
    let (machine, registry, cdn) = (
        Machine::new(),
        Registry::start(Login::Token),
        Registry::start(Login::None),
    );
    let reference = registry.reference("signer-tags:1.0.0");
    let mut command = machine.command(&["plugin", "push", FILE, &reference]);
    command
        .env("SIGPERSIST_REGISTRY_USERNAME", USER.0)
        .env("SIGPERSIST_REGISTRY_PASSWORD", USER.1);
    succeeds(command);
    cdn.put_blob("signer-tags", SIGNER_TAGS);
    let to_cdn = format!("http://{}", cdn.host);
    registry.otherwise(move |asked| {
        let is_blob = asked.path.contains("/blobs/") && asked.authorization.is_some();
        is_blob.then(|| Answer::status(307).with("location", format!("{to_cdn}{}", asked.path)))
    });
    let file = machine.path("x.wasm");
    let pull = ["plugin", "pull", &reference, "-o", &file];
    let pull_as_user = || {
        let mut command = machine.command(&pull);
        command
            .env("SIGPERSIST_REGISTRY_USERNAME", USER.0)
            .env("SIGPERSIST_REGISTRY_PASSWORD", USER.1);
        command
    };
    succeeds(pull_as_user());
    assert_eq!(std::fs::read(&file).unwrap(), SIGNER_TAGS);
    let asked = cdn.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| asked.authorization.is_none()),
        "{asked:?}"
    );
    // Somebody to whom the registry redirects can't ask for the password either.
    cdn.otherwise(|_| {
        Some(Answer::status(401).with("www-authenticate", "Basic realm=\"give it to me\""))
    });
    assert!(error_of(pull_as_user()).contains("does not let you"));
    assert!(
        cdn.asked()
            .iter()
            .all(|asked| asked.authorization.is_none())
    );
    // A redirect without an end.
    registry.otherwise(|asked| {
        let again = Answer::status(302).with("location", asked.path.clone());
        asked.path.contains("/blobs/").then_some(again)
    });
    assert!(error_of(pull_as_user()).contains("redirects more than 5 times"));
    registry.otherwise(|asked| {
        let away = Answer::status(302).with("location", "file:///etc/passwd");
        asked.path.contains("/blobs/").then_some(away)
    });
    assert!(error_of(pull_as_user()).contains("redirects to file:///etc/passwd"));
    // Tokens made at an address that others on the way can read.
    registry.otherwise(|asked| {
        let challenge = "Bearer realm=\"http://tokens.example/token\",service=\"tests\"";
        (asked.path != "/token").then(|| Answer::status(401).with("www-authenticate", challenge))
    });
    assert!(error_of(pull_as_user()).contains("not encrypted; nothing was sent there"));
}

#[test]
fn a_registry_elsewhere_is_asked_over_https_unless_told_otherwise() {
    let (machine, registry) = (Machine::new(), Registry::start(Login::None));
    let port = registry.host.split(':').next_back().unwrap();
    // An address of this machine that is not known as one.
    let reference = format!("0.0.0.0:{port}/signer-tags:1.0.0");
    let error = machine.failed(&["plugin", "push", FILE, &reference]);
    assert!(error.contains("did not answer"), "{error}");
    assert!(
        registry
            .asked()
            .iter()
            .all(|asked| !asked.path.starts_with("/v2/"))
    );
    push(&machine, &reference, &["--plain-http"]);
    for bad in [
        "signer-tags:1",
        "ghcr.io/../x:1",
        "https://ghcr.io/x:1",
        "olga:secret@ghcr.io/x:1",
    ] {
        let mut command = machine.command(&["plugin", "pull", bad]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}");
        let error = machine.failed(&[
            "plugin",
            "sign",
            FILE,
            "--key",
            KEY_FILE,
            "--name",
            "../x",
            "--plugin-version",
            "1.0.0",
        ]);
        assert!(error.contains("can't be the name"), "{error}");
    }
    // A digest alone is no place to push to, and a signature needs a version.
    let digest = digest_of(b"x");
    let by_digest = registry.reference(&format!("signer-tags@{digest}"));
    assert!(
        machine
            .failed(&["plugin", "push", FILE, &by_digest])
            .contains("a tag")
    );
    let latest = registry.reference("signer-tags:latest");
    assert!(
        machine
            .failed(&["plugin", "push", FILE, &latest, "--key", KEY_FILE])
            .contains("--plugin-version")
    );
}

#[test]
fn a_key_is_made_and_used_with_and_without_a_password() {
    let machine = Machine::new();
    let name = machine.path("acme");
    let with = |arguments: &[&str], password: &str| {
        let mut command = machine.command(arguments);
        command.env("SIGPERSIST_KEY_PASSWORD", password);
        command
    };
    let keygen = ["plugin", "keygen", &name];
    assert!(machine.failed(&keygen).contains("SIGPERSIST_KEY_PASSWORD"));
    succeeds(with(&keygen, "correct horse"));
    assert!(error_of(with(&keygen, "another")).contains("exists already"));
    let (key, signature) = (machine.path("acme.key"), machine.path("s.minisig"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let sign = [
        "plugin",
        "sign",
        FILE,
        "--key",
        &key,
        "--name",
        "signer-tags",
        "--plugin-version",
        "1.0.0",
        "-o",
        &signature,
    ];
    assert!(error_of(with(&sign, "wrong")).contains("password"));
    assert!(!Path::new(&signature).exists());
    succeeds(with(&sign, "correct horse"));
    // A signature that was made elsewhere is pushed as it is.
    let registry = Registry::start(Login::None);
    let reference = registry.reference("signer-tags:1.0.0");
    push(&machine, &reference, &["--signature", &signature]);
    let public = machine.path("acme.pub");
    let file = machine.path("x.wasm");
    let pulled = machine.told(&[
        "plugin",
        "pull",
        &reference,
        "-o",
        &file,
        "--publisher-key",
        &public,
    ]);
    assert_eq!(pulled["verified"], true);
    let other = registry.reference("other:1.0.0");
    let error = machine.failed(&["plugin", "push", FILE, &other, "--signature", &signature]);
    assert!(error.contains("for the plugin `signer-tags`"), "{error}");
    let error = machine.failed(&["plugin", "push", FILE, &other, "--key", FILE]);
    assert!(
        error.contains("can't be read") || error.contains("not a secret key"),
        "{error}"
    );
    succeeds(machine.command(&["plugin", "keygen", &machine.path("free"), "--no-password"]));
}
