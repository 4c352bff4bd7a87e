//! Signatures as files: sent as they are or in a form, and given back as they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use sigpersist_model::signature::MAX_TAGS;

use crate::support::{Client, FIRST, Response, TestApp};

const XML: &str = include_str!("../data/verify/signed.xml");
const PEM: &str = include_str!("../data/detached.cms.pem");
const P7S: (&str, &str) = ("accept", "application/pkcs7-signature");

fn der() -> Vec<u8> {
    BASE64.decode(FIRST.trim()).unwrap()
}

fn save(client: &Client, query: &str, kind: &str, body: &[u8]) -> Response {
    let path = format!("/signature?{query}");
    client.send(
        "POST",
        &path,
        &[("content-type", kind)],
        Some(body.to_vec()),
    )
}

/// A form with these parts: a name, a filename or none, and the content.
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, filename, content) in parts {
        let filename = filename.map(|name| format!("; filename=\"{name}\""));
        let filename = filename.unwrap_or_default();
        form.extend(
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n")
                .bytes(),
        );
        form.extend(*content);
        form.extend(b"\r\n");
    }
    form.extend(b"--b--\r\n");
    form
}

const FORM: &str = "multipart/form-data; boundary=b";

#[test]
fn a_file_is_stored_as_its_base64_is_and_given_back_as_it_was() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let query = "document=d&thread=t&tags=a&tags=b&version_created_by=33&stage=approval";
    let saved = save(&acme, query, "application/pkcs7-signature", &der()).expect(201);
    let saved = saved.signature();
    assert_eq!(saved["signature"], FIRST.trim());
    assert_eq!(saved["tags"], json!(["a", "b"]));
    assert_eq!(saved["version_created_by"], "33");
    // The same in JSON is the same request.
    acme.post(&json!({
        "document": "d", "thread": "t", "cms": FIRST.trim(), "tags": ["a", "b"],
        "version_created_by": 33, "stage": "approval",
    }))
    .expect(200);
    for kind in [
        "application/pkcs7-signature",
        "application/pkcs7-mime",
        "application/octet-stream",
    ] {
        let file = acme.get_bytes("/signature?document=d&thread=t", &[("accept", kind)]);
        assert_eq!(file, der(), "{kind}");
    }
    let head = acme.get_with("/signature?document=d&thread=t", &[P7S]);
    assert_eq!(head.header("content-type"), Some(P7S.1));
    let tag = head.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("\"1-") && tag.len() == 68, "{tag}");
    assert_eq!(head.header("vary"), Some("accept"));
    assert_eq!(
        head.header("content-disposition"),
        Some("attachment; filename=\"d-t-1.p7s\"")
    );
    // Without a wish the answer is as it always was.
    let json = acme.get("/signature?document=d&thread=t").expect(200);
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.header("vary"), Some("accept"));
    acme.get_with(
        "/signature?document=d&thread=t",
        &[P7S, ("if-none-match", &tag)],
    )
    .expect(304);
}

#[test]
fn xml_and_armour_are_files_too() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    save(
        &acme,
        "document=d&thread=xml",
        "application/xml",
        XML.as_bytes(),
    )
    .expect(201);
    let read = |thread: &str, kind: &str| {
        acme.get_bytes(
            &format!("/signature?document=d&thread={thread}"),
            &[("accept", kind)],
        )
    };
    assert_eq!(read("xml", "text/xml"), XML.as_bytes());
    assert_eq!(acme.read("d", "xml").signature()["signature"], XML);
    // Of another encoding than UTF-8, its bytes count.
    let cyrillic = b"<?xml version=\"1.0\" encoding=\"windows-1251\"?><a>\xcf</a>";
    save(&acme, "document=d&thread=1251", "text/xml", cyrillic).expect(201);
    assert_eq!(read("1251", "application/xml"), cyrillic);
    // Armour is taken off.
    save(
        &acme,
        "document=d&thread=pem",
        "application/pkcs7-mime",
        PEM.as_bytes(),
    )
    .expect(201);
    let der = read("pem", "application/pkcs7-mime");
    assert_eq!(der.first(), Some(&0x30));
    assert_eq!(acme.read("d", "pem").signature()["signature"], PEM);
    let wrong = [("accept", "application/pkcs7-mime")];
    let refused = acme.get_with("/signature?document=d&thread=xml", &wrong);
    let refused = refused.expect_error(406, "not_acceptable");
    assert!(refused.text.contains("application/xml"), "{}", refused.text);
    let name = "/signature?document=%D0%94%20%22&thread=xml";
    save(
        &acme,
        "document=%D0%94%20%22&thread=xml",
        "text/xml",
        XML.as_bytes(),
    )
    .expect(201);
    let file = acme.get_with(name, &[("accept", "text/xml")]);
    assert_eq!(
        file.header("content-disposition"),
        Some(
            "attachment; filename=\"___-xml-1.xml\"; filename*=UTF-8''%D0%94%20%22%2Dxml%2D1%2Exml"
        )
    );
}

#[test]
fn parts_of_a_file_are_given_and_of_json_are_not() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    save(
        &acme,
        "document=d&thread=t",
        "application/pkcs7-signature",
        &der(),
    )
    .expect(201);
    let path = "/signature?document=d&thread=t";
    let size = der().len();
    let tag = acme
        .get_with(path, &[P7S])
        .header("etag")
        .unwrap()
        .to_owned();
    let part = acme.get_with(path, &[P7S, ("range", "bytes=4-9")]);
    assert_eq!(part.status, 206);
    let range = format!("bytes 4-9/{size}");
    assert_eq!(part.header("content-range"), Some(&*range));
    let rest = [P7S, ("range", "bytes=4-"), ("if-range", &tag)];
    assert_eq!(acme.get_bytes(path, &rest), der()[4..]);
    let other = [P7S, ("range", "bytes=4-"), ("if-range", "\"2\"")];
    assert_eq!(acme.get_bytes(path, &other), der());
    // Another file of the same name and version is another one.
    acme.delete("d", "t").expect(200);
    save(&acme, "document=d&thread=t", P7S.1, b"0other").expect(201);
    let octets = ("accept", "application/octet-stream");
    let rest = [octets, ("range", "bytes=4-"), ("if-range", &tag)];
    assert_eq!(acme.get_bytes(path, &rest), b"0other");
    let copy = [octets, ("if-none-match", &tag)];
    assert_eq!(acme.get_bytes(path, &copy), b"0other");
    acme.delete("d", "t").expect(200);
    save(&acme, "document=d&thread=t", P7S.1, &der()).expect(201);
    let beyond = format!("bytes={size}-");
    acme.get_with(path, &[P7S, ("range", &beyond)])
        .expect_error(416, "range_not_satisfiable");
    acme.get_with(path, &[("range", "bytes=4-9")]).expect(200);
    let head = acme.send("HEAD", path, &[P7S], None);
    assert_eq!(head.header("content-length"), Some(&*size.to_string()));
}

#[test]
fn a_form_has_the_signature_and_the_signed_file() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let content = b"A contract between two people who do not exist.\n";
    let parts: &[(&str, Option<&str>, &[u8])] = &[
        ("document", None, b"d"),
        ("thread", None, b"t"),
        ("tags", None, b"a"),
        ("tags[]", None, b"b"),
        ("version", None, b"0"),
        ("cms", Some("contract.p7s"), PEM.as_bytes()),
        ("content", Some("contract.txt"), content),
    ];
    let saved = save(&acme, "", FORM, &form(parts)).expect(201);
    assert_eq!(saved.signature()["tags"], json!(["a", "b"]));
    assert_eq!(saved.signature()["signature"], PEM);
    let examine = |path: &str, content: &[u8]| {
        let parts: &[(&str, Option<&str>, &[u8])] = &[
            ("cms", Some("a"), PEM.as_bytes()),
            ("content", Some("b"), content),
        ];
        let kind = [("content-type", FORM)];
        acme.send("POST", path, &kind, Some(form(parts)))
            .expect(200)
            .json["content"]["inspection"]["signers"][0]["verdict"]["intact"]
            .clone()
    };
    assert_eq!(examine("/verify", content), true);
    assert_eq!(examine("/verify", b"Another contract."), false);
    // A browser sends this for a choice of files that was left empty.
    let empty: &[(&str, Option<&str>, &[u8])] = &[
        ("cms", Some("a"), PEM.as_bytes()),
        ("content", Some(""), b""),
        ("certificates", Some(""), b""),
    ];
    let kind = [("content-type", FORM)];
    let without = acme
        .send("POST", "/verify", &kind, Some(form(empty)))
        .expect(200);
    let verdict = &without.json["content"]["inspection"]["signers"][0]["verdict"];
    assert_eq!(verdict["sub_indication"], "SIGNED_DATA_NOT_FOUND");
    let kind = [("content-type", "application/pkcs7-signature")];
    acme.send("POST", "/inspect", &kind, Some(der()))
        .expect(200);
    // A stored signature is verified over a file.
    let parts: &[(&str, Option<&str>, &[u8])] = &[
        ("document", None, b"d"),
        ("thread", None, b"t"),
        ("content", Some("contract.txt"), content),
    ];
    acme.send(
        "POST",
        "/signature/verify",
        &[("content-type", FORM)],
        Some(form(parts)),
    )
    .expect(201);
}

#[test]
fn a_file_keeps_the_rules_that_json_has() {
    let app = TestApp::start_with(|config| config.http.max_signature_bytes = 4_000);
    let acme = app.tenant("acme");
    let query = "document=d&thread=t";
    save(&acme, query, "application/pkcs7-mime", b"").expect_error(400, "invalid_parameter");
    // 3000 bytes are 4000 characters of base64.
    save(&acme, query, "application/pkcs7-mime", &[0xff; 3_001])
        .expect_error(413, "payload_too_large");
    save(&acme, query, "application/pkcs7-mime", &[0xff; 3_000]).expect(201);
    save(
        &acme,
        "document=d&thread=t&version=0",
        "application/pkcs7-mime",
        &[0xfe; 3_000],
    )
    .expect_error(409, "version_conflict");
    save(
        &acme,
        "document=d&thread=t&version=1",
        "application/pkcs7-mime",
        &[0xfe; 3_000],
    )
    .expect(201);
    let refused =
        save(&acme, query, "text/plain", b"x").expect_error(415, "unsupported_media_type");
    let message = refused.json["message"].as_str().unwrap();
    for taken in [
        "application/json",
        "multipart/form-data",
        "application/pkcs7-signature",
    ] {
        assert!(
            message.contains(&format!("`Content-Type: {taken}`"))
                || message.contains(&format!("`{taken}`")),
            "{message}"
        );
    }
    save(
        &acme,
        "document=d&thread=t&cms=x",
        "application/pkcs7-mime",
        b"y",
    )
    .expect_error(400, "invalid_parameter");
    for (parts, code) in [
        (&[("nonsense", None, &b"x"[..])][..], "invalid_parameter"),
        (&[("tags", Some("a"), b"x")], "invalid_parameter"),
        (&[("version", None, b"\xff")], "invalid_parameter"),
        (&[], "malformed_form"),
    ] {
        let refused = save(&acme, "document=d&thread=u&cms=x", FORM, &form(parts));
        if parts.is_empty() {
            // An empty form adds nothing to the query.
            refused.expect(201);
            continue;
        }
        refused.expect_error(400, code);
    }
    // Some clients declare a kind of body that they do not send.
    for kind in [
        "application/xml",
        FORM,
        "application/octet-stream",
        "text/plain",
    ] {
        let kind = [("content-type", kind)];
        acme.send("GET", "/signature?document=d&thread=t", &kind, None)
            .expect(200);
        acme.send("GET", "/signatures", &kind, None).expect(200);
    }
    acme.send(
        "POST",
        "/signature/verify?document=d&thread=t",
        &[("content-type", "application/octet-stream")],
        Some(b"x".to_vec()),
    )
    .expect_error(415, "unsupported_media_type");
    save(&acme, query, "multipart/form-data", b"--b--").expect_error(400, "malformed_form");
    let many: Vec<(&str, Option<&str>, &[u8])> = vec![("tags", None, b"x"); MAX_TAGS * 8];
    save(&acme, query, FORM, &form(&many)).expect_error(400, "invalid_parameter");
    let get = [("content-type", "application/pkcs7-mime")];
    acme.send("GET", "/signature?document=d&thread=t", &get, Some(der()))
        .expect_error(415, "unsupported_media_type");
}
