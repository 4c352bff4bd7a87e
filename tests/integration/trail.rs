//! The audit trail in exports and imports: it reads the same wherever its tenant is, and changes to it, on the way or
//! after the import, are detected.

use std::path::PathBuf;

use serde_json::{Value, json};
use sigpersist::audit::{self, Verified};
use sigpersist_model::audit::{Actor, EventOwner, Fault};

use crate::seals;
use crate::support::guest::Guest;
use crate::support::tenant_file::{
    arriving, import, import_all, is_of_trail, lines, sealed, without_trail,
};
use crate::support::{Client, TestApp, eventually};

/// Creates a tenant with events of all kinds: its creation, keys, plugins, hooks, and deleted and recreated signatures.
fn acme(app: &TestApp) {
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let wasm = [("content-type", "application/wasm")];
    let component = Guest::default().component();
    operator
        .send("PUT", "/plugins/own", &wasm, Some(component))
        .expect(201);
    for (order, status) in [(1, 201), (2, 200)] {
        let body = json!({"plugin": "own", "order": order, "settings": {"é": "ж:,"}});
        operator.json("PUT", "/hooks/h", &body).expect(status);
    }
    acme.save("d", "t/1", 0, "x").expect(201);
    acme.delete("d", "t/1").expect(200);
    acme.save("d", "t/1", 0, "y").expect(201);
}

/// Creates a tenant with more events than fit into one batch.
fn with_many_events(app: &TestApp) {
    app.tenant("acme");
    add_events(app, 1, 2_500);
    // The events have no seals, and the next command seals them as they are.
    app.database
        .execute("DELETE FROM audit_seals; DELETE FROM audit_keys");
}

fn add_events(app: &TestApp, from: u32, to: u32) {
    app.database.execute(&format!(
        "SET sigpersist.tenant = '0';
         INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target, after)
         SELECT 1, 'acme', 'server', 'hook.set', 'h' || n, json_build_object('number', n) FROM generate_series({from}, {to}) n"
    ));
}

#[track_caller]
fn export(app: &TestApp, slug: &str) -> PathBuf {
    let path = app.database.folder.path().join(format!("{slug}.ndjson"));
    let output = path.to_str().unwrap();
    app.database
        .run(&["tenant", "export", slug, "--output", output]);
    path
}

/// All events of a tenant as the command lists them, oldest first.
fn listed(app: &TestApp, slug: &str) -> Vec<Value> {
    let text = app
        .database
        .run(&["audit", "list", slug, "--limit", "10000", "--json"]);
    let page: Value = serde_json::from_str(&text).unwrap();
    let mut events = page["events"].as_array().unwrap().clone();
    events.reverse();
    events
}

/// The events of an imported part, as they were listed on their own server.
fn part(events: &[Value], number: i32, slug: &str) -> Vec<Value> {
    let of_part = |event: &&Value| event["origin"]["part"] == number;
    let events = events.iter().filter(of_part).cloned();
    events
        .map(|mut event| {
            assert_eq!(event["origin"]["tenant"], slug);
            event.as_object_mut().unwrap().remove("origin");
            event["tenant"] = json!(slug);
            event
        })
        .collect()
}

fn verify(app: &TestApp) -> Vec<Verified> {
    audit::verify(&app.app, &EventOwner::All, None, |_, _| {}).unwrap()
}

/// The faults of all chains, with the number of the imported part, or 0 for the tenants' own chains.
fn faults(app: &TestApp) -> Vec<(i32, Fault)> {
    let found = verify(app).into_iter().flat_map(|chain| {
        let part = chain.part.map_or(0, |part| part.number);
        chain.faults.into_iter().map(move |fault| (part, fault))
    });
    found.collect()
}

fn imported_rows(app: &TestApp) -> String {
    app.database
        .lines("SELECT i::text AS line FROM audit_imported i ORDER BY tenant_id, part, number")
}

fn write(app: &TestApp, lines: &[String]) -> PathBuf {
    let path = app.database.folder.path().join("changed.ndjson");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

#[test]
fn a_trail_reads_the_same_on_the_third_server_and_is_whole_there() {
    let (a, b, c) = (TestApp::start(), TestApp::start(), TestApp::start());
    acme(&a);
    let file = export(&a, "acme");
    // The file contains everything up to the event that records the beginning of the export.
    let of_a = listed(&a, "acme");
    let (after, of_a) = of_a.split_last().unwrap();
    assert_eq!(after["action"], "tenant.export");
    assert_eq!(of_a.last().unwrap()["action"], "tenant.export_begin");
    b.tenant("before");
    import_all(&b, "copy", &file);
    b.tenant("copy");
    let operator = b.operator("copy");
    operator
        .json("PUT", "/hooks/h", &json!({"plugin": "own", "order": 7}))
        .expect(200);
    let file = export(&b, "copy");
    let mut of_b = listed(&b, "copy");
    assert_eq!(part(&of_b, 1, "acme"), of_a);
    of_b.retain(|event| event.get("origin").is_none());
    of_b.pop();
    let said = import_all(&c, "third", &file);
    assert_eq!(said["new_events"], of_a.len() + of_b.len());
    let of_c = listed(&c, "third");
    assert_eq!(part(&of_c, 1, "acme"), of_a);
    assert_eq!(part(&of_c, 2, "copy"), of_b);
    // Events are in the order of their time, also over pages and for the tenant's own operators.
    let times = of_c.iter().map(|event| event["at"].as_str().unwrap());
    assert!(times.is_sorted());
    c.tenant("third");
    let operator = c.operator("third");
    let mut paged: Vec<Value> = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let page = operator.get(&format!("/audit?{query}")).expect(200);
        let content = &page.json["content"];
        paged.extend(content["events"].as_array().unwrap().iter().cloned());
        match content["next"].as_str() {
            Some(next) => query = format!("limit=3&cursor={next}"),
            None => break,
        }
    }
    paged.reverse();
    // The token for these requests was issued after the list was read.
    assert_eq!(paged[..of_c.len()], of_c);
    assert!(paged.iter().all(|event| event["tenant"] == "third"));
    let found = |client: &Client, query: &str| {
        let page = client.get(&format!("/audit?{query}")).expect(200);
        page.json["content"]["events"].as_array().unwrap().len()
    };
    assert_eq!(found(&operator, "action=signature."), 2);
    // Each import sets the hook too.
    assert_eq!(found(&c.platform(), "tenant=third&action=hook.set"), 5);
    assert_eq!(found(&c.platform(), "platform=true&action=hook.set"), 0);
    c.tenant("other");
    assert_eq!(found(&c.operator("other"), "action=signature."), 0);
    // All chains are whole, and heads that were noted on the other servers are found.
    assert_eq!(faults(&c), []);
    let said = c.database.run(&["audit", "verify", "--all", "--keyed"]);
    for (name, of) in [("acme", of_a), ("copy", &of_b)] {
        let last = of.last().unwrap();
        let head = format!("{}:{}", last["number"], last["hash"].as_str().unwrap());
        let count = of.len();
        let words = format!(
            "third (from {name}): {count} events, intact, up to {head}\n    hashes: {count} events; keyed: {count} events when it was exported"
        );
        assert!(said.contains(&words), "{words}\n{said}");
        c.database
            .run(&["audit", "verify", "third", "--expect", &head]);
    }
    let table = c
        .database
        .run(&["audit", "list", "third", "--action", "signature."]);
    assert!(table.contains("third (from acme)"), "{table}");
}

#[test]
fn a_trail_that_was_changed_in_the_file_is_refused_before_anything_is_there() {
    let (here, there) = (TestApp::start(), TestApp::start());
    acme(&here);
    let whole = lines(&export(&here, "acme"));
    let event = |number: usize| {
        let begins = format!(r#"{{"audit_event":{{"number":{number},"#);
        let place = whole.iter().position(|line| line.starts_with(&begins));
        place.unwrap()
    };
    let chain = event(1) - 1;
    let replaced = |place: usize, from: &str, to: &str| {
        let mut lines = whole.clone();
        assert!(lines[place].contains(from), "{from}: {}", lines[place]);
        lines[place] = lines[place].replacen(from, to, 1);
        lines
    };
    let swapped = {
        let mut lines = whole.clone();
        lines.swap(event(3), event(4));
        lines
    };
    let events = whole
        .iter()
        .filter(|line| line.starts_with(r#"{"audit_event""#));
    let (many, fewer) = (
        events.count(),
        format!("\"events\":{}", event(3) - event(1)),
    );
    let shortened = {
        let mut lines = replaced(chain, &format!("\"events\":{many}"), &fewer);
        lines.drain(event(3)..=event(many));
        lines
    };
    let large = "x".repeat(200_000);
    let large = format!("\"target\":\"{large}");
    for (lines, said) in [
        (
            replaced(event(4), "\"target\":\"", "\"target\":\"x"),
            "The audit trail of `acme` was changed after its export: event 4 was changed",
        ),
        (
            replaced(
                event(1),
                "\"actor\":\"command line\"",
                "\"actor_key\":\"command line\"",
            ),
            "event 1 was changed",
        ),
        (
            replaced(chain, "\"tenant_id\":1", "\"tenant_id\":2"),
            "event 1 was changed",
        ),
        (
            replaced(event(2), "\"number\":2,", "\"number\":0,"),
            "it must be an event of the audit trail after number 1",
        ),
        (
            swapped,
            "The audit trail of `acme` was changed after its export: event 3 is missing",
        ),
        (
            shortened,
            "The audit trail of `acme` was changed after its export: events 3 to",
        ),
        (
            replaced(chain, "\"head\":\"", "\"head\":\"1"),
            "are missing",
        ),
        (
            replaced(chain, "\"events\":", "\"events\":1"),
            "it must be an event of the audit trail after number",
        ),
        (
            replaced(event(3), "{\"audit_event\"", "{\"audit_chain\""),
            "it is not valid",
        ),
        (
            replaced(event(3), "\"after\":\"{", "\"after\":\"{{"),
            "its `before` or `after` is not JSON",
        ),
        (
            replaced(event(3), "\"target\":\"", "\"target\":\"\\u0000"),
            "it has the character U+0000",
        ),
        (
            replaced(event(3), "\"target\":\"", &large),
            "the event has more than 131072 bytes",
        ),
        (
            replaced(event(3), "\"at\":\"2", "\"at\":\"0"),
            "its `at` is not from 1970 to 9999",
        ),
        (
            replaced(event(3), "\"previous\":\"", "\"previous\":\"abcd"),
            "its `previous` is not SHA-256 in hexadecimal",
        ),
    ] {
        let file = write(&there, &sealed(lines));
        let (complete, _, error) = import(&there, "copy", &file);
        assert!(!complete && error.contains(said), "{said}: {error}");
        let shown = there.database.command(&["tenant", "show", "copy"]).output();
        assert!(!shown.unwrap().status.success());
    }
    // From a pipe, nothing after the changed event is imported.
    let file = write(
        &there,
        &sealed(replaced(event(4), "\"target\":\"", "\"target\":\"x")),
    );
    let mut piped = there
        .database
        .command(&["tenant", "import", "copy", "--create"]);
    piped.stdin(std::fs::File::open(file).unwrap());
    let error = String::from_utf8(piped.output().unwrap().stderr).unwrap();
    assert!(error.contains("event 4 was changed"), "{error}");
    assert_eq!(imported_rows(&there), "");
    assert_eq!(there.database.dump("signatures"), "");
    // Unchanged events are imported, even if the file was sealed again.
    import_all(&there, "copy", &write(&there, &sealed(whole)));
    assert_eq!(faults(&there), []);
}

/// Recomputes all hashes of an imported chain, as the owner of the tables can.
const REWRITE: &str = "
    UPDATE audit_imported SET actor = 'nobody' WHERE part = 1 AND number = 2;
    DO $$
    DECLARE
        event audit_events;
        row audit_imported;
        last bytea := decode(repeat('00', 32), 'hex');
    BEGIN
        FOR row IN SELECT * FROM audit_imported WHERE part = 1 ORDER BY number LOOP
            event := (row.source_id, row.number, row.at, row.source, row.actor_kind, row.actor, row.actor_key, row.request_id,
                      row.action, row.target, row.before, row.after, last, NULL);
            UPDATE audit_imported SET previous = last, hash = audit_hash(event) WHERE part = 1 AND number = row.number;
            last := audit_hash(event);
        END LOOP;
    END
    $$";

#[test]
fn whatever_somebody_does_to_imported_events_is_found_and_named() {
    let here = TestApp::start();
    acme(&here);
    let file = export(&here, "acme");
    let there = TestApp::start();
    import_all(&there, "copy", &file);
    assert_eq!(faults(&there), []);
    let parts = verify(&there);
    let part = parts.iter().find(|chain| chain.part.is_some()).unwrap();
    let last = part.head.number;
    let one = |number| Fault::Missing {
        from: number,
        to: number,
    };
    for (sql, fault) in [
        ("UPDATE audit_imported SET target = 'x' WHERE number = 4".to_owned(), Fault::Changed(4)),
        ("UPDATE audit_imported SET source_id = 2 WHERE number = 1".to_owned(), Fault::Changed(1)),
        ("UPDATE audit_imported SET source = 'x' WHERE number = 3".to_owned(), Fault::Changed(3)),
        (
            "UPDATE audit_imported SET after = (after::text || ' ')::json WHERE number = 5".to_owned(),
            Fault::Changed(5),
        ),
        ("DELETE FROM audit_imported WHERE number = 1".to_owned(), one(1)),
        ("DELETE FROM audit_imported WHERE number = 4".to_owned(), one(4)),
        (format!("DELETE FROM audit_imported WHERE number = {last}"), one(last)),
        (
            "DELETE FROM audit_imported".to_owned(),
            Fault::Missing { from: 1, to: last },
        ),
        (
            format!(
                "INSERT INTO audit_imported (tenant_id, part, number, at, tenant, source_id, source, actor_kind, action, target, previous, hash)
                 SELECT tenant_id, part, number + 1, at, tenant, source_id, source, actor_kind, action, 'forged', hash, hash
                 FROM audit_imported WHERE number = {last}"
            ),
            Fault::Added { from: last + 1, to: last + 1 },
        ),
        (REWRITE.to_owned(), Fault::Replaced(last)),
        // A chain that no import has stated.
        (
            "UPDATE audit_imported SET part = 2".to_owned(),
            Fault::NoEnd,
        ),
    ] {
        let before = imported_rows(&there);
        there.database.execute(
            "CREATE TABLE kept AS SELECT tenant_id, part, number, at, tenant, source_id, source, actor_kind, actor, actor_key, request_id,
                                         action, target, before, after, previous, hash FROM audit_imported"
        );
        there.database.execute(&sql);
        assert_ne!(imported_rows(&there), before, "{sql}");
        let found = faults(&there);
        assert!(
            found.iter().any(|(part, found)| *part > 0 && *found == fault),
            "{sql}: {found:?}"
        );
        assert!(found.iter().all(|(part, _)| *part > 0), "{sql}: {found:?}");
        let said = there.database.command(&["audit", "verify", "copy"]).output();
        assert_eq!(said.unwrap().status.code(), Some(1));
        there.database.execute(
            "DELETE FROM audit_imported;
             INSERT INTO audit_imported (tenant_id, part, number, at, tenant, source_id, source, actor_kind, actor, actor_key, request_id,
                                         action, target, before, after, previous, hash) SELECT * FROM kept;
             DROP TABLE kept",
        );
        assert_eq!(faults(&there), []);
    }
    // A change to the event of an import breaks the tenant's own chain.
    there
        .database
        .execute("UPDATE audit_events SET after = NULL WHERE action = 'audit.import'");
    let found = faults(&there);
    assert!(
        found
            .iter()
            .any(|(part, fault)| *part == 0 && matches!(fault, Fault::Changed(_))),
        "{found:?}"
    );
}

#[test]
fn a_fault_keeps_nobody_from_moving_and_is_not_lost_on_the_way() {
    for (sql, fault) in [
        (
            "UPDATE audit_events SET target = 'x' WHERE tenant_id = 1 AND number = 2",
            Fault::Changed(2),
        ),
        (
            "DELETE FROM audit_events WHERE tenant_id = 1 AND number = 3",
            Fault::Missing { from: 3, to: 3 },
        ),
        // Only the seals reveal this change, and they are not exported.
        (
            seals::REWRITE,
            Fault::AtSource(Box::new(Fault::WrongSeal { from: 2, to: 6 })),
        ),
    ] {
        let (a, b, c) = (TestApp::start(), TestApp::start(), TestApp::start());
        a.tenant("acme");
        a.operator("acme");
        a.operator("acme");
        drop(
            a.app
                .store
                .audit_insert(&sigpersist_model::audit::Event::new(
                    Some(a.tenant_id("acme")),
                    Actor::server(),
                    "test",
                    "t",
                )),
        );
        a.database.execute(sql);
        let output = a.database.folder.path().join("acme.ndjson");
        let said = a.database.run(&[
            "tenant",
            "export",
            "acme",
            "--output",
            output.to_str().unwrap(),
        ]);
        assert!(
            said.contains("Exported with a fault: its audit trail: event"),
            "{said}"
        );
        let said = import_all(&b, "copy", &output);
        let told = said["told"][0].as_str().unwrap();
        assert!(
            told.contains("The audit trail of `acme` was not intact when it was exported: event"),
            "{told}"
        );
        assert!(faults(&b).contains(&(1, fault.clone())), "{:?}", faults(&b));
        import_all(&c, "third", &export(&b, "copy"));
        assert!(faults(&c).contains(&(1, fault.clone())), "{:?}", faults(&c));
        assert!(faults(&c).iter().all(|(part, _)| *part == 1));
        // A file that conceals the fault is refused.
        let mut lines = lines(&output);
        let chain = lines.iter_mut().find(|line| is_of_trail(line)).unwrap();
        let mut value: Value = serde_json::from_str(chain).unwrap();
        value["audit_chain"]
            .as_object_mut()
            .unwrap()
            .remove("faults")
            .unwrap();
        *chain = value.to_string();
        if !matches!(fault, Fault::AtSource(_)) {
            let (complete, _, error) = import(&c, "fourth", &write(&c, &sealed(lines)));
            assert!(
                !complete && error.contains("was changed after its export"),
                "{error}"
            );
        }
    }
}

#[test]
fn an_import_that_was_killed_goes_on_and_later_exports_add_what_is_new() {
    let (here, there) = (TestApp::start(), TestApp::start());
    with_many_events(&here);
    let first = export(&here, "acme");
    let kept = here.database.folder.path().join("first.ndjson");
    std::fs::copy(&first, &kept).unwrap();
    there.tenant("copy");
    // Its second batch waits for this event, whose number it has.
    let held = there.database.hold(
        "INSERT INTO audit_imported (tenant_id, part, number, at, tenant, source_id, source, actor_kind, action, target, previous, hash)
         SELECT id, 1, 1500, now(), 'acme', 1, 'acme', 'server', 'x', 'x', '', '' FROM tenants WHERE slug = 'copy'",
    );
    let mut child = arriving(&there, &["copy"], &first);
    let rows = || imported_rows(&there).lines().count();
    eventually(|| rows() >= 1_000);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(held);
    // The imported part is whole: each batch and the event that states it are written in one transaction.
    let half = rows();
    assert_eq!(faults(&there), []);
    let events = here
        .database
        .lines("SELECT count(*)::text AS line FROM audit_events WHERE tenant_id = 1");
    // The last event records the end of the export.
    let events = events.trim().parse::<usize>().unwrap() - 1;
    let said = import_all(&there, "copy", &first);
    assert_eq!(
        (&said["same_events"], &said["new_events"]),
        (&json!(half), &json!(events - half))
    );
    assert_eq!((rows(), faults(&there)), (events, vec![]));
    // Importing this file or an older one again changes nothing; a later file adds the new events.
    add_events(&here, 2_501, 2_503);
    here.database
        .execute("DELETE FROM audit_seals; DELETE FROM audit_keys");
    let later = export(&here, "acme");
    for (file, new) in [(&kept, 0), (&later, 5), (&later, 0), (&kept, 0)] {
        let said = import_all(&there, "copy", file);
        assert_eq!(said["new_events"], new, "{said}");
        assert_eq!(faults(&there), []);
    }
    let before = imported_rows(&there);
    assert_eq!(before.lines().count(), events + 5);
    // The source was restored from a backup, and its trail then took another course.
    here.database.execute(seals::REWRITE);
    here.database
        .execute("DELETE FROM audit_seals; DELETE FROM audit_keys");
    let forked = export(&here, "acme");
    let (complete, _, error) = import(&there, "copy", &forked);
    assert!(!complete);
    assert!(
        error.contains("Event 2 of the audit trail of `acme` is different here"),
        "{error}"
    );
    assert_eq!(imported_rows(&there), before);
    import_all(&there, "another", &forked);
    assert_eq!(faults(&there), []);
}

#[test]
fn a_tenant_that_comes_back_does_not_get_its_own_events_twice() {
    let (here, there) = (TestApp::start(), TestApp::start());
    acme(&here);
    import_all(&there, "copy", &export(&here, "acme"));
    let said = import_all(&here, "acme", &export(&there, "copy"));
    let of_copy = listed(&there, "copy");
    let own = of_copy.iter().filter(|event| event.get("origin").is_none());
    // The last event records the end of the export.
    assert_eq!(said["new_events"], own.count() - 1);
    let events = listed(&here, "acme");
    let hashes = events.iter().map(|event| event["hash"].as_str().unwrap());
    let mut unique: Vec<_> = hashes.collect();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), events.len());
    assert_eq!(faults(&here), []);
    // Two copies of one tenant on one server: no page omits an event that both have.
    import_all(&here, "second", &export(&there, "copy"));
    let everything = here
        .database
        .run(&["audit", "list", "--all", "--limit", "10000", "--json"]);
    let everything: Value = serde_json::from_str(&everything).unwrap();
    let platform = here.platform();
    let (mut paged, mut query) = (0, "limit=1".to_owned());
    loop {
        let page = platform.get(&format!("/audit?{query}")).expect(200);
        let content = &page.json["content"];
        paged += content["events"].as_array().unwrap().len();
        match content["next"].as_str() {
            Some(next) => query = format!("limit=1&cursor={next}"),
            None => break,
        }
    }
    // A key and a token of the platform were created after the list was read.
    assert_eq!(paged, everything["events"].as_array().unwrap().len() + 2);
}

#[test]
fn imported_events_outlive_the_tenant_and_are_not_its_successors() {
    let (here, there) = (TestApp::start(), TestApp::start());
    acme(&here);
    import_all(&there, "copy", &export(&here, "acme"));
    let before = imported_rows(&there);
    assert_ne!(before, "");
    let _removal = there.remove_tenants();
    let platform = there.platform();
    platform
        .send("DELETE", "/tenants/copy?confirm=copy", &[], None)
        .expect(202);
    eventually(|| platform.get("/tenants/copy").status == 404);
    assert_eq!(imported_rows(&there), before);
    assert_eq!(faults(&there), []);
    let imported = |events: &[Value]| {
        let origins = events.iter().filter(|event| event.get("origin").is_some());
        origins.count()
    };
    let count = before.lines().count();
    assert_eq!(imported(&listed(&there, "copy")), count);
    there.tenant("copy");
    let own = there.operator("copy").get("/audit?limit=200").expect(200);
    assert_eq!(
        imported(own.json["content"]["events"].as_array().unwrap()),
        0
    );
    // Listing by slug finds the parts of both tenants, and each import of the same file is a part of its own.
    import_all(&there, "copy", &export(&here, "acme"));
    let both = imported(&listed(&there, "copy"));
    assert_eq!(both, imported_rows(&there).lines().count());
    assert!(both > 2 * count);
    assert_eq!(faults(&there), []);
    // If the events are deleted from the table, they are missed, even though their tenant is gone too.
    there.database.execute(
        "DELETE FROM audit_imported WHERE tenant_id = (SELECT min(tenant_id) FROM audit_imported)",
    );
    let missing = Fault::Missing {
        from: 1,
        to: i64::try_from(count).unwrap(),
    };
    assert_eq!(faults(&there), [(1, missing)]);
}

#[test]
fn files_of_version_2_have_no_trail_and_are_read() {
    let (here, there) = (TestApp::start(), TestApp::start());
    acme(&here);
    let mut old = without_trail(lines(&export(&here, "acme")));
    old[0] = old[0].replace("\"format_version\":6", "\"format_version\":2");
    for place in [0, old.len() - 1] {
        let counts = [
            ",\"audit_chains\":0",
            "\"audit_chains\":0,",
            "\"audit_events\":0,",
        ];
        for count in counts {
            old[place] = old[place].replace(count, "");
        }
        assert!(!old[place].contains("audit"), "{}", old[place]);
    }
    let said = import_all(&there, "copy", &write(&there, &old));
    assert_eq!(
        (&said["new_threads"], &said["new_events"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(imported_rows(&there), "");
}
