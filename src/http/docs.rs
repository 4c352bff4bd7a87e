//! Handlers for the API's documentation: the OpenAPI document, and a page that shows it.

use std::sync::Arc;

use sigpersist_model::error::{Error, Result};
use utoipa_swagger_ui::{Config, serve};

use super::openapi::{Component, document as openapi};
use super::reply::Reply;
use super::respond::Call;

/// File name of the page in Swagger UI.
const INDEX: &str = "index.html";
/// The document's path, relative to the page.
const DOCUMENT: &str = "openapi.json";
/// Content security policy of the page: it loads files of this server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Short, so that a newer page does not use cached older files for long.
const MAX_AGE_S: u32 = 60;

/// This document, in OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    responses((status = 200, description = "The document", body = Object, example = json!({"openapi": "3.1.0"})))
)]
pub(super) fn document(call: Call) -> Result<Reply> {
    call.parameters()?;
    let document = || openapi(&call.app.config).to_string();
    let document = call.server.openapi.get_or_init(document);
    let document = document.clone().into_bytes();
    Ok(Reply::bytes("application/json", document).cached_by_anybody(MAX_AGE_S))
}

/// A page that shows this document, and can send requests.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "get_docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html", example = "<!DOCTYPE html>"))
)]
pub(super) fn page(call: Call) -> Result<Reply> {
    call.parameters()?;
    let page = asset(INDEX)?;
    // The page's files are one level below it.
    let page = String::from_utf8_lossy(&page.0)
        .replace("=\"./", "=\"docs/")
        .replace("href=\"index.css", "href=\"docs/index.css");
    Ok(Reply::bytes("text/html; charset=utf-8", page.into_bytes()).with_content_policy(POLICY))
}

/// A file of the page.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "get_docs_file",
    responses(
        (status = 200, description = "The file", content((Component = "text/css"), (Component = "text/javascript"), (Component = "image/png"))),
        (status = 404, description = "route_not_found"),
    )
)]
pub(super) fn file(call: Call) -> Result<Reply> {
    call.parameters()?;
    if call.name() == INDEX {
        // The index file is served as `/docs`; its relative links would not work here.
        return Err(Error::RouteNotFound);
    }
    let (bytes, kind) = asset(call.name())?;
    Ok(Reply::bytes(&kind, bytes)
        .cached_by_anybody(MAX_AGE_S)
        .with_content_policy(POLICY))
}

/// A file of Swagger UI, with its media type.
fn asset(name: &str) -> Result<(Vec<u8>, String)> {
    let config = Config::from(DOCUMENT)
        .deep_linking(true)
        .try_it_out_enabled(false);
    let file = serve(name, Arc::new(config)).map_err(|error| Error::internal(error.to_string()))?;
    let file = file.ok_or(Error::RouteNotFound)?;
    Ok((file.bytes.into_owned(), file.content_type))
}
