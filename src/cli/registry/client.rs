//! Requests to a registry (OCI distribution specification 1.1), within limits.
//!
//! A registry is trusted for nothing: each answer has a longest size, bytes must have the digest that asked for them, and
//! credentials go to the registry itself and to where it says that its tokens are made, but never along a redirect.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use sigpersist_model::digest::sha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::reference::Reference;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};
use url::{Host, Url};

use super::artefact::{DOCKER, Descriptor, INDEXES, MANIFEST, digest_of};
use super::credentials::{DOCKER_HUB, RegistryOptions};
use super::{Right, token};
use crate::cli::output::shown;

/// Longest manifest, in bytes; registries take at least so long ones (distribution specification, "Pushing manifests").
const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Longest text about an error, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 5;
/// Longest time to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time in which a registry sends or takes nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// The header with the digest of a manifest.
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// TLS with the certificate authorities that this machine trusts.
fn tls() -> TlsConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .root_certs(RootCerts::PlatformVerifier)
        .build()
}

/// A repository of a registry, to somebody who may or may not be known there.
pub(super) struct Client {
    agent: Agent,
    reference: Reference,
    /// URL of the repository, with a slash at its end.
    base: Url,
    right: Right,
    /// Name and password for the registry.
    basic: Option<HeaderValue>,
    /// The value of `Authorization`, once the registry asked for one.
    authorization: RefCell<Option<HeaderValue>>,
}

impl Client {
    pub(super) fn new(
        options: &RegistryOptions,
        reference: &Reference,
        right: Right,
    ) -> anyhow::Result<Self> {
        let registry = &reference.registry;
        let [hub, host, _] = DOCKER_HUB;
        let host = if registry == hub { host } else { registry };
        let url = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/v2/{}/", reference.repository))
                .with_context(|| format!("{reference} has no address"))
        };
        let base = if options.plain_http || is_here(&url("http")?) {
            url("http")?
        } else {
            url("https")?
        };
        let basic = options.basic(registry)?;
        if basic.is_some() && base.scheme() == "http" && !is_here(&base) {
            let warning = format!(
                "warning: {registry} is asked without encryption, so others on the way can read your password."
            );
            // Without standard error there is nobody to warn.
            drop(writeln!(std::io::stderr(), "{warning}"));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls())
            .user_agent(concat!("sigpersist/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            reference: reference.clone(),
            base,
            right,
            basic,
            authorization: RefCell::new(None),
        })
    }

    /// The manifest's text, and its media type as the registry tells it.
    pub(super) fn manifest(&self) -> anyhow::Result<(Vec<u8>, Option<String>)> {
        let name = match (&self.reference.digest, &self.reference.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => bail!("{} has neither tag nor digest.", self.reference),
        };
        let accept = [MANIFEST, INDEXES[0], INDEXES[1], DOCKER].join(", ");
        let accept = HeaderValue::from_str(&accept)?;
        let url = self.base.join(&format!("manifests/{name}"))?;
        let response = self.send(&Method::GET, url, &[(ACCEPT, accept)], &[])?;
        let response = self.expect(response, StatusCode::OK, "pull the manifest")?;
        let kind = header(&response, CONTENT_TYPE).map(str::to_owned);
        let told = header(&response, DIGEST).map(str::to_owned);
        let text = read(response, MAX_MANIFEST_BYTES)?.with_context(|| {
            format!("The manifest is longer than {MAX_MANIFEST_BYTES} bytes, so it is no plugin's")
        })?;
        if let Some(told) = told.filter(|told| told.starts_with("sha256:")) {
            ensure!(
                told == digest_of(&text),
                "The registry says that the manifest has the digest {}, and it has {}. Nothing was pulled.",
                shown(&told),
                digest_of(&text)
            );
        }
        Ok((text, kind))
    }

    /// The bytes that a manifest describes.
    pub(super) fn blob(&self, wanted: &Descriptor, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
        let digest = wanted.sha256()?;
        let size = usize::try_from(wanted.size).ok();
        let size = size.filter(|size| *size <= max_bytes).with_context(|| {
            format!(
                "The component has {} bytes; the limit is {max_bytes} (hooks.max_component_bytes)",
                wanted.size
            )
        })?;
        let url = self.base.join(&format!("blobs/sha256:{digest}"))?;
        let response = self.send(&Method::GET, url, &[], &[])?;
        let response = self.expect(response, StatusCode::OK, "pull the component")?;
        let bytes = read(response, size)?.with_context(|| {
            format!("The registry sends more than the {size} bytes that the manifest names. Nothing was pulled")
        })?;
        ensure!(
            bytes.len() == size,
            "The component broke off after {} of {size} bytes: try again.",
            bytes.len()
        );
        ensure!(
            Digest(sha256(&bytes)) == digest,
            "The registry sent other bytes than the manifest names: their digest is {}. Nothing was pulled.",
            digest_of(&bytes)
        );
        Ok(bytes)
    }

    /// Pushes bytes, unless the registry has them.
    pub(super) fn push_blob(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let digest = digest_of(bytes);
        let url = self.base.join(&format!("blobs/{digest}"))?;
        if self.send(&Method::HEAD, url, &[], &[])?.status() == StatusCode::OK {
            return Ok(());
        }
        let url = self.base.join("blobs/uploads/")?;
        let response = self.send(&Method::POST, url.clone(), &[], &[])?;
        let response = self.expect(response, StatusCode::ACCEPTED, "begin an upload")?;
        let mut place = self.next(&url, &response)?;
        place.query_pairs_mut().append_pair("digest", &digest);
        let kind = HeaderValue::from_static("application/octet-stream");
        let response = self.send(&Method::PUT, place, &[(CONTENT_TYPE, kind)], bytes)?;
        self.expect(response, StatusCode::CREATED, "upload the plugin")?;
        Ok(())
    }

    /// Pushes a manifest under a tag.
    pub(super) fn push_manifest(&self, tag: &str, manifest: &[u8]) -> anyhow::Result<()> {
        let url = self.base.join(&format!("manifests/{tag}"))?;
        let kind = HeaderValue::from_static(MANIFEST);
        let response = self.send(&Method::PUT, url, &[(CONTENT_TYPE, kind)], manifest)?;
        let response = self.expect(response, StatusCode::CREATED, "push the manifest")?;
        if let Some(told) = header(&response, DIGEST) {
            ensure!(
                told == digest_of(manifest),
                "The registry changed the manifest: it says that its digest is {}, not {}.",
                shown(told),
                digest_of(manifest)
            );
        }
        Ok(())
    }

    /// Sends a request, with a token if the registry asks for one. Follows redirects of reads, without it.
    fn send(
        &self,
        method: &Method,
        mut url: Url,
        headers: &[(HeaderName, HeaderValue)],
        body: &[u8],
    ) -> anyhow::Result<Response<Body>> {
        let mut response = self.once(method, &url, headers, body)?;
        if response.status() == StatusCode::UNAUTHORIZED
            && self.is_own(&url)
            && self.authorization.borrow().is_none()
        {
            let made = token::authorization(
                &self.agent,
                &self.base,
                &response,
                (&self.reference.repository, self.right),
                self.basic.as_ref(),
            )?;
            self.authorization.replace(made);
            response = self.once(method, &url, headers, body)?;
        }
        if *method == Method::GET {
            let mut left = MAX_REDIRECTS;
            while response.status().is_redirection() {
                ensure!(
                    left > 0,
                    "The registry redirects more than {MAX_REDIRECTS} times."
                );
                left -= 1;
                url = self.next(&url, &response)?;
                response = self.once(method, &url, headers, body)?;
            }
        }
        Ok(response)
    }

    fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        body: &[u8],
    ) -> anyhow::Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = &*self.authorization.borrow()
            && self.is_own(url)
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answered = if matches!(*method, Method::GET | Method::HEAD) {
            self.agent.run(request.body(())?)
        } else {
            self.agent.run(request.body(body)?)
        };
        answered.map_err(|error| {
            anyhow::anyhow!(
                "The registry {} did not answer: {error}.",
                url.host_str().unwrap_or_default()
            )
        })
    }

    /// Whether a URL is at the registry itself, so that it may see the token.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// The URL that an answer names as the next one.
    fn next(&self, url: &Url, response: &Response<Body>) -> anyhow::Result<Url> {
        let location = header(response, LOCATION)
            .context("The registry does not say where to go on: it sends no `Location`")?;
        let next = url
            .join(location)
            .ok()
            .filter(|next| next.has_host() && matches!(next.scheme(), "http" | "https"))
            .with_context(|| format!("The registry redirects to {}", shown(location)))?;
        ensure!(
            next.scheme() == "https" || self.base.scheme() == "http",
            "The registry redirects to {}, which is not encrypted; that is not followed.",
            shown(next.as_str())
        );
        Ok(next)
    }

    /// Lets only an answer with this status pass.
    fn expect(
        &self,
        response: Response<Body>,
        status: StatusCode,
        what: &str,
    ) -> anyhow::Result<Response<Body>> {
        let got = response.status();
        if got == status {
            return Ok(response);
        }
        let reference = &self.reference;
        let said = said(response);
        let said = said.map_or_else(String::new, |said| format!(" It says: {said}"));
        match got {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!(
                "The registry does not let you {what} of {reference}. Log in with `docker login {}`, or give --registry-username.{said}",
                reference.registry
            ),
            StatusCode::NOT_FOUND => bail!(
                "The registry has no {reference}, or does not show it to you; check the name and tag.{said}"
            ),
            _ => bail!("The registry answered {got} when asked to {what} of {reference}.{said}"),
        }
    }
}

/// Whether a URL is on this machine.
pub(super) fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// Reads a body of at most this many bytes; none if it is longer.
pub(super) fn read(response: Response<Body>, most: usize) -> anyhow::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most)?.saturating_add(1);
    response
        .into_body()
        .into_reader()
        .take(limit)
        .read_to_end(&mut bytes)
        .context("The answer broke off")?;
    Ok((bytes.len() <= most).then_some(bytes))
}

/// The message of a registry's error.
fn said(response: Response<Body>) -> Option<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = read(response, MAX_ERROR_BYTES).ok()??;
    let errors: Errors = serde_json::from_slice(&text).ok()?;
    let message = errors.errors.into_iter().next()?.message;
    Some(shown(&message)).filter(|message| !message.is_empty())
}
