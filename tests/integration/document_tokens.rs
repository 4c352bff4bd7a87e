//! Tokens for one document: what they allow, and that no route lets them do more.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use sigpersist::http::{Audience, DocumentTokens, NamesTenant, ROUTES};
use sigpersist::tenants::{self, NewKey, NewToken};
use sigpersist_model::audit::Actor;
use sigpersist_model::context::{OneDocument, Scope};
use sigpersist_model::key::Algorithm;

use crate::isolation;
use crate::support::described;
use crate::support::{Client, TestApp};

/// A client whose token has all scopes and is for one document, and perhaps for one thread of it.
fn bound(app: &TestApp, document: &str, thread: Option<&str>) -> Client {
    let owner = tenants::owner(&app.app, Some("acme")).unwrap();
    let new = NewToken {
        scopes: Some(Scope::ALL.to_vec()),
        subject: None,
        lifetime: Some(Duration::from_secs(60)),
        bound_to: Some(OneDocument {
            document: document.to_owned(),
            thread: thread.map(ToOwned::to_owned),
        }),
        kid: None,
    };
    let issued = tenants::issue_token(&app.app, &Actor::command_line(), &owner, new).unwrap();
    app.anonymous().with_token(&issued.token)
}

/// Two documents of one tenant, of which the second is called `secret`.
fn two_documents(app: &TestApp) -> Client {
    let acme = app.tenant("acme");
    for document in ["mine", "secret"] {
        for thread in ["t", "u"] {
            let draft = json!({"document": document, "thread": thread, "cms": document, "tags": ["hidden"]});
            acme.post(&draft).expect(201);
        }
    }
    acme
}

/// The names of the signatures in a list.
fn names(listed: &crate::support::Response) -> Vec<(String, String)> {
    let name = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let listed = listed.signatures().iter();
    let mut names: Vec<_> = listed
        .map(|one| (name(one, "document"), name(one, "thread")))
        .collect();
    names.sort();
    names
}

#[test]
fn no_route_lets_a_token_for_one_document_near_anything_else() {
    let app = TestApp::start();
    let acme = two_documents(&app);
    let before = acme.get("/signatures?count=true").expect(200).json;
    let token = bound(&app, "mine", None);
    let mut free = Vec::new();
    for route in ROUTES {
        let (method, path) = (route.method.as_str(), route.path);
        if route.audience == Audience::Anybody {
            // Nobody reads the token.
            continue;
        }
        let mut client = token.clone();
        if route.names_tenant == NamesTenant::Always {
            client.base.push_str("/tenants/acme");
        }
        let answer = isolation::send(&client, method, path, "1-1-0");
        match route.document_tokens {
            DocumentTokens::Free => {
                assert!(!answer.text.contains("secret"), "{}", answer.text);
                free.push(path);
            }
            // A list that names no document shows that of the token.
            DocumentTokens::Bound if (method, path) == ("GET", "/signatures") => {
                let listed = answer.expect(200);
                let mine = |thread: &str| ("mine".to_owned(), thread.to_owned());
                assert_eq!(names(&listed), [mine("t"), mine("u")]);
                assert_eq!(listed.json["content"]["nb_results"], 2);
            }
            DocumentTokens::Bound => {
                let refused = answer.expect_error(403, "token_bound");
                let message = refused.json["message"].as_str().unwrap();
                assert!(message.contains("names another one"), "{path}: {message}");
            }
            // A token of a tenant never has the platform's routes.
            DocumentTokens::Refused if route.audience == Audience::Platform => {
                drop(answer.expect_error(403, "insufficient_scope"));
            }
            DocumentTokens::Refused => {
                drop(answer.expect_error(403, "token_bound"));
            }
        }
        if route.document_tokens == DocumentTokens::Refused && route.audience == Audience::Operators
        {
            client.base.push_str("/tenants/acme");
            if path != "/events/stream" {
                isolation::send(&client, method, path, "1-1-0").expect_error(403, "token_bound");
            }
        }
    }
    // A route that shows something stored must not be added here.
    assert_eq!(free, ["/inspect", "/verify", "/whoami"]);
    let after = acme.get("/signatures?count=true").expect(200).json;
    assert_eq!(before["content"], after["content"]);
}

#[test]
fn a_route_that_takes_such_tokens_names_a_document_in_its_parameters() {
    let described = described::document();
    for route in ROUTES {
        if route.document_tokens != DocumentTokens::Bound {
            continue;
        }
        assert!(!route.path.contains('{'), "{}", route.path);
        let method = route.method.as_str().to_lowercase();
        let text = described["paths"][route.path][&method].to_string();
        for name in ["\"document\"", "\"thread\""] {
            assert!(text.contains(name), "{method} {} {name}", route.path);
        }
    }
}

#[test]
fn everything_works_for_the_document_of_the_token() {
    let app = TestApp::start();
    let acme = two_documents(&app);
    app.sequence();
    let token = bound(&app, "mine", None);
    token.save("mine", "new", 0, "first").expect(201);
    token.save("mine", "new", 1, "second").expect(201);
    token
        .save("mine", "new", 1, "third")
        .expect_error(409, "version_conflict");
    let named = "document=mine&thread=new";
    for path in ["/signature", "/signature/versions", "/signature/verdicts"] {
        token.get(&format!("{path}?{named}")).expect(200);
    }
    let verify = json!({"document": "mine", "thread": "new"});
    token.json("POST", "/signature/verify", &verify).expect(201);
    let proof = token.get("/signature/proof?document=mine&thread=t").status;
    assert!([200, 202].contains(&proof), "{proof}");
    // Only a list fills in what it leaves out.
    token
        .post(&json!({"thread": "brief", "cms": "x"}))
        .expect_error(400, "invalid_parameter");
    let caller = token.get("/whoami").expect(200).json;
    assert_eq!(caller["content"]["caller"]["document"], "mine");
    let unbound = acme.get("/whoami").expect(200).json;
    assert_eq!(unbound["content"]["caller"].get("document"), None);
    token.delete("mine", "new").expect(200);
    token.delete("secret", "t").expect_error(403, "token_bound");
    acme.read("secret", "t").expect(200);
}

#[test]
fn every_spelling_of_another_document_is_refused() {
    let app = TestApp::start();
    let acme = two_documents(&app);
    let token = bound(&app, "mine", None);
    for query in [
        "document=secret&thread=t",
        "document[]=secret&thread=t",
        "document=%73ecret&thread=t",
    ] {
        let refused = token.get(&format!("/signature?{query}"));
        refused.expect_error(403, "token_bound");
    }
    // What says both is refused, whichever comes first.
    for query in [
        "document=mine&document=secret&thread=t",
        "document=secret&document=mine&thread=t",
    ] {
        let refused = token.get(&format!("/signature?{query}"));
        refused.expect_error(400, "invalid_parameter");
    }
    let draft = |document: &str| json!({"document": document, "thread": "v", "cms": "x"});
    token
        .json("POST", "/signature?document=secret", &draft("mine"))
        .expect_error(400, "invalid_parameter");
    token
        .get("/signatures?document=secret")
        .expect_error(403, "token_bound");
    // The file itself, and a form.
    let file = [("content-type", "application/pkcs7-signature")];
    let path = "/signature?document=secret&thread=v";
    token
        .send("POST", path, &file, Some(b"x".to_vec()))
        .expect_error(403, "token_bound");
    let form = [("content-type", "multipart/form-data; boundary=b")];
    let part = |name: &str, text: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let body = [
        part("document", "secret"),
        part("thread", "v"),
        part("cms", "x"),
    ]
    .concat();
    token
        .send(
            "POST",
            "/signature",
            &form,
            Some(format!("{body}--b--\r\n").into_bytes()),
        )
        .expect_error(403, "token_bound");
    // Among many, one other is enough.
    let many = json!({"signatures": [draft("mine"), draft("secret")]});
    token
        .json("POST", "/signatures", &many)
        .expect_error(403, "token_bound");
    let many = json!({"signatures": [{"document": "mine", "thread": "t"}, {"document": "secret", "thread": "t"}]});
    token
        .json("POST", "/signatures/get", &many)
        .expect_error(403, "token_bound");
    // A stream goes on after it.
    let lines = format!(
        "{}\n{}\n",
        draft("secret"),
        json!({"document": "mine", "thread": "w", "cms": "x"})
    );
    let lines_kind = [("content-type", "application/x-ndjson")];
    let answer = token.send("POST", "/signatures", &lines_kind, Some(lines.into_bytes()));
    assert!(
        answer.text.contains(r#"{"line":1,"status":403,"#),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains(r#"{"line":2,"status":201,"#),
        "{}",
        answer.text
    );
    let names =
        "{\"document\":\"secret\",\"thread\":\"t\"}\n{\"document\":\"mine\",\"thread\":\"t\"}\n";
    let read = token.send(
        "POST",
        "/signatures/get",
        &lines_kind,
        Some(names.as_bytes().to_vec()),
    );
    let lines: Vec<_> = read.text.lines().collect();
    assert!(
        lines[0].starts_with(r#"{"line":1,"status":403,"signature":null,"#),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with(r#"{"line":2,"status":200,"#),
        "{}",
        lines[1]
    );
    for document in ["mine", "secret"] {
        acme.read(document, "v")
            .expect_error(404, "signature_not_found");
    }
    let many = json!({"signatures": [{"document": "mine", "thread": "t"}, {"document": "mine", "thread": "u"}]});
    let read = token.json("POST", "/signatures/get", &many).expect(200);
    assert_eq!(
        read.json["content"]["results"][0]["signature"]["document"],
        "mine"
    );
}

#[test]
fn a_token_for_one_thread_is_refused_the_others_of_its_document() {
    let app = TestApp::start();
    two_documents(&app);
    let token = bound(&app, "mine", Some("t"));
    token.read("mine", "t").expect(200);
    token.read("mine", "u").expect_error(403, "token_bound");
    token
        .save("mine", "w", 0, "x")
        .expect_error(403, "token_bound");
    assert_eq!(
        names(&token.get("/signatures").expect(200)),
        [("mine".to_owned(), "t".to_owned())]
    );
    for query in ["thread=u", "chain=u", "thread=t&chain=u"] {
        let refused = token.get(&format!("/signatures?{query}"));
        refused.expect_error(403, "token_bound");
    }
    let listed = token.get("/signatures?chain=t&document=mine").expect(200);
    assert_eq!(names(&listed).len(), 1);
}

#[test]
fn applications_sign_such_tokens_themselves_and_odd_ones_are_refused() {
    let app = TestApp::start();
    two_documents(&app);
    let sign = |slug: Option<&str>, claims: &Value| {
        let added = app.add_key(slug, &NewKey::made(Algorithm::Hs256)).unwrap();
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some(added.key.kid);
        let secret = added.secret.unwrap().to_string();
        let key = EncodingKey::from_secret(secret.as_bytes());
        app.anonymous()
            .with_token(&encode(&header, claims, &key).unwrap())
    };
    let claims = |more: Value| {
        let exp = get_current_timestamp() + 900;
        let mut claims = json!({"exp": exp, "scope": "signatures:read"});
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        claims
    };
    let good = claims(json!({"sigpersist_document": "mine", "sigpersist_thread": "t"}));
    let mine = sign(Some("acme"), &good);
    mine.read("mine", "t").expect(200);
    mine.read("mine", "u").expect_error(403, "token_bound");
    mine.read("secret", "t").expect_error(403, "token_bound");
    mine.save("mine", "t", 1, "x")
        .expect_error(403, "insufficient_scope");
    let far = get_current_timestamp() + 1000;
    for bad in [
        json!({"sigpersist_document": null}),
        json!({"sigpersist_document": ""}),
        json!({"sigpersist_document": ["mine"]}),
        json!({"sigpersist_document": "mi\nne"}),
        json!({"sigpersist_document": "mine", "sigpersist_thread": null}),
        json!({"sigpersist_document": "mine", "sigpersist_thread": 1}),
        json!({"sigpersist_thread": "t"}),
        json!({"sigpersist_document": "mine", "exp": far}),
    ] {
        sign(Some("acme"), &claims(bad))
            .read("mine", "t")
            .expect_error(401, "invalid_token");
    }
    // A token for everything may live for longer.
    sign(Some("acme"), &claims(json!({"exp": far})))
        .read("mine", "t")
        .expect(200);
    sign(None, &claims(json!({"sigpersist_document": "mine"})))
        .get("/whoami")
        .expect_error(401, "invalid_token");
}

#[test]
fn the_server_issues_such_tokens_and_the_audit_trail_says_so() {
    let app = TestApp::start();
    two_documents(&app);
    let platform = app.platform_for("acme");
    let issue = |form: Value| platform.json("POST", "/tokens", &form);
    let issued = issue(json!({"document": "mine", "thread": "t"})).expect(201);
    let content = &issued.json["content"];
    assert_eq!(
        content["scopes"],
        json!(["signatures:read", "signatures:write"])
    );
    let token = app
        .anonymous()
        .with_token(content["token"].as_str().unwrap());
    token.read("mine", "t").expect(200);
    token.read("secret", "t").expect_error(403, "token_bound");
    for (form, code) in [
        (json!({"thread": "t"}), 400),
        (json!({"document": ""}), 400),
        (json!({"document": "mine", "lifetime_s": 901}), 422),
        (json!({"document": "mine", "lifetime_s": 900}), 201),
    ] {
        issue(form).expect(code);
    }
    app.platform()
        .json(
            "POST",
            "/tokens",
            &json!({"document": "mine", "scopes": []}),
        )
        .expect_error(422, "refused");
    let events = platform.get("/audit?action=token.issue").expect(200);
    assert!(
        events.text.contains(r#""document":"mine""#),
        "{}",
        events.text
    );
}
