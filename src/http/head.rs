//! Checks of a request's head (RFC 9112): its target, its `Host` and its codings. They run before warp sees the
//! request, since warp panics if there is no path (seanmonstar/warp#1166).

use http::header::{CONTENT_ENCODING, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Uri};
use http::{HeaderMap, Method, Request, Version};
use hyper::body::Body;
use sigpersist_model::error::Error;

/// Methods that at least one path answers.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Reason for refusing a head, stored in the extensions of its request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Target,
    ForeignTarget,
    Method,
    NoHost,
    Hosts,
    Host,
    TransferEncoding,
    ContentEncoding,
}

impl Fault {
    /// The error of the response.
    pub(super) fn error(self) -> Error {
        Error::MalformedRequest(match self {
            Self::Target => "its target must be a path, as in `GET /signatures HTTP/1.1`",
            Self::ForeignTarget => {
                "its target names another server than its `Host` header; this server is not a proxy"
            }
            Self::NoHost => "it has no `Host` header",
            Self::Hosts => "it has more than one `Host` header",
            Self::Host => "its `Host` header is not a name or address with an optional port",
            Self::Method => {
                return Error::MethodNotAllowed {
                    allowed: METHODS.to_vec(),
                };
            }
            Self::TransferEncoding => return Error::UnsupportedTransferEncoding,
            Self::ContentEncoding => return Error::UnsupportedContentEncoding,
        })
    }
}

/// Checks a head. If it has a fault, stores that in the request's extensions, and replaces the target by a path that
/// warp can read.
pub(super) fn check<B: Body>(request: &mut Request<B>) {
    let Err(fault) = find_fault(request) else {
        return;
    };
    *request.uri_mut() = Uri::from_static("/");
    request.extensions_mut().insert(fault);
}

fn find_fault<B: Body>(request: &Request<B>) -> Result<(), Fault> {
    let (uri, headers) = (request.uri(), request.headers());
    let host = host(headers, request.version())?;
    if request.method() == Method::CONNECT
        || (request.method() == Method::OPTIONS && uri.path() == "*")
    {
        return Err(Fault::Method);
    }
    match (uri.scheme(), uri.authority()) {
        // An absolute target. Its authority takes the place of `Host`, and a client sends the same value in both (RFC
        // 9112 section 3.2.2).
        (Some(_), Some(authority)) => {
            let is_own = host.as_ref().is_none_or(|host| host == authority);
            if !is_own || has_user(authority) {
                return Err(Fault::ForeignTarget);
            }
        }
        (None, None) if uri.path().starts_with('/') => {}
        _ => return Err(Fault::Target),
    }
    check_codings(headers, !request.body().is_end_stream())
}

/// The only `Host` header; HTTP/1.0 need not have one (RFC 9112 section 3.2).
fn host(headers: &HeaderMap, version: Version) -> Result<Option<Authority>, Fault> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return match version {
            Version::HTTP_10 => Ok(None),
            _ => Err(Fault::NoHost),
        };
    };
    if hosts.next().is_some() {
        return Err(Fault::Hosts);
    }
    let host = Authority::try_from(host.as_bytes()).map_err(|_| Fault::Host)?;
    // If there is a port, it must be a number.
    let has_port = host.as_str().len() > host.host().len();
    if host.host().is_empty() || has_user(&host) || (has_port && host.port_u16().is_none()) {
        return Err(Fault::Host);
    }
    Ok(Some(host))
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// Accepts only bodies that are sent as they are, or in chunks.
fn check_codings(headers: &HeaderMap, has_body: bool) -> Result<(), Fault> {
    let are_all = |name, known: &str| {
        let values = headers.get_all(name).iter();
        values
            .map(|value| value.as_bytes().trim_ascii())
            .all(|value| value.eq_ignore_ascii_case(known.as_bytes()))
    };
    let transfers = headers.get_all(TRANSFER_ENCODING).iter().count();
    if transfers > 1 || !are_all(TRANSFER_ENCODING, "chunked") {
        return Err(Fault::TransferEncoding);
    }
    if has_body && !are_all(CONTENT_ENCODING, "identity") {
        return Err(Fault::ContentEncoding);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<Error> {
        let mut lines = text.split('\n');
        let mut start = lines.next().unwrap().split(' ');
        let mut request = Request::builder()
            .method(start.next().unwrap())
            .uri(start.next().unwrap());
        if start.next() == Some("HTTP/1.0") {
            request = request.version(Version::HTTP_10);
        }
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let mut request = request.body("body".to_owned()).unwrap();
        check(&mut request);
        let fault = request.extensions().get::<Fault>().copied();
        assert!(fault.is_none() || request.uri() == "/");
        fault.map(Fault::error)
    }

    #[test]
    fn heads_that_can_be_understood_pass() {
        for text in [
            "GET / HTTP/1.1\nhost: sign.example",
            "GET /x?y=z HTTP/1.1\nhost: sign.example:8080",
            "GET / HTTP/1.1\nhost: [2001:db8::1]:8080",
            "GET / HTTP/1.1\nhost: 10.0.0.1",
            "GET / HTTP/1.0",
            "GET http://sign.example:8080/x HTTP/1.1\nhost: Sign.Example:8080",
            "GET http://sign.example/x HTTP/1.0",
            "GET / HTTP/1.1\nhost: x\ntransfer-encoding: Chunked\ncontent-encoding: identity",
        ] {
            assert!(fault(text).is_none(), "{text}: {:?}", fault(text));
        }
    }

    #[test]
    fn others_are_refused_each_for_its_fault() {
        for (text, code) in [
            ("GET / HTTP/1.1", "malformed_request"),
            ("GET / HTTP/1.1\nhost: a\nhost: a", "malformed_request"),
            ("GET / HTTP/1.0\nhost: a\nhost: b", "malformed_request"),
            ("GET / HTTP/1.1\nhost: ", "malformed_request"),
            ("GET / HTTP/1.1\nhost: a b", "malformed_request"),
            ("GET / HTTP/1.1\nhost: a/b", "malformed_request"),
            ("GET / HTTP/1.1\nhost: user@a", "malformed_request"),
            ("GET / HTTP/1.1\nhost: a:", "malformed_request"),
            ("GET / HTTP/1.1\nhost: a:x", "malformed_request"),
            ("GET / HTTP/1.1\nhost: a:70000", "malformed_request"),
            ("GET / HTTP/1.1\nhost: :80", "malformed_request"),
            ("GET foo.txt HTTP/1.1\nhost: a", "malformed_request"),
            ("GET a:443 HTTP/1.1\nhost: a", "malformed_request"),
            ("GET * HTTP/1.1\nhost: a", "malformed_request"),
            ("GET http://b/ HTTP/1.1\nhost: a", "malformed_request"),
            ("GET http://u@a/ HTTP/1.0", "malformed_request"),
            ("CONNECT a:443 HTTP/1.1\nhost: a", "method_not_allowed"),
            ("OPTIONS * HTTP/1.1\nhost: a", "method_not_allowed"),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: gzip, chunked",
                "unsupported_transfer_encoding",
            ),
            (
                "POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked\ntransfer-encoding: chunked",
                "unsupported_transfer_encoding",
            ),
            (
                "POST / HTTP/1.1\nhost: a\ncontent-encoding: gzip",
                "unsupported_content_encoding",
            ),
            (
                "POST / HTTP/1.1\nhost: a\ncontent-encoding: identity, br",
                "unsupported_content_encoding",
            ),
        ] {
            let fault = fault(text).map(|error| error.code());
            assert_eq!(fault, Some(code), "{text}");
        }
    }
}
