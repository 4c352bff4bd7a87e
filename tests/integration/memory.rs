//! Memory use of requests, as the kernel measures it for a separate server process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use sigpersist::config::Config;
use sigpersist::http::{Audience, NamesTenant, ROUTES, Route};
use sigpersist_model::context::Scope;

use crate::support::{Client, Program, TestDatabase, eventually, eventually_within};

const MIB: usize = 1 << 20;

/// A server whose memory is measured.
struct Watched {
    server: Program,
    /// A client of the tenant acme, with all scopes.
    acme: Client,
    /// A client of the platform, with all scopes.
    platform: Client,
    config: Config,
}

impl Watched {
    /// Starts a server whose allocator returns free memory at once, so that a peak contains only memory in use.
    fn start(database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let keeps_nothing = [
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
            ("MALLOC_TRIM_THRESHOLD_", "65536"),
            ("MALLOC_TOP_PAD_", "0"),
        ];
        Self::start_in(database, &keeps_nothing, settings)
    }

    fn start_in(
        database: &TestDatabase,
        environment: &[(&str, &str)],
        settings: &[(&str, &str)],
    ) -> Self {
        database.run(&["tenant", "create", "acme"]);
        let token = |holder: &str| {
            database.run(&["key", "add", holder]);
            let mut arguments = vec!["token", "issue", holder];
            for scope in Scope::ALL {
                arguments.extend(["--scope", scope.as_str()]);
            }
            database.run(&arguments)
        };
        let (acme, platform) = (token("acme"), token("--platform"));
        let variables: Vec<_> = settings
            .iter()
            .map(|(name, value)| {
                let name = name.replace('.', "_").to_uppercase();
                (format!("SIGPERSIST_{name}"), (*value).to_owned())
            })
            .collect();
        let mut environment = environment.to_vec();
        environment.extend(variables.iter().map(|(name, value)| (&**name, &**value)));
        let server = Program::serve_on(database, &environment);
        Self {
            config: Config::load(None, variables).unwrap(),
            acme: server.client(&acme),
            platform: server.client(&platform),
            server,
        }
    }

    /// Creates another tenant and returns a client for it.
    fn other_tenant(&self, database: &TestDatabase) -> Client {
        database.run(&["tenant", "create", "beta"]);
        database.run(&["key", "add", "beta"]);
        self.server
            .client(&database.run(&["token", "issue", "beta"]))
    }

    /// A value from `/proc/PID/status`, in bytes.
    fn status(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.server.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim_start_matches(':').trim_end_matches("kB");
        kib.trim().parse::<usize>().unwrap() * 1024
    }

    /// The resident memory now, in bytes.
    fn resident(&self) -> usize {
        self.status("VmRSS")
    }

    /// The peak of resident memory while a closure runs, in bytes.
    fn peak(&self, done: impl FnOnce()) -> usize {
        let path = format!("/proc/{}/clear_refs", self.server.child.id());
        std::fs::write(path, "5").unwrap();
        done();
        self.status("VmHWM")
    }

    /// A client that a route answers, and a path of the route.
    fn caller(&self, route: &Route) -> (&Client, String) {
        let client = match route.audience {
            Audience::Tenant | Audience::Operators | Audience::Callers => &self.acme,
            Audience::Platform | Audience::Anybody => &self.platform,
        };
        let path = route
            .path
            .replace("{name}", "nobody")
            .replace("{sha256}", &"0".repeat(64))
            .replace("{id}", "1-1-0")
            .replace("{file}", "index.css");
        match route.names_tenant {
            NamesTenant::Always => (client, format!("/tenants/acme{path}")),
            _ => (client, path),
        }
    }
}

/// A body of about `bytes` bytes: `before`, many repetitions, and `after`.
fn filled(bytes: usize, before: &str, repeated: &str, after: &str) -> Vec<u8> {
    let room = bytes - before.len() - after.len();
    let repeated = repeated.repeat(room / repeated.len());
    format!("{before}{repeated}{after}").into_bytes()
}

/// Bodies of this size that are designed to take much more memory.
fn hostile(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let nested = (bytes - 20) / 2;
    let mut keys = String::from("{\"cms\":\"x\"");
    for number in 0.. {
        let key = format!(",\"{number:x}\":0");
        if keys.len() + key.len() + 1 > bytes {
            break;
        }
        keys.push_str(&key);
    }
    keys.push('}');
    let save = r#"{"document":"d","thread":"t","version":1,"#;
    let filled = |before: &str, repeated: &str, after: &str| filled(bytes, before, repeated, after);
    vec![
        ("numbers for a body", filled("[", "0,", "0]")),
        ("numbers for a text", filled(r#"{"cms":["#, "0,", "0]}")),
        (
            "numbers for tags",
            filled(&format!(r#"{save}"cms":"x","tags":["#), "0,", "0]}"),
        ),
        (
            "empty tags",
            filled(&format!(r#"{save}"cms":"x","tags":["#), r#""","#, r#"""]}"#),
        ),
        (
            "lists for tags",
            filled(&format!(r#"{save}"cms":"x","tags":["#), "[],", "[]]}"),
        ),
        (
            "objects for tags",
            filled(
                &format!(r#"{save}"cms":"x","tags":["#),
                r#"{"":0},"#,
                "{}]}",
            ),
        ),
        (
            "lists in lists",
            format!(
                r#"{{"document":{}{}}}"#,
                "[".repeat(nested),
                "]".repeat(nested)
            )
            .into_bytes(),
        ),
        ("many names", keys.into_bytes()),
        (
            "one name, many times",
            filled("{", r#""document":"","#, r#""thread":0}"#),
        ),
        (
            "one list, many times",
            filled("{", r#""tags":[],"#, r#""thread":0}"#),
        ),
        (
            "nothing, many times",
            filled("{", r#""cms":null,"#, r#""cms":null}"#),
        ),
        ("a long name", filled("{\"", "name", "\":0}")),
        (
            "a long name with escapes",
            filled("{\"", r"\u0416", "\":0}"),
        ),
        (
            "a long label",
            filled(r#"{"document":""#, "label", r#"","thread":"t"}"#),
        ),
        (
            "a long text",
            filled(&format!(r#"{save}"cms":""#), "word", "\"}"),
        ),
        (
            "a long text with one escape",
            filled(&format!(r#"{save}"cms":"\/"#), "word", "\"}"),
        ),
        (
            "a long text of escapes",
            filled(&format!(r#"{save}"cms":""#), r"\n", "\"}"),
        ),
        (
            "a long text of long escapes",
            filled(&format!(r#"{save}"cms":""#), r"\u0416", "\"}"),
        ),
        (
            "a long document",
            filled(r#"{"cms":"x","content":"\/AA"#, "AAAA", "A\"}"),
        ),
        (
            "a long number",
            filled(r#"{"document":"d","thread":"t","version":1"#, "0", "}"),
        ),
        (
            "numbers for settings",
            filled(r#"{"plugin":"p","settings":["#, "0,", "0]}"),
        ),
        (
            "objects for settings",
            filled(r#"{"plugin":"p","settings":["#, r#"{"":0},"#, "0]}"),
        ),
        (
            "a long text for a number",
            filled(r#"{"plugin":"p","order":""#, "text", "\"}"),
        ),
        (
            "a long word",
            filled(r#"{"plugin":"p","mode":""#, "word", "\"}"),
        ),
        (
            "many operations",
            filled(r#"{"plugin":"p","operations":["#, "\"save\",", "\"save\"]}"),
        ),
        ("many hooks", filled(r#"{"order":["#, "\"\",", "\"\"]}")),
        ("many scopes", filled(r#"{"scopes":["#, "\"\",", "\"\"]}")),
        (
            "a key of many members",
            filled(r#"{"public_key":{"#, "\"\":0,", "\"\":0}}"),
        ),
        (
            "many cases",
            filled(
                r#"{"component":"","cases":["#,
                r#"{"input":{},"expected":{}},"#,
                "0]}",
            ),
        ),
        (
            "a case that expects much",
            filled(
                r#"{"component":"","cases":[{"input":{},"expected":{"tags":["#,
                "{},",
                "0]}}]}",
            ),
        ),
        (
            "a long component",
            filled(r#"{"component":""#, "AAAA", "\"}"),
        ),
        (
            "tags to be tried",
            filled(r#"{"input":{"tags":["#, "\"\",", "\"\"]}}"),
        ),
        (
            "a signature to be tried",
            filled(r#"{"input":{"cms":""#, r"word\n", "\"}}"),
        ),
        (
            "a candidate's settings",
            filled(r#"{"candidate":{"settings":["#, "[],", "0]}}"),
        ),
        (
            "many certificates",
            filled(
                r#"{"pem":""#,
                "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END ",
                "\"}",
            ),
        ),
        (
            "a long certificate",
            filled(
                r#"{"pem":"-----BEGIN CERTIFICATE-----\n"#,
                "AAAA",
                r#"-----END "}"#,
            ),
        ),
    ]
}

/// Tries each route with hostile bodies of the maximum size.
#[test]
fn no_body_takes_more_than_three_times_its_size() {
    let settings = [
        ("http.max_signature_bytes", "200000"),
        ("hooks.max_settings_bytes", "16384"),
        ("hooks.max_component_bytes", "65536"),
    ];
    let database = TestDatabase::new();
    let watched = Watched::start(&database, &settings);
    let json = [("content-type", "application/json")];
    // Allocates whatever is allocated once.
    watched.acme.save("d", "t", 0, "first").expect(201);
    let idle = watched.resident();
    // Bodies of routes without a token are not read at all, and the client may find its connection closed while it
    // sends.
    let reads = |route: &&Route| route.audience != Audience::Anybody;
    for route in ROUTES.iter().filter(reads) {
        let (client, path) = watched.caller(route);
        let body = vec![b' '; route.max_body_bytes(&watched.config) + 1];
        let refused = client.send(route.method.as_str(), &path, &json, Some(body));
        refused.expect_error(413, "payload_too_large");
    }
    let mut over = Vec::new();
    for route in ROUTES.iter().filter(reads) {
        let (client, path) = watched.caller(route);
        for (what, body) in hostile(route.max_body_bytes(&watched.config)) {
            let bytes = body.len();
            let mut status = 0;
            let before = watched.resident();
            let peak = watched.peak(|| {
                let answer = client.send(route.method.as_str(), &path, &json, Some(body));
                assert!(answer.text.len() < 2 * bytes.max(MIB), "{path}: {what}");
                status = answer.status;
            });
            let told = format!("{} {path}: {what}: {status}", route.method);
            assert!(status < 500, "{told}");
            let taken = peak.saturating_sub(before);
            if taken > 3 * bytes + MIB {
                over.push(format!("{told}: {taken} for {bytes}"));
            }
        }
    }
    assert!(over.is_empty(), "{over:#?}");
    // No peak was hidden by memory that was kept from an earlier request.
    let kept = watched.resident().saturating_sub(idle);
    assert!(kept < 16 * MIB, "{kept} bytes are kept");
}

/// Begins a request with a body of the maximum size, and sends all of it except the last byte.
fn hold_body(client: &Client, bytes: usize) -> TcpStream {
    let mut stream = connect(client);
    let token = client.token.as_deref().unwrap();
    write!(
        stream,
        "POST /verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {bytes}\r\n\r\n"
    )
    .unwrap();
    // A server that refuses the request need not read the whole body.
    drop(stream.write_all(&vec![b' '; bytes - 1]));
    stream
}

fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(client.base.strip_prefix("http://").unwrap()).unwrap();
    let patience = Duration::from_secs(30);
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    stream
}

/// The head of an answer, if it comes within a time.
fn head(stream: &mut TcpStream, patience: Duration) -> Option<String> {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut head = vec![0; 1024];
    let length = stream.read(&mut head).ok()?;
    head.truncate(length);
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Asserts a temporary refusal with `Retry-After`.
#[track_caller]
fn assert_refused_for_now(head: &str, status: u16) {
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
}

const BUDGET: [(&str, &str); 5] = [
    ("http.max_bytes_in_flight", "67108864"),
    ("http.max_signature_bytes", "2600000"),
    ("http.max_list_bytes", "12000000"),
    ("http.queue_timeout_ms", "300"),
    ("http.body_timeout_ms", "20000"),
];

#[test]
fn bodies_of_one_tenant_take_their_part_of_the_budget_and_no_more() {
    let database = TestDatabase::new();
    let watched = Watched::start(&database, &BUDGET);
    let beta = watched.other_tenant(&database);
    let bytes = watched.config.http.max_body_bytes();
    let part = watched.config.http.max_bytes_in_flight_of_one();
    beta.save("d", "t", 0, "first").expect(201);
    watched.acme.save("d", "t", 0, "first").expect(201);
    let idle = watched.resident();
    let mut held = Vec::new();
    let mut refused = 0;
    let peak = watched.peak(|| {
        let streams: Vec<_> = (0..2 * part / bytes)
            .map(|_| hold_body(&watched.acme, bytes))
            .collect();
        // Longer than the queue timeout and the time in which a refused client may go on sending.
        std::thread::sleep(Duration::from_secs(4));
        for mut stream in streams {
            // Requests that were admitted get no answer yet.
            match head(&mut stream, Duration::from_millis(100)) {
                None => held.push(stream),
                Some(head) => {
                    assert_refused_for_now(&head, 429);
                    refused += 1;
                }
            }
        }
    });
    assert_eq!(held.len(), part / bytes);
    assert!(refused >= 3, "{refused}");
    let taken = peak.saturating_sub(idle);
    assert!(taken < part + 8 * MIB, "{taken} bytes more than before");
    // Meanwhile another tenant's bodies of the same size are accepted.
    beta.save("d2", "t", 0, &"x".repeat(2_500_000)).expect(201);
    beta.read("d2", "t").expect(200);
    // A body without a declared length takes from the same budget.
    let mut chunked = connect(&watched.acme);
    let token = watched.acme.token.as_deref().unwrap();
    write!(
        chunked,
        "POST /verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 1_000_000, " ".repeat(1_000_000));
    for _ in 0..bytes / 1_000_000 {
        drop(chunked.write_all(chunk.as_bytes()));
    }
    assert_refused_for_now(&head(&mut chunked, Duration::from_secs(20)).unwrap(), 429);
    // Closing the connections returns their bytes to the budget.
    drop(held);
    eventually(|| {
        watched
            .acme
            .save("d3", "t", 0, &"x".repeat(2_500_000))
            .status
            == 201
    });
}

#[test]
fn answers_that_nobody_takes_are_held_against_the_tenant_that_asked() {
    let database = TestDatabase::new();
    let watched = Watched::start(&database, &BUDGET);
    let beta = watched.other_tenant(&database);
    // Base64 is stored decoded, in fewer bytes.
    let large = "AAAA".repeat(600_000);
    for client in [&watched.acme, &beta] {
        for number in 0..6 {
            client.save(&number.to_string(), "t", 0, &large).expect(201);
        }
        client.get("/signatures").expect(200);
    }
    let part = watched.config.http.max_bytes_in_flight_of_one();
    let idle = watched.resident();
    let mut answers = Vec::new();
    let peak = watched.peak(|| {
        for _ in 0..12 {
            let mut stream = connect(&watched.acme);
            let token = watched.acme.token.as_deref().unwrap();
            write!(
                stream,
                "GET /signatures HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
            )
            .unwrap();
            let head = head(&mut stream, Duration::from_secs(20)).unwrap();
            answers.push((stream, head));
        }
    });
    let (taken, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|(_, head)| head.starts_with("HTTP/1.1 200"));
    assert!(
        (1..=4).contains(&taken.len()),
        "{} are being answered",
        taken.len()
    );
    for (_, head) in &refused {
        assert_refused_for_now(head, 429);
    }
    let more = peak.saturating_sub(idle);
    assert!(more < part + 16 * MIB, "{more} bytes more than before");
    // Meanwhile another tenant gets answers of the same size.
    let page = beta.get("/signatures").expect(200);
    assert_eq!(page.signatures().len(), 6);
    drop(taken);
    eventually(|| watched.acme.get("/signatures").status == 200);
}

/// Sends a burst of large bodies and reads, and measures the memory half a minute later.
#[test]
fn memory_goes_back_to_the_system_after_a_burst() {
    let database = TestDatabase::new();
    let settings = [("http.queue_timeout_ms", "20000")];
    let watched = Watched::start_in(&database, &[], &settings);
    watched.acme.save("d", "t", 0, "first").expect(201);
    let idle = watched.resident();
    let large = &"AAAA".repeat(2_000_000);
    let peak = watched.peak(|| {
        std::thread::scope(|scope| {
            for number in 0..8 {
                let watched = &watched;
                scope.spawn(move || {
                    for round in 0..3 {
                        let document = format!("{number}-{round}");
                        let saved = watched.acme.save(&document, "t", 0, large);
                        // A refusal because the tenant's budget is used up is fine too.
                        assert!([201, 429].contains(&saved.status), "{}", saved.status);
                        drop(watched.acme.read(&document, "t"));
                        drop(watched.acme.get("/signatures?limit=4"));
                    }
                });
            }
        });
    });
    let taken = peak.saturating_sub(idle);
    assert!(taken > 64 * MIB, "it was no burst: {taken}");
    eventually_within(Duration::from_secs(30), || {
        watched.resident() < idle + 150 * MIB
    });
}
