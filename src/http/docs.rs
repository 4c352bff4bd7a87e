//! Handlers for the documentation: the OpenAPI document, a page that shows it, and the book.

use std::sync::Arc;

use sigpersist_model::error::{Error, Result};
use utoipa_swagger_ui::{Config, serve};

use super::openapi::{Component, FileTag, document as openapi};
use super::preconditions::has_copy;
use super::reply::Reply;
use super::respond::Call;
use crate::book::BOOK;

/// File name of the page in Swagger UI.
const INDEX: &str = "index.html";
/// The document's path, relative to the page.
const DOCUMENT: &str = "openapi.json";
/// Content security policy of the page: it loads files of this server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Content security policy of the book: as that of the page, and it has no styles in its elements and data.
const BOOK_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
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

/// The book with tutorials, guides and reference.
#[utoipa::path(
    get,
    path = "/docs/book",
    operation_id = "get_book",
    responses((status = 308, description = "The book is at `/docs/book/`")),
)]
pub(super) fn book(call: Call) -> Result<Reply> {
    call.parameters()?;
    // A page's relative links work only below the last slash.
    Ok(Reply::moved_to("book/").cached_by_anybody(MAX_AGE_S))
}

/// A file of the book.
#[utoipa::path(
    get,
    path = "/docs/book/{page}",
    operation_id = "get_book_file",
    responses(
        (status = 200, description = "The file", content((String = "text/html", example = "<!doctype html><html lang=\"en\"><title>First signature</title></html>"), (Component = "text/css"), (Component = "text/javascript"), (Component = "image/webp"), (Vec<serde_json::Value> = "application/json")), headers(("etag" = FileTag))),
        (status = 304, description = "`If-None-Match` has its entity tag"),
        (status = 404, description = "route_not_found"),
    )
)]
pub(super) fn book_file(call: Call) -> Result<Reply> {
    call.parameters()?;
    let file = BOOK.file(call.name()).ok_or(Error::RouteNotFound)?;
    let reply = match has_copy(&call.headers, &file.sha256)? {
        true => Reply::not_modified(),
        false => Reply::bytes(file.kind, file.bytes.clone()),
    };
    Ok(reply
        .with_etag(&file.sha256)
        .cached_by_anybody(MAX_AGE_S)
        .with_content_policy(BOOK_POLICY))
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
