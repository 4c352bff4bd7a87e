//! Connections to a server: directly, or through the proxy that the environment names.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections of TCP to one server.
#[derive(Clone)]
pub(crate) enum Connector {
    Direct(HttpConnector),
    /// Through a proxy, by CONNECT.
    Tunnel(Tunnel<HttpConnector>),
}

impl Connector {
    /// Connects to the server itself, or to the proxy of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    fn new(server: &Uri, connect_timeout: Duration) -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(connect_timeout));
        let Some(proxy) = Matcher::from_env().intercept(server) else {
            return Ok(Self::Direct(http));
        };
        // The URL may contain a password, so it is not shown.
        if proxy.uri().scheme_str() != Some("http") {
            return Err(
                "The proxy that the environment names must be an `http://` URL.".to_owned(),
            );
        }
        let tunnel = Tunnel::new(proxy.uri().clone(), http);
        Ok(Self::Tunnel(match proxy.basic_auth() {
            Some(auth) => tunnel.with_auth(auth.clone()),
            None => tunnel,
        }))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(http) => http.poll_ready(cx).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        match self {
            Self::Direct(http) => {
                let connecting = http.call(server);
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
            Self::Tunnel(tunnel) => {
                let connecting = tunnel.call(with_port(server));
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
        }
    }
}

/// The URL with its port, which a tunnel takes for 443 otherwise.
fn with_port(server: Uri) -> Uri {
    let (Some("http"), Some(host), None) = (server.scheme_str(), server.host(), server.port())
    else {
        return server;
    };
    format!("http://{host}:80/").parse().unwrap_or(server)
}

/// Makes connections to a server, with TLS if its URL says so.
///
/// # Errors
///
/// A sentence if the certificates can't be used, or the proxy.
pub(crate) fn connector(
    server: &Uri,
    roots: Option<&[Vec<u8>]>,
    connect_timeout: Duration,
) -> Result<HttpsConnector<Connector>, String> {
    let tls = tls(roots).map_err(|error| format!("TLS can't be set up: {error}"))?;
    let connector = Connector::new(server, connect_timeout)?;
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector))
}

/// TLS that trusts these authorities, or those of the operating system.
fn tls(roots: Option<&[Vec<u8>]>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let Some(roots) = roots else {
        let verifier = Verifier::new(provider)?;
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth());
    };
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from_slice(root))?;
    }
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}
