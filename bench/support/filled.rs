//! A tenant with any number of threads, in its own database.

use std::path::PathBuf;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};
use tempfile::TempDir;

use super::support::{Server, folder, new_tenant};

/// Threads of each customer, whose tag is the rare one.
const OF_CUSTOMER: u64 = 50;
/// Threads inserted by one statement.
const BATCH: u64 = 500_000;
const TABLES: &str = "('signatures'::regclass, 'signature_versions'::regclass, 'signature_tags'::regclass, \
                      'signature_terms'::regclass)";

pub(crate) struct Filled {
    pub(crate) name: &'static str,
    pub(crate) rows: u64,
    pub(crate) token: String,
    folder: TempDir,
}

/// A thread's place in a list.
#[derive(QueryableByName)]
pub(crate) struct Place {
    #[diesel(sql_type = BigInt)]
    micros: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Place {
    /// The cursor as clients send it.
    pub(crate) fn cursor(&self) -> String {
        let bytes = [self.micros.to_be_bytes(), self.id.to_be_bytes()].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Filled {
    /// Fills the tables without their indexes, and then creates these as the migrations did.
    pub(crate) fn new(name: &'static str, rows: u64) -> Self {
        let folder = folder();
        let token = new_tenant(&folder.path().join("data"), name);
        let filled = Self {
            name,
            rows,
            token,
            folder,
        };
        let since = Instant::now();
        let _server = filled.serve();
        let mut owner = filled.connect();
        owner
            .batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '1GB'")
            .unwrap();
        filled.configure(&[("max_wal_size", "8GB")]);
        let [drop, make] = ["drop", "make"].map(|what| filled.definitions(what));
        owner.batch_execute(&drop.join("; ")).unwrap();
        let mut first = 1;
        while first <= rows {
            let last = rows.min(first + BATCH - 1);
            owner
                .batch_execute(&insert(first, last, filled.customers()))
                .unwrap();
            println!("{name}: {last} of {rows} threads, {:.0?}", since.elapsed());
            first = last + 1;
        }
        for definition in make {
            owner.batch_execute(&definition).unwrap();
            println!("{name}: {definition}, {:.0?}", since.elapsed());
        }
        for table in [
            "signatures",
            "signature_versions",
            "signature_tags",
            "signature_terms",
        ] {
            owner
                .batch_execute(&format!("VACUUM (FREEZE, ANALYZE) {table}"))
                .unwrap();
        }
        owner.batch_execute("CHECKPOINT").unwrap();
        let size =
            filled.lines("SELECT pg_size_pretty(pg_database_size(current_database())) AS line");
        println!("{name}: {size:?}, {:.0?}", since.elapsed());
        filled
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn serve(&self) -> Server {
        // The rows are in no log, and adding millions to it would take the machine meanwhile.
        Server::start(&self.data_dir(), &[("SIGPERSIST_EVIDENCE_LOG", "false")])
    }

    /// The number of rare tags.
    pub(crate) fn customers(&self) -> u64 {
        self.rows / OF_CUSTOMER
    }

    /// The place of a tag's thread that has this many newer ones. A server must be running.
    pub(crate) fn place(&self, tag: &str, depth: u64) -> Place {
        sql_query(format!(
            "SELECT (extract(epoch FROM created_at) * 1000000)::bigint AS micros, signature_id AS id FROM signature_tags \
             WHERE tag = '{tag}' AND tenant_id = 1 ORDER BY tenant_id, tag, created_at DESC, signature_id DESC \
             OFFSET {depth} LIMIT 1"
        ))
        .get_result(&mut self.connect())
        .unwrap()
    }

    /// Statements that drop or create all indexes and constraints that slow a load down.
    fn definitions(&self, what: &str) -> Vec<String> {
        // Keys are created before the constraints that refer to them, and dropped after them.
        let (constraint, index, order) = match what {
            "drop" => (
                "'DROP CONSTRAINT ' || conname",
                "'DROP INDEX ' || indexrelid::regclass",
                "",
            ),
            _ => (
                "'ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid)",
                "pg_get_indexdef(indexrelid)",
                "DESC",
            ),
        };
        self.lines(&format!(
            "SELECT line FROM ( \
                 SELECT contype::text AS place, 'ALTER TABLE ' || conrelid::regclass || ' ' || {constraint} AS line \
                 FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND (conrelid IN {TABLES} OR confrelid IN {TABLES}) \
                 UNION ALL SELECT 'n', {index} FROM pg_index WHERE indrelid IN {TABLES} \
                 AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)) d \
             ORDER BY place = 'f' {}, line",
            if order.is_empty() { "DESC" } else { "" }
        ))
    }

    fn lines(&self, query: &str) -> Vec<String> {
        let lines: Vec<Line> = sql_query(query).load(&mut self.connect()).unwrap();
        lines.into_iter().map(|line| line.line).collect()
    }

    /// Changes settings for new sessions of Postgres. A server must be running.
    pub(crate) fn configure(&self, settings: &[(&str, &str)]) {
        let mut owner = self.connect();
        // Postgres knows the settings of `auto_explain` only after it is loaded.
        owner.batch_execute("LOAD 'auto_explain'").unwrap();
        for (name, value) in settings {
            owner
                .batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'"))
                .unwrap();
        }
        owner.batch_execute("SELECT pg_reload_conf()").unwrap();
    }

    /// Connects as a superuser, who sees all rows.
    fn connect(&self) -> PgConnection {
        let socket = self.data_dir().join("run");
        PgConnection::establish(&format!(
            "host={} user=postgres dbname=sigpersist",
            socket.display()
        ))
        .unwrap()
    }
}

/// A statement that inserts threads with one version each. All have a customer and a kind as tags, and some have two
/// more. Their signers are as rare as a customer, and as common as a kind. All have passed.
fn insert(first: u64, last: u64, customers: u64) -> String {
    let new = format!(
        "SELECT n, timestamptz '2026-01-01' + n * interval '1 second' AS at, convert_to('signature ' || n, 'UTF8') AS signature, \
                ARRAY['kind:' || n % 10, 'customer:' || to_char(n * 7919 % {customers}, 'FM0000000000')] \
                || CASE WHEN n % 3 = 0 THEN ARRAY['signed'] ELSE '{{}}' END \
                || CASE WHEN n % 7 = 0 THEN ARRAY['urgent'] ELSE '{{}}' END AS tags \
         FROM generate_series({first}::bigint, {last}) n"
    );
    format!(
        "INSERT INTO signatures (tenant_id, version, id, created_at, updated_at, document, thread) OVERRIDING SYSTEM VALUE \
         SELECT 1, 1, n, at, at, 'document-' || n, 'chain-' || n % 5000 FROM ({new}) new; \
         INSERT INTO signature_versions (tenant_id, version, signature_id, created_at, encoding, sha256, tags, signature, signers_indexed) \
         SELECT 1, 1, n, at, 't', sha256(signature), tags, signature, true FROM ({new}) new; \
         INSERT INTO signature_terms (tenant_id, signature_id, created_at, term) \
         SELECT 1, n, at, term FROM ({new}) new, \
                unnest(ARRAY['iin:' || to_char(n * 7919 % {customers}, 'FM000000000000'), 'bin:00000000000' || n % 10, 'verdict:passed']) AS term; \
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag) \
         SELECT 1, n, at, tag FROM ({new}) new, unnest(tags) AS tag"
    )
}
