//! Statements that are put together in Rust, as they are sent, in `crates/store/sql/`: to be read, and to be tried with
//! EXPLAIN. Parameters are `$1`, `$2`, and so on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use diesel::pg::Pg;
use diesel::query_builder::QueryFragment;
use sigpersist_model::context::TenantId;
use sigpersist_model::signature::{ListFilter, Order, OrderBy, Position, SignatureId};
use sqlformat::{FormatOptions, QueryParams};

use super::signature_create::CreateCall;
use super::signature_list::{CountQuery, ListPage, ListQuery};
use super::signature_save::SaveCall;
use super::signature_walk::Gathering;
use super::{decision_list, decisions, removal, signatures, usage, verdicts};

/// The statements of a file. Each has a title if there are several.
type Statements = Vec<(String, String)>;

fn files() -> Vec<(&'static str, Statements)> {
    let one = |text| vec![(String::new(), text)];
    let each = |tables: &[&str], text: fn(&str) -> String| {
        let statements = tables
            .iter()
            .map(|table| ((*table).to_owned(), text(table)));
        statements.collect()
    };
    vec![
        (
            "decision_clear",
            each(&decisions::CLEARED, decisions::clear_sql),
        ),
        ("decision_list", one(decision_list::LIST.to_owned())),
        (
            "removal_step",
            removal::step_sql()
                .map(|(table, text)| (table.to_owned(), text))
                .collect(),
        ),
        ("signature_count", counts()),
        ("signature_create", one(text(&CreateCall::default()))),
        ("signature_delete", one(signatures::delete_sql())),
        ("signature_list", lists()),
        ("signature_save", one(text(&SaveCall::default()))),
        ("usage_add", one(usage::add_sql())),
        ("verdict_insert", one(verdicts::insert_sql())),
    ]
}

/// The text of a query, without the values of its parameters.
fn text(query: &impl QueryFragment<Pg>) -> String {
    let text = diesel::debug_query::<Pg, _>(query).to_string();
    let (text, _values) = text.split_once(" -- binds:").unwrap();
    text.to_owned()
}

/// The filters of lists, each of which walks another index or checks more on the way.
fn filters() -> [(&'static str, ListFilter); 17] {
    let some = || Some("x".to_owned());
    let all = ListFilter::default;
    let any_tag = || ListFilter {
        tags: vec!["x".to_owned()],
        ..all()
    };
    let all_tags = || ListFilter {
        all_tags: true,
        ..any_tag()
    };
    let document = |filter| ListFilter {
        document: some(),
        ..filter
    };
    let thread = |filter| ListFilter {
        thread: some(),
        ..filter
    };
    let stage = |filter| ListFilter {
        stage: some(),
        ..filter
    };
    let one = || vec!["x".to_owned()];
    let signer = |filter| ListFilter {
        signers: one(),
        ..filter
    };
    let verdict = |filter| ListFilter {
        verdicts: one(),
        ..filter
    };
    let in_range = |by, filter| ListFilter {
        since: Some(chrono::DateTime::UNIX_EPOCH),
        until: Some(chrono::DateTime::UNIX_EPOCH),
        order: Order {
            by,
            ascending: true,
        },
        ..filter
    };
    [
        ("all", all()),
        ("document", document(all())),
        ("thread", thread(all())),
        ("document and thread", document(thread(all()))),
        ("stage", stage(all())),
        ("document and stage", document(stage(all()))),
        ("any of the tags", any_tag()),
        ("any of the tags, and document", document(any_tag())),
        ("all of the tags", all_tags()),
        ("all of the tags, and document", document(all_tags())),
        ("signer", signer(all())),
        (
            "signer, any of the tags, verdict, and document",
            signer(verdict(document(any_tag()))),
        ),
        (
            "not signed by",
            ListFilter {
                not_signed_by: one(),
                ..all()
            },
        ),
        ("verdict", verdict(all())),
        (
            "all, in a range, oldest first",
            in_range(OrderBy::Created, all()),
        ),
        (
            "document, in a range, oldest first",
            in_range(OrderBy::Created, document(all())),
        ),
        (
            "all, in a range, by their last change",
            in_range(OrderBy::Updated, all()),
        ),
    ]
}

fn lists() -> Statements {
    let after = Position {
        at: chrono::DateTime::UNIX_EPOCH,
        id: SignatureId(1),
    };
    let list = |filter: &ListFilter, after, gathers| {
        let page = ListPage {
            after,
            limit: 1,
            offset: 0,
            max_bytes: 0,
        };
        text(&ListQuery::new(TenantId(1), filter, &page, gathers))
    };
    let mut statements = Vec::new();
    for (title, filter) in filters() {
        statements.push((
            format!("{title}: the first page"),
            list(&filter, None, false),
        ));
        statements.push((
            format!("{title}: a later page"),
            list(&filter, Some(after), false),
        ));
    }
    let filter = ListFilter {
        document: Some("x".to_owned()),
        tags: vec!["x".to_owned()],
        order: Order {
            by: OrderBy::Updated,
            ascending: false,
        },
        ..ListFilter::default()
    };
    let titled =
        |title: &str| format!("any of the tags, and document, by their last change: {title}");
    let few = Gathering::new(TenantId(1), &filter).unwrap();
    statements.push((titled("whether few match"), text(&few)));
    statements.push((titled("a page of few"), list(&filter, Some(after), true)));
    statements.push((titled("a page of many"), list(&filter, Some(after), false)));
    statements
}

fn counts() -> Statements {
    let count = |filter: &ListFilter| text(&CountQuery::new(TenantId(1), filter));
    let counts = filters().map(|(title, filter)| (title.to_owned(), count(&filter)));
    counts.into()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

fn formatted(statements: Statements) -> String {
    let options = FormatOptions {
        max_inline_block: 100,
        max_inline_arguments: Some(100),
        max_inline_top_level: Some(100),
        ..FormatOptions::default()
    };
    let statements = statements.into_iter().map(|(title, text)| {
        let text = sqlformat::format(&text, &QueryParams::None, &options);
        if title.is_empty() {
            format!("{text};\n")
        } else {
            format!("-- {title}\n{text};\n")
        }
    });
    statements.collect::<Vec<_>>().join("\n")
}

/// `INSTA_UPDATE=always` writes the files instead, as it does for snapshots.
#[test]
fn the_files_show_the_statements_that_are_sent() {
    let update = std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always");
    let mut known = BTreeSet::new();
    for (name, statements) in files() {
        let name = format!("{name}.sql");
        let (path, expected) = (folder().join(&name), formatted(statements));
        known.insert(name);
        if update {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "{} differs from the statements in the code. Write it with INSTA_UPDATE=always, and read the difference",
            path.display()
        );
    }
    let found = folder().read_dir().unwrap();
    let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), known);
}

/// A statement that is put together elsewhere has a name that ends in `_sql`, and a place in [`files`].
#[test]
fn every_statement_that_is_put_together_is_in_a_file() {
    let here = include_str!("sql_files.rs");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in sources.read_dir().unwrap().map(Result::unwrap) {
        let (name, text) = (
            entry.file_name(),
            std::fs::read_to_string(entry.path()).unwrap(),
        );
        if name == "sql_files.rs" {
            continue;
        }
        assert!(
            !text.contains("sql_query(format!("),
            "{name:?} puts a statement together in place"
        );
        let functions = text.split("fn ").skip(1);
        let functions = functions.filter_map(|function| function.split_once('('));
        for (function, _) in functions.filter(|(function, _)| function.ends_with("_sql")) {
            assert!(
                here.contains(function),
                "{function} of {name:?} is in no file"
            );
        }
        let pushes = [
            // Texts of statements that are constants.
            "prepared.rs",
            "signature_create.rs",
            "signature_list.rs",
            "signature_save.rs",
            "signature_walk.rs",
        ];
        let known = pushes.into_iter().any(|known| name == known);
        assert!(
            known || !text.contains("push_sql("),
            "{name:?} builds a statement that is in no file"
        );
    }
}
