//! The plans that Postgres makes: rows of saves and reads are looked up by keys, however many there are and whatever the
//! statistics say.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use sigpersist_store::SESSION_SETTINGS;

use crate::support::{TestApp, TestDatabase};

/// The last statement of the server that begins like this, with these values in place of its parameters.
pub(crate) fn statement(app: &TestApp, beginning: &str, values: &[&str]) -> String {
    let sent = app.database.lines(&format!(
        "SELECT query AS line FROM pg_stat_activity WHERE query LIKE '{beginning}%' AND datname = current_database()"
    ));
    let numbered = values.iter().enumerate().rev();
    let filled = numbered.fold(sent, |text, (number, value)| {
        text.replace(&format!("${}", number + 1), value)
    });
    in_one_line(&filled)
}

pub(crate) fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Two kinds of tenants: one with many threads of the same name and a document with many threads, and one without
/// repeated values. Statistics are not gathered.
fn fill(database: &TestDatabase) {
    database.execute(
        "ALTER TABLE signatures SET (autovacuum_enabled = off);
         ALTER TABLE signature_versions SET (autovacuum_enabled = off);
         ALTER TABLE signature_tags SET (autovacuum_enabled = off);
         ALTER TABLE signature_terms SET (autovacuum_enabled = off);
         ALTER TABLE audit_events SET (autovacuum_enabled = off);
         SET session_replication_role = replica;
         INSERT INTO signatures (tenant_id, version, document, thread)
         SELECT 1, 1, 'd' || n, 'main' FROM generate_series(1, 10000) n
         UNION ALL SELECT 1, 1, 'main', 't' || n FROM generate_series(1, 10000) n
         UNION ALL SELECT 2, 1, md5(n::text), md5((-n)::text) FROM generate_series(1, 20000) n;
         INSERT INTO signature_versions (tenant_id, version, signature_id, encoding, sha256, tags, signature)
         SELECT tenant_id, 1, id, 'b', 'x', '{a,b}', 'x' FROM signatures WHERE document <> 'd';
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
         SELECT s.tenant_id, s.id, s.created_at, t.tag FROM signatures s, unnest('{a,b}'::text[]) t (tag) WHERE s.document <> 'd';
         INSERT INTO signature_terms (tenant_id, signature_id, created_at, term)
         SELECT s.tenant_id, s.id, s.created_at, t.term FROM signatures s, unnest('{iin:1,verdict:failed}'::text[]) t (term) WHERE s.document <> 'd';
         INSERT INTO audit_events (tenant_id, number, at, tenant, actor_kind, action, target, previous, hash)
         SELECT 1, 1000 + n, now(), 'acme', 'server', 'signature.delete', 'gone/t' || n, '', '' FROM generate_series(1, 20000) n",
    );
}

#[test]
fn a_thread_is_looked_up_by_its_key_where_others_share_its_document_or_name() {
    let app = TestApp::start_with(|config| config.database.pool_size = 1);
    let acme = app.tenant("acme");
    app.tenant("other");
    acme.save("d", "t", 0, "x").expect(201);
    acme.read("d", "t").expect(200);
    let get = statement(&app, r#"SELECT "signatures"."id""#, &[]);
    fill(&app.database);
    for known in ["nothing", "much"] {
        for (document, thread) in [("d7", "main"), ("main", "t7")] {
            let values = format!("1, '{document}', '{thread}', 1");
            let plans = app.database.analyze(&get, &values);
            for index in [
                "signatures_thread_list_idx",
                "signatures_document_list_idx",
                "Seq Scan",
            ] {
                let used = plans
                    .lines()
                    .any(|line| line.contains(index) && !line.contains("Seq Scan on tenant"));
                assert!(!used, "where {known} is known:\n{plans}");
            }
            assert!(plans.contains("signatures_thread_key"), "{plans}");
        }
        app.database.execute("ANALYZE signatures");
    }
}

/// A call of `signature_save_3` with a verdict and a judgement.
fn save(document: &str, thread: &str, parent: u32, or_first: bool) -> String {
    format!(
        "SELECT FROM signature_save_3(1, '{document}', '{thread}', {parent}, {or_first}, NULL, NULL, NULL, '{{b}}', 'b', \
         'y', 'y', '{{}}', 2, 1, '{{}}', 'y', '[]', false, 'y', 'y', 'y', 'y', 'y', '{{}}', '{{iin:1}}', 'verdict:passed')"
    )
}

/// A call of `signature_create_3` with verdicts and judgements.
fn create(threads: &[(&str, &str)]) -> String {
    let each = |value: &str| format!("array_fill({value}, ARRAY[{}])", threads.len());
    let column = |of: fn(&(&str, &str)) -> String| {
        let values: Vec<_> = threads.iter().map(of).collect();
        format!("'{{{}}}'", values.join(","))
    };
    format!(
        "SELECT FROM signature_create_3(1, {}, {}, {none}, {none}, {none}, {}, \
         ARRAY(SELECT generate_series(1, {})), {}, {bytes}, {bytes}, {json}, {}, {json}, {bytes}, {json}, {bytes}, {bytes}, {bytes}, {bytes}, {json}, {}, ARRAY(SELECT generate_series(1, {})), {})",
        column(|(document, _)| (*document).to_owned()),
        column(|(_, thread)| (*thread).to_owned()),
        each("'b'::text"),
        threads.len(),
        each("'b'::\"char\""),
        each("2"),
        each("'iin:1'::text"),
        threads.len(),
        each("true"),
        none = each("NULL::text"),
        bytes = each("'y'::bytea"),
        json = each("'{}'::text"),
    )
}

/// Makes a call as the server would for the first tenant, and takes that back. Returns the plan of each statement that
/// Postgres ran for it, those of triggers and foreign keys included.
fn explain(database: &TestDatabase, call: &str) -> Vec<String> {
    let mut psql = Command::new(database.program("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
    for command in [
        "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; \
         SET auto_explain.log_analyze = on; SET auto_explain.log_timing = off",
        SESSION_SETTINGS,
        "SET sigpersist.tenant = 1; SET ROLE sigpersist_server",
        "SET client_min_messages = log",
        &format!("BEGIN; {call}; ROLLBACK"),
    ] {
        psql.args(["--command", command]);
    }
    let output = psql.arg(database.superuser_url()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.split("LOG:  duration: ")
        .skip(1)
        .map(str::to_owned)
        .collect()
}

/// The first words of a plan's statement.
fn beginning(plan: &str) -> String {
    let (_, text) = plan.split_once("Query Text: ").unwrap();
    let words: Vec<_> = text.split_whitespace().take(3).collect();
    words.join(" ")
}

/// The indexes in which a plan looks up rows.
fn indexes(plan: &str) -> impl Iterator<Item = String> {
    plan.lines().filter_map(|line| {
        let (_, name) = line
            .split_once("Bitmap Index Scan on ")
            .or_else(|| line.split_once(" using "))?;
        Some(name.split_whitespace().next()?.to_owned())
    })
}

/// The statements of a save, with the indexes in which they look up rows.
const STATEMENTS: [(&str, &[&str]); 15] = [
    ("BEGIN; SELECT FROM", &[]),
    ("DELETE FROM signature_tags", &["signature_tags_pkey"]),
    ("DELETE FROM signature_terms", &["signature_terms_pkey"]),
    // In `not_deleted_before`.
    ("EXISTS (SELECT FROM", &["audit_events_deleted_idx"]),
    ("INSERT INTO hook_judgements", &[]),
    ("INSERT INTO log_queue", &[]),
    ("INSERT INTO signature_tags", &[]),
    ("INSERT INTO signature_terms", &[]),
    ("INSERT INTO signature_verdicts", &[]),
    ("INSERT INTO signature_versions", &[]),
    ("INSERT INTO signatures", &[]),
    ("INSERT INTO tenant_usage", &[]),
    // Foreign keys.
    (
        "SELECT 1 FROM",
        &["signature_versions_pkey", "signatures_pkey", "tenants_pkey"],
    ),
    // The order in which threads are created.
    ("SELECT DISTINCT ON", &[]),
    (
        "UPDATE signatures s",
        &[
            "signature_versions_pkey",
            "signatures_pkey",
            "signatures_thread_key",
        ],
    ),
];

#[test]
fn each_statement_of_a_save_looks_up_its_rows_by_an_index() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.tenant("other");
    acme.save("d", "t", 0, "x").expect(201);
    let analyze =
        "ANALYZE signatures, signature_versions, signature_tags, signature_terms, audit_events";
    // The statistics are those of one row.
    app.database.execute(analyze);
    fill(&app.database);
    let calls = [
        save("d7", "main", 1, false),
        save("main", "t7", 0, true),
        save("new", "main", 0, false),
        create(&[
            ("new", "main"),
            ("new", "other"),
            ("new", "main"),
            ("main", "t9"),
        ]),
        // These save nothing.
        save("d8", "main", 2, false),
        save("main", "t9", 0, false),
    ];
    for known in ["little", "much"] {
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for call in &calls {
            for plan in explain(&app.database, call) {
                let statement = beginning(&plan);
                assert!(
                    !plan.contains("Seq Scan"),
                    "where {known} is known:\n{plan}"
                );
                // Drafts that are not saved, a thread of another version, and tags that stay.
                for (_, removed) in plan
                    .lines()
                    .filter_map(|line| line.split_once("Rows Removed by Filter: "))
                {
                    let removed: usize = removed.parse().unwrap();
                    assert!(removed < 5, "where {known} is known:\n{plan}");
                }
                found.entry(statement).or_default().extend(indexes(&plan));
            }
        }
        let found: Vec<_> = found
            .iter()
            .map(|(statement, indexes)| {
                let indexes: Vec<_> = indexes.iter().map(String::as_str).collect();
                (statement.as_str(), indexes)
            })
            .filter(|(statement, _)| *statement != "SELECT set_config('lock_timeout', '500ms',")
            .collect();
        let expected = STATEMENTS.map(|(statement, indexes)| (statement, indexes.to_vec()));
        assert_eq!(found, expected, "where {known} is known");
        app.database.execute(analyze);
    }
}
