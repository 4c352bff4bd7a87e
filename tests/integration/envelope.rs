//! Properties of every answer, whatever the request.

use crate::support::TestApp;

#[test]
fn unknown_paths_and_methods_answer_in_the_envelope() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for path in [
        "/",
        "/signature/",
        "/Signature",
        "/signatures/1",
        "/%00",
        "/signature%2Fversions",
        "//signature",
    ] {
        acme.get(path).expect_error(404, "route_not_found");
    }
    for (method, path, allowed) in [
        ("PUT", "/signature", "GET, HEAD, POST, DELETE"),
        ("PUT", "/signatures", "GET, HEAD, POST"),
        ("DELETE", "/signature/versions", "GET, HEAD"),
        ("OPTIONS", "/signature", "GET, HEAD, POST, DELETE"),
        ("BREW", "/signature", "GET, HEAD, POST, DELETE"),
    ] {
        let refused = acme
            .send(method, path, &[], None)
            .expect_error(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some(allowed));
    }
    // Clients without a token get the same answer, and learn nothing from it.
    app.anonymous()
        .get("/nothing")
        .expect_error(404, "route_not_found");
}

#[test]
fn a_sane_request_id_is_kept_and_others_are_replaced() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let ask = |id: &str| {
        let answer = acme.get_with("/signature?document=d&thread=t", &[("x-request-id", id)]);
        let answer = answer.expect_error(404, "signature_not_found");
        answer.header("x-request-id").unwrap().to_owned()
    };
    for sane in ["a", "4bf92f35-77b3:4da6_A.3", &"x".repeat(128)] {
        assert_eq!(ask(sane), sane);
    }
    for insane in ["a b", "<script>", "\"", &"x".repeat(129)] {
        let given = ask(insane);
        assert!(given != insane && given.len() == 32, "{given}");
    }
    let one = acme.read("d", "t").expect(404);
    let two = acme.read("d", "t").expect(404);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[test]
fn a_database_that_is_gone_is_503_and_comes_back() {
    let app = TestApp::start_with(|config| config.database.pool_timeout_ms = 300);
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    // Closes all connections and refuses new ones.
    app.database.forbid_connections(true);
    for _ in 0..3 {
        let refused = acme
            .save("d", "t", 1, "y")
            .expect_error(503, "database_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    app.database.forbid_connections(false);
    crate::support::eventually(|| acme.read("d", "t").status == 200);
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 1);
    acme.save("d", "t", 1, "y").expect(201);
}

#[test]
fn a_slow_statement_is_cut_off_as_503() {
    let app = TestApp::start_with(|config| config.database.statement_timeout_ms = 200);
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let blocker = app.database.lock_signatures();
    acme.save("d", "t", 1, "y")
        .expect_error(503, "database_unavailable");
    drop(blocker);
    acme.save("d", "t", 1, "y").expect(201);
}

#[test]
fn too_many_requests_at_once_wait_and_are_then_refused() {
    let app = TestApp::start_with(|config| {
        config.http.max_concurrent_requests = 1;
        config.http.queue_timeout_ms = 100;
    });
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let blocker = app.database.lock_signatures();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| acme.save("d", "t", 1, "y"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let refused = acme.read("d", "t").expect_error(503, "overloaded");
        assert_eq!(refused.header("retry-after"), Some("1"));
        drop(blocker);
        waiting.join().unwrap().expect(201);
    });
    acme.read("d", "t").expect(200);
}
