//! Checks every exchange of a test against the OpenAPI document: the answer's status, headers and body, and the
//! parameters of a request that the server granted.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use http::HeaderMap;
use jsonschema::Validator;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sigpersist::config::Config;

/// Larger bodies are not checked, since that takes long and their form is the same.
const MAX_BYTES: usize = 1024 * 1024;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| sigpersist::http::openapi(&Config::default()));
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The OpenAPI document of a server with the default configuration.
pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// The places where a value does not match a schema of the document, with the reasons; empty if it matches.
pub(crate) fn differences(schema: &Value, value: &Value) -> Vec<String> {
    let key = schema.to_string();
    let mut validators = VALIDATORS.lock().unwrap();
    let validator = validators.entry(key).or_insert_with(|| {
        let whole = json!({ "components": DOCUMENT["components"], "allOf": [schema] });
        let validator = jsonschema::draft202012::options().build(&whole);
        Arc::new(validator.unwrap_or_else(|error| panic!("{schema}: {error}")))
    });
    let validator = Arc::clone(validator);
    drop(validators);
    validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Follows a `$ref`; any other value is returned as it is.
pub(crate) fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} is not defined")),
        None => value,
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    /// The path, including the query.
    pub(crate) path: &'a str,
    pub(crate) sent: Option<&'a [u8]>,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) text: &'a str,
    pub(crate) json: &'a Value,
}

/// Asserts that an exchange is as the document says.
#[track_caller]
pub(crate) fn check(exchange: &Exchange<'_>) {
    let problems = problems(exchange);
    assert!(
        problems.is_empty(),
        "{} {} was answered with {} {}, which the OpenAPI document does not allow: {problems:#?}",
        exchange.method,
        exchange.path,
        exchange.status,
        exchange.text,
    );
}

fn problems(exchange: &Exchange<'_>) -> Vec<String> {
    // Skips answers of the HTTP parser itself, which have no request id, and long bodies, which have the same form as
    // short ones.
    if !exchange.headers.contains_key("x-request-id") || exchange.text.len() > MAX_BYTES {
        return Vec::new();
    }
    let failed = exchange.status >= 400;
    let (path, query) = exchange.path.split_once('?').unwrap_or((exchange.path, ""));
    let method = exchange.method.to_lowercase();
    let method = if method == "head" { "get" } else { &method };
    let operation = operation(path).map(|methods| &methods[method]);
    let operation = operation.filter(|operation| operation.is_object());
    // The listener of `http.watch_listen` serves only a few of the paths.
    let operation = operation.filter(|_| exchange.json["code"] != "route_not_found");
    let Some(operation) = operation else {
        // No such operation; the server says so in the form of all failures.
        let failure = &DOCUMENT["components"]["schemas"]["Failure"];
        return if exchange.text.is_empty() {
            Vec::new()
        } else {
            differences(failure, exchange.json)
        };
    };
    let answer = &operation["responses"][exchange.status.to_string()];
    if answer.is_null() {
        return vec![format!("this status is not described")];
    }
    let answer = resolved(answer);
    let mut problems = headers(answer, exchange.headers);
    if exchange.text.is_empty() {
        return problems;
    }
    let kind = exchange.headers.get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let described = answer["content"].as_object().into_iter().flatten();
    let described = described.filter(|(known, _)| kind.split(';').next() == Some(known.as_str()));
    match described.map(|(_, content)| content).next() {
        None => problems.push(format!("the content type `{kind}` is not described")),
        Some(_) if exchange.json.is_null() => {}
        Some(content) => {
            problems.extend(differences(&content["schema"], exchange.json));
            if failed {
                problems.extend(failure(&content["examples"], exchange.json));
            }
        }
    }
    if !failed {
        problems.extend(granted(operation, query, exchange.sent));
    }
    problems
}

/// The methods of the path template that fits a request; of two, the one with fewer parameters.
fn operation(path: &str) -> Option<&'static Value> {
    let segments: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let named: Vec<_> = template.split('/').collect();
        // The name of a tile or of a page contains slashes.
        let has_tail = ["{tile}", "{page}"].contains(named.last().unwrap());
        let has_tail = has_tail && segments.len() >= named.len();
        (has_tail || named.len() == segments.len())
            && named
                .iter()
                .zip(&segments)
                .all(|(name, segment)| name.starts_with('{') || name == segment)
    };
    let paths = DOCUMENT["paths"].as_object()?.iter();
    let fitting = paths.filter(|(template, _)| fits(template));
    let nearest = fitting.min_by_key(|(template, _)| template.matches('{').count());
    nearest.map(|(_, methods)| methods)
}

/// Headers that are missing or not as described.
fn headers(answer: &'static Value, headers: &HeaderMap) -> Vec<String> {
    let described = answer["headers"].as_object().into_iter().flatten();
    let problems = described.flat_map(|(name, header)| {
        let header = resolved(header);
        match headers.get(name).and_then(|value| value.to_str().ok()) {
            None if header["required"] == true => vec![format!("the header `{name}` is missing")],
            None => Vec::new(),
            Some(value) => differences(&header["schema"], &value.into())
                .into_iter()
                .map(|problem| format!("the header `{name}`{problem}"))
                .collect(),
        }
    });
    problems.collect()
}

/// Problems of a failure: its code must be described for this status, and its details must have the code's own type.
fn failure(examples: &Value, failure: &Value) -> Vec<String> {
    let code = failure["code"].as_str().unwrap_or_default();
    let mut problems = Vec::new();
    if examples.get(code).is_none() {
        problems.push(format!("the code `{code}` is not described here"));
    }
    let schemas = &DOCUMENT["components"]["schemas"];
    let of_code = &schemas[details_of(code)];
    match failure.get("details") {
        None if of_code.is_null() || code == "invalid_parameter" => {}
        None => problems.push(format!("`{code}` has no details")),
        Some(details) => problems.extend(differences(of_code, details)),
    }
    problems
}

/// The name of the schema of a code's details.
pub(crate) fn details_of(code: &str) -> String {
    let words = code.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<String>() + "Details"
}

/// Parameters and body of a granted request that the document would not allow.
fn granted(operation: &'static Value, query: &str, sent: Option<&[u8]>) -> Vec<String> {
    let mut problems = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let values: Vec<_> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| parameter["in"] == "query" && parameter["name"] == *name)
            .map(|(_, value)| {
                let value = value.replace('+', " ");
                percent_decode_str(&value).decode_utf8_lossy().into_owned()
            })
            .collect();
        let schema = resolved(&parameter["schema"]);
        let value = match schema["type"].as_str() {
            _ if values.is_empty() => continue,
            Some("array") => json!(values),
            Some("string") => json!(values[0]),
            _ => serde_json::from_str(&values[0]).unwrap_or_else(|_| json!(values[0])),
        };
        for problem in differences(schema, &value) {
            problems.push(format!("the parameter {}{problem}", parameter["name"]));
        }
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(Ok(body)) = sent.map(serde_json::from_slice::<Value>)
        && schema.is_object()
    {
        for problem in differences(schema, &body) {
            problems.push(format!("the request's body: {problem}"));
        }
    }
    problems
}
