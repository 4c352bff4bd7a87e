//! Traces: the spans that a collector receives, as parts of the caller's trace.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

use crate::support::{FIRST, Program, TestDatabase, tenant_token};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Receives traces as a collector does, and keeps their bytes.
struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken = Arc::default();
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || take(stream.unwrap(), &kept));
            }
        });
        Self { address, taken }
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let requests = taken
            .iter()
            .map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
        requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }
}

/// Reads requests, and answers each with an empty message.
fn take(stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        let head = head.to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        kept.lock().unwrap().push(body);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.get_mut().write_all(answer).unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let attribute = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    Some(match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

#[test]
fn spans_are_parts_of_the_callers_trace_and_hold_no_secrets() {
    let collector = Collector::start();
    let database = TestDatabase::new();
    let token = tenant_token(|arguments| database.run(arguments));
    database.run(&[
        "plugin",
        "upload",
        "signer-tags",
        "plugins/signer-tags/signer-tags.wasm",
    ]);
    database.run(&[
        "hook",
        "set",
        "acme",
        "signer-tags",
        "--plugin",
        "signer-tags",
    ]);
    let log = database.folder.path().join("log");
    let mut command = database.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env(
            "SIGPERSIST_TRACES_ENDPOINT",
            format!("http://{}", collector.address),
        )
        .env("SIGPERSIST_LOG_FORMAT", "json")
        .stderr(File::create(&log).unwrap());
    let server = Program::start(command);
    let client = server.client(&token);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [
        ("traceparent", &*traceparent),
        ("content-type", "application/json"),
    ];
    let body = json!({ "document": "marked-document", "thread": "t", "cms": FIRST }).to_string();
    let saved = client.send("POST", "/signature", &headers, Some(body.into_bytes()));
    saved.expect(201);
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    let path = "/signature?document=marked-document&thread=t";
    client
        .get_with(path, &[("traceparent", &unsampled)])
        .expect(200);
    client
        .get_with(
            "/signature?document=none&thread=t",
            &[("traceparent", "nonsense")],
        )
        .expect_error(404, "signature_not_found");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());

    let spans = collector.spans();
    let requests: Vec<_> = spans.iter().filter(|span| span.name == "request").collect();
    // A request that the caller does not sample is not exported; a request without a trace begins one.
    let statuses: Vec<_> = requests
        .iter()
        .map(|span| attribute(span, "http.response.status_code"))
        .collect();
    assert_eq!(statuses, [Some("201".to_owned()), Some("404".to_owned())]);
    let [save, none] = requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (hex(&save.trace_id), hex(&save.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(attribute(save, "http.route").as_deref(), Some("/signature"));
    assert_eq!(
        attribute(save, "http.request.method").as_deref(),
        Some("POST")
    );
    assert_ne!(hex(&none.trace_id), TRACE);
    assert!(none.parent_span_id.is_empty());
    for part in ["database", "hook"] {
        let within = spans
            .iter()
            .any(|span| span.name == part && span.parent_span_id == save.span_id);
        assert!(within, "{part} is no part of the save: {spans:?}");
    }

    let log = std::fs::read_to_string(log).unwrap();
    let traced = log.lines().filter(|line| line.contains(TRACE)).count();
    assert!(traced >= 2, "{log}");
    let mut emitted = log.into_bytes();
    emitted.extend(collector.taken.lock().unwrap().concat());
    let secret = token.rsplit('.').next().unwrap();
    for hidden in [&*token, secret, &FIRST[..60], "marked-document"] {
        let found = emitted
            .windows(hidden.len())
            .any(|window| window == hidden.as_bytes());
        assert!(!found, "{hidden} was emitted");
    }
}

#[test]
fn a_collector_that_is_gone_costs_nobody_anything_and_tls_is_named() {
    let database = TestDatabase::new();
    let token = tenant_token(|arguments| database.run(arguments));
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint = format!("http://{nobody}");
    let server = Program::serve_on(&database, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let client = server.client(&token);
    for _ in 0..20 {
        client.get("/signatures").expect(200);
    }
    assert!(server.stop().success());

    let mut command = database.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("SIGPERSIST_TRACES_ENDPOINT", "https://collector");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("traces.endpoint") && said.contains("http://"),
        "{said}"
    );
}
