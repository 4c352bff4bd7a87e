//! An HTTP client that speaks for one tenant.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::described::{self, Exchange};

/// Sends requests with a token, or without.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Client {
    pub(crate) fn new(base: &str, token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(900)))
            .build()
            .into();
        Self {
            agent,
            base: base.to_owned(),
            token,
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self::new(&self.base, Some(token.to_owned()))
    }

    /// Sends any request, with a body if one is given, whatever the method.
    #[must_use]
    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Response {
        self.try_send(method, path, headers, body).unwrap()
    }

    /// Like [`Self::send`], but returns the error if the server is unreachable.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Response, ureq::Error> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A stream has one object on each line, which is described beside the body of JSON.
        let is_stream = headers.contains(&("content-type", "application/x-ndjson"));
        let sent = body.clone().filter(|_| !is_stream);
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body)?)?,
            None => self.agent.run(request.body(())?)?,
        };
        let body = response.body_mut().with_config();
        let text = body.limit(1 << 30).read_to_vec()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let response = Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        };
        // The base URL may have a path of its own: that of a tenant.
        let base = self.base.strip_prefix("http://").unwrap_or(&self.base);
        let prefix = base.find('/').and_then(|place| base.get(place..));
        described::check(&Exchange {
            method,
            path: &format!("{}{path}", prefix.unwrap_or_default()),
            sent: sent.as_deref(),
            status: response.status,
            headers: &response.headers,
            text: &response.text,
            json: &response.json,
        });
        Ok(response)
    }

    /// Sends a save without waiting for the answer. Dropping the returned stream closes the connection.
    pub(crate) fn begin_save(&self, body: &Value) -> TcpStream {
        let body = body.to_string();
        let address = self.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let token = self.token.as_deref().unwrap();
        write!(
            stream,
            "POST /signature HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    #[must_use]
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], None)
    }

    #[must_use]
    #[track_caller]
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send("GET", path, headers, None)
    }

    /// Reads an answer that is not text.
    #[track_caller]
    pub(crate) fn get_bytes(&self, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        assert!(response.status().is_success());
        response.body_mut().read_to_vec().unwrap()
    }

    /// Sends a request with a JSON body, whatever the method.
    #[must_use]
    #[track_caller]
    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Response {
        self.json_with(method, path, body, &[])
    }

    #[must_use]
    #[track_caller]
    pub(crate) fn json_with(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send(method, path, &all, Some(body.to_string().into_bytes()))
    }

    #[must_use]
    #[track_caller]
    pub(crate) fn post(&self, body: &Value) -> Response {
        self.json("POST", "/signature", body)
    }

    /// Saves over a version, with the required parameters only.
    #[must_use]
    #[track_caller]
    pub(crate) fn save(&self, document: &str, thread: &str, version: u32, cms: &str) -> Response {
        self.post(&json!({"document": document, "thread": thread, "version": version, "cms": cms}))
    }

    #[must_use]
    #[track_caller]
    pub(crate) fn read(&self, document: &str, thread: &str) -> Response {
        self.get(&format!("/signature?document={document}&thread={thread}"))
    }

    #[must_use]
    #[track_caller]
    pub(crate) fn delete(&self, document: &str, thread: &str) -> Response {
        self.json(
            "DELETE",
            "/signature",
            &json!({"document": document, "thread": thread}),
        )
    }
}

impl Client {
    /// Reads a body that is not text. The answer must be 200.
    #[track_caller]
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        let mut request = http::Request::builder().uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = self.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.body_mut().read_to_vec().unwrap()
    }
}

impl Response {
    /// Asserts the status, and the headers and envelope that every answer has.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.headers.contains_key("x-request-id"), "no request id");
        if status == 304 {
            assert_eq!(self.text, "");
            return self;
        }
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.json["status"], json!(status < 300), "{}", self.text);
        self
    }

    /// Asserts a failure with this status and code, including its envelope.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        let response = self.expect(status);
        assert_eq!(response.json["code"], json!(code), "{}", response.text);
        assert_eq!(response.json["content"], Value::Null);
        assert_eq!(
            response.json["request_id"].as_str(),
            response.header("x-request-id")
        );
        let message = response.json["message"].as_str().unwrap();
        assert!(
            message.ends_with('.') && message.len() > 10,
            "{message} is not a sentence"
        );
        response
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// `content.signature`.
    pub(crate) fn signature(&self) -> &Value {
        &self.json["content"]["signature"]
    }

    /// `content.signatures`.
    #[track_caller]
    pub(crate) fn signatures(&self) -> &[Value] {
        self.json["content"]["signatures"].as_array().unwrap()
    }

    /// `content.versions`.
    #[track_caller]
    pub(crate) fn versions(&self) -> &[Value] {
        self.json["content"]["versions"].as_array().unwrap()
    }

    #[track_caller]
    pub(crate) fn tags(&self) -> Vec<&str> {
        let tags = self.signature()["tags"].as_array().unwrap();
        tags.iter().map(|tag| tag.as_str().unwrap()).collect()
    }
}
