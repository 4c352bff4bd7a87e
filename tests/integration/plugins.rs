//! Components that may be uploaded, and others that are refused with a reason.

use serde_json::json;

use crate::support::guest::{CONTRACT, Guest, LOOP};
use crate::support::{
    DETACHED, FIRST, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, TestApp, sigpersist, temp_dir,
};

#[track_caller]
fn refused(app: &TestApp, component: &[u8], why: &str) {
    let message = app.upload("plugin", component).unwrap_err().to_string();
    assert!(message.contains(why), "{message}");
}

#[test]
fn the_examples_are_admitted_and_described() {
    let app = TestApp::start();
    let tags = app.upload("signer-tags", SIGNER_TAGS).unwrap();
    assert_eq!(tags.exports, ["lifecycle", "tagger"]);
    assert!(
        tags.imports.contains(&"cms".to_owned()) && !tags.imports.contains(&"previous".to_owned())
    );
    assert!(tags.description.contains("iin:"), "{}", tags.description);
    let keeps = app
        .upload("require-countersignature", REQUIRE_COUNTERSIGNATURE)
        .unwrap();
    assert!(keeps.imports.contains(&"previous".to_owned()));
    // Uploading the same bytes again gives the same revision.
    let again = app.upload("signer-tags", SIGNER_TAGS).unwrap();
    assert_eq!(again.sha256, tags.sha256);
}

#[test]
fn what_is_no_component_of_the_contract_is_refused_with_the_reason() {
    let app = TestApp::start();
    let good = Guest::default().component();
    assert!(app.upload("plugin", &good).is_ok());
    refused(&app, b"", "not a WebAssembly component");
    refused(&app, b"(component)", "not a WebAssembly component");
    refused(&app, b"\x7fELF precompiled", "not a WebAssembly component");
    refused(
        &app,
        &Guest::default().core_module(),
        "core WebAssembly module",
    );
    refused(&app, &good[..good.len() - 1], "not valid");
    refused(
        &app,
        &good[..8],
        "does not export `sigpersist:hooks/lifecycle`, version 1.0.0 or 1.1.0",
    );
    let nothing = Guest {
        judges: &[],
        ..Guest::default()
    };
    refused(&app, &nothing.component(), "would judge nothing");
    let clock = Guest {
        imports: "import clock;",
        definitions: r#"(import "test:guest/clock" "now" (func (result i64)))"#,
        ..Guest::default()
    };
    refused(&app, &clock.component(), "imports `test:guest/clock`");
}

/// Contracts that differ from ours, and the reason for which components built against them are refused.
const DIFFERENT: [(&str, &str, &str); 4] = [
    (
        "format: format,",
        "format: format, note: string,",
        "the type `signature` of `types` has a field `note` where the contract has `extra`",
    ),
    (
        "size: u64,",
        "size: u32,",
        "the type `signature` of `types` has a field `size` that is u32, not u64",
    ),
    (
        "validate-save: func(context: context, draft: signature)",
        "validate-save: func(draft: signature)",
        "the function `validate-save` of `save-validator` has the wrong number of parameters: 1, not 2",
    ),
    (
        "write: func(level: level, message: string)",
        "write: func(message: string)",
        "the function `write` of `log` has the wrong number of parameters: 1, not 2",
    ),
];

fn different(number: usize) -> (Vec<u8>, &'static str) {
    let (ours, theirs, why) = DIFFERENT[number];
    let contract = CONTRACT.replacen(ours, theirs, 1);
    assert_ne!(contract, CONTRACT);
    let logs = theirs.starts_with("write");
    let guest = Guest {
        definitions: if logs {
            r#"(import "sigpersist:hooks/log@1.1.0" "write" (func $log (param i32 i32)))"#
        } else {
            ""
        },
        ..Guest::default()
    };
    (guest.component_against(&contract), why)
}

#[test]
fn a_component_of_another_contract_is_refused_with_what_differs() {
    let app = TestApp::start();
    let folder = temp_dir();
    let file = folder.path().join("different.wasm");
    for number in 0..DIFFERENT.len() {
        let (component, why) = different(number);
        refused(&app, &component, why);
        std::fs::write(&file, &component).unwrap();
        let inspect = ["plugin", "inspect", file.to_str().unwrap()];
        let output = sigpersist(folder.path(), &inspect).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("admitted:  no.") && text.contains(why),
            "{text}"
        );
    }
    // The same guest against the contract itself.
    assert!(app.upload("plugin", &Guest::default().component()).is_ok());
}

#[test]
fn a_stored_component_of_another_contract_is_not_bound() {
    let app = TestApp::start();
    app.tenant("acme");
    app.upload("plugin", &Guest::default().component()).unwrap();
    let (component, why) = different(0);
    let component: String = component.iter().map(|byte| format!("{byte:02x}")).collect();
    // As stored by an earlier server, which checked less strictly.
    app.database.execute(&format!(
        "UPDATE plugin_revisions SET component = '\\x{component}', sha256 = sha256('\\x{component}')"
    ));
    let refused = app
        .operator("acme")
        .json("PUT", "/hooks/h", &json!({ "plugin": "plugin" }))
        .expect_error(422, "refused");
    assert!(refused.text.contains(why), "{}", refused.text);
}

#[test]
fn a_component_over_the_cap_is_refused_before_it_is_read() {
    let good = Guest::default().component();
    for (cap, fits) in [(good.len(), true), (good.len() - 1, false)] {
        let app = TestApp::start_with(|config| config.hooks.max_component_bytes = cap);
        assert_eq!(app.upload("plugin", &good).is_ok(), fits);
    }
}

#[test]
fn a_plugin_that_misbehaves_while_it_is_set_up_is_refused_naming_the_limit() {
    let app = TestApp::start_with(|config| {
        config.hooks.max_timeout_ms = 100;
        config.hooks.max_memory_bytes = 1024 * 1024;
    });
    let describe = |describe: &str| {
        Guest {
            describe,
            ..Guest::default()
        }
        .component()
    };
    refused(&app, &describe(LOOP), "longer than its limit of 100 ms");
    refused(&app, &describe("(unreachable)"), "unreachable");
    refused(
        &app,
        &describe("(memory.grow (i32.const 100))"),
        "the limit of 1048576 bytes of memory (memory_bytes)",
    );
    let recursion = Guest {
        definitions: "(func $deeper (call $deeper))",
        describe: "(call $deeper) (i32.const 512)",
        ..Guest::default()
    };
    refused(&app, &recursion.component(), "stack");
    let payload = Guest {
        definitions: r#"(import "sigpersist:hooks/payload@1.1.0" "read" (func $read (param i64 i32 i32)))"#,
        describe: "(call $read (i64.const 0) (i32.const 1) (i32.const 4096)) (i32.const 512)",
        ..Guest::default()
    };
    refused(&app, &payload.component(), "no signature to read");
    let validate = Guest {
        validate: "(unreachable)",
        ..Guest::default()
    };
    refused(&app, &validate.component(), "validate-config");
    // The next upload is admitted as if nothing had happened.
    assert!(app.upload("plugin", &Guest::default().component()).is_ok());
}

#[test]
fn a_tenants_own_plugin_is_its_alone_and_comes_before_the_platforms() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    let sha256 = |tenant| {
        app.set(tenant, "hook", "plugin", |_| {})
            .map(|hook| hook.binding.sha256)
    };
    let own = app
        .operator("acme")
        .send(
            "PUT",
            "/plugins/plugin",
            &[("content-type", "application/wasm")],
            Some(SIGNER_TAGS.to_vec()),
        )
        .expect(201);
    let own = own.json["content"]["revision"]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(sha256("acme").unwrap().to_string(), own);
    let missing = sha256("other").unwrap_err();
    assert!(
        missing.to_string().contains("There is no such plugin"),
        "{missing}"
    );
    let platform = app.upload("plugin", REQUIRE_COUNTERSIGNATURE).unwrap();
    assert_eq!(sha256("other").unwrap(), platform.sha256);
    assert_eq!(sha256("acme").unwrap().to_string(), own);
}

#[test]
fn a_stored_component_that_was_changed_does_not_run() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    app.database.execute(
        "ALTER TABLE plugin_revisions DROP CONSTRAINT plugin_revisions_sha256_check;
         UPDATE plugin_revisions SET component = set_byte(component, 100, 7);",
    );
    let fresh = app.replica();
    let client = crate::support::Client::new(&fresh.base, acme.token.clone());
    client
        .save("d", "t", 0, "x")
        .expect_error(500, "hook_failed");
}

/// Hooks see the signers, whatever the form of the signature.
#[test]
fn hooks_read_armour_line_breaks_and_xml_too() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let broken: Vec<_> = FIRST.trim().as_bytes().chunks(64).collect();
    let broken = String::from_utf8(broken.join(&b"\r\n"[..])).unwrap();
    let xml = include_str!("../data/verify/signed.xml");
    for (document, text, tag) in [
        ("plain", FIRST.trim(), "iin:123456789011"),
        ("broken", &broken, "iin:123456789011"),
        ("armour", DETACHED, "iin:123456789022"),
        ("xml", xml, "signer:Signer"),
    ] {
        let saved = acme.save(document, "t", 0, text).expect(201);
        assert!(saved.tags().contains(&tag), "{document}: {}", saved.text);
        assert_eq!(saved.signature()["signature"], text);
    }
    let saved = acme.save("unsigned", "t", 0, "<a/>").expect(201);
    assert_eq!(saved.tags(), [""; 0]);
}
