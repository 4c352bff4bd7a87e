//! Handlers for exports and imports of tenants.

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_RANGE;
use serde::{Deserialize, Serialize};
use sigpersist_model::context::Scope;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::tenant::check_slug;
use sigpersist_model::transfer::MEDIA_TYPE;
use sigpersist_model::view::{ExportView, ImportView};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::file::FilePart;
use super::openapi::{FileTag, Location, TenantFile};
use super::operators::digest;
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::auth::envelope::{Opener, Passphrase, TransportKey};
use crate::spool::{ExportJob, ImportJob, Piece};
use crate::transfer::{self, ExportOptions, ImportOptions};

#[derive(Serialize, ToSchema)]
struct OneExport {
    /// The export.
    export: ExportView,
}

#[derive(Serialize, ToSchema)]
struct OneImport {
    /// The import.
    import: ImportView,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExportForm)]
struct BeginExport {
    /// Whether the decisions of hooks are exported, with the signatures that they refused.
    #[serde(default)]
    #[schema(example = false)]
    decisions: bool,
    /// Encryption of the tenant's keys; they are exported only with it.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize_option"
    )]
    #[schema(example = json!(null))]
    keys: Option<KeyEncryption>,
}

/// Encryption of exported keys: a passphrase, or a key that was derived from the master key of the importing server.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyEncryption {
    /// The passphrase, of at least 12 characters.
    #[schema(value_type = Option<String>, example = "correct horse battery staple")]
    passphrase: Option<Zeroizing<String>>,
    /// The salt of the derived key, in base64.
    #[schema(example = json!(null))]
    salt: Option<String>,
    /// The derived key, in base64.
    #[schema(value_type = Option<String>, example = json!(null))]
    key: Option<Zeroizing<String>>,
}

impl KeyEncryption {
    fn opener(self) -> Result<Opener> {
        match (self.passphrase, self.salt, self.key) {
            (Some(passphrase), None, None) => Ok(Opener::Passphrase(Passphrase::new(passphrase))),
            (None, Some(salt), Some(key)) => {
                let key = TransportKey::from_text(&salt, &key).ok_or_else(|| {
                    let message =
                        "`keys` needs a salt of 16 bytes and a key of 32 bytes, each in base64.";
                    Error::invalid("keys", message)
                })?;
                Ok(Opener::Transport(key))
            }
            _ => {
                let message = "`keys` needs either a `passphrase`, or a `salt` and a `key`.";
                Err(Error::invalid("keys", message))
            }
        }
    }
}

/// Checks that the token has another scope, which a part of the request needs.
fn needs(call: &Call, scope: Scope) -> Result<()> {
    if call.context.caller.scopes.contains(&scope) {
        return Ok(());
    }
    Err(Error::InsufficientScope(scope.as_str()))
}

#[derive(Serialize, ToSchema)]
struct ExportsContent {
    /// The exports, oldest first.
    exports: Vec<ExportView>,
}

#[derive(Serialize, ToSchema)]
struct ImportsContent {
    /// The imports.
    imports: Vec<ImportView>,
}

/// Lists the exports of a tenant on this server.
#[utoipa::path(
    get,
    path = "/exports",
    operation_id = "list_exports",
    responses(
        (status = 200, description = "The exports", body = Envelope<ExportsContent>),
    )
)]
pub(super) fn exports(call: Call) -> Result<Reply> {
    call.parameters()?;
    let exports = call.app.spool.exports(&call.context.tenancy()?.slug);
    Reply::content(&ExportsContent { exports })
}

/// Lists the imports into a tenant on this server.
#[utoipa::path(
    get,
    path = "/imports/{tenant}",
    operation_id = "list_imports",
    responses(
        (status = 200, description = "The imports", body = Envelope<ImportsContent>),
        (status = 404, description = "tenant_not_found"),
    )
)]
pub(super) fn imports(call: Call) -> Result<Reply> {
    call.parameters()?;
    check_slug("tenant", call.name()).map_err(|_| Error::NotFound(Noun::Tenant))?;
    let imports = call.app.spool.imports(call.name());
    Reply::content(&ImportsContent { imports })
}

/// Begins to export all of a tenant to a file on this server.
///
/// Ask for the export until its state is `done`, then read its file, then delete it. It is forgotten an hour after the last
/// question. Only the server that made the file has it: with several servers, send all these requests to the same one.
/// `keys` needs a token with the scope `keys:write`, too.
#[utoipa::path(
    post,
    path = "/exports",
    operation_id = "begin_export",
    request_body = BeginExport,
    responses(
        (
            status = 202,
            description = "The export has begun",
            body = Envelope<OneExport>,
            headers(("location" = Location)),
        ),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn begin_export(call: Call) -> Result<Reply> {
    let tenancy = call.context.tenancy()?;
    let form: BeginExport = call.json()?;
    if form.keys.is_some() {
        needs(&call, Scope::KeysWrite)?;
    }
    let options = ExportOptions {
        decisions: form.decisions,
        keys: form.keys.map(KeyEncryption::opener).transpose()?,
    };
    let job = transfer::begin_export(&call.app, tenancy, call.context.actor(), options)?;
    let export = job.view();
    let location = call.location(&["exports", &export.id]);
    Ok(Reply::content(&OneExport { export })?
        .created_at(&location)
        .accepted())
}

/// Reads the state of an export.
#[utoipa::path(
    get,
    path = "/exports/{id}",
    operation_id = "get_export",
    responses(
        (status = 200, description = "The export", body = Envelope<OneExport>),
        (status = 404, description = "export_not_found"),
    )
)]
pub(super) fn export(call: Call) -> Result<Reply> {
    call.parameters()?;
    let export = job(&call)?.view();
    Reply::content(&OneExport { export })
}

/// Reads the file of an export: newline-delimited JSON.
///
/// If the answer breaks off, ask for the rest with `Range`, and with the entity tag in `If-Range`.
#[utoipa::path(
    get,
    path = "/exports/{id}/file",
    operation_id = "get_export_file",
    responses(
        (
            status = 200,
            description = "The file",
            body = TenantFile,
            content_type = "application/x-ndjson",
            headers(("etag" = FileTag)),
        ),
        (
            status = 206,
            description = "The range of the file that the request asks for",
            body = TenantFile,
            content_type = "application/x-ndjson",
            headers(("etag" = FileTag)),
        ),
        (status = 404, description = "export_not_found"),
        (status = 416, description = "range_not_satisfiable"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn file(call: Call) -> Result<Reply> {
    call.parameters()?;
    let (file, size, sha256) = job(&call)?.file()?;
    let part = FilePart::asked(file, size, &format!("\"{sha256}\""), &call.headers)?;
    Ok(Reply::file(MEDIA_TYPE, part).with_etag(sha256))
}

/// Deletes an export with its file, even if it is not finished.
#[utoipa::path(
    delete,
    path = "/exports/{id}",
    operation_id = "delete_export",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "export_not_found"),
    )
)]
pub(super) fn delete_export(call: Call) -> Result<Reply> {
    call.parameters()?;
    let tenant = &call.context.tenancy()?.slug;
    call.app.spool.remove_export(tenant, call.name())?;
    Reply::done()
}

fn job(call: &Call) -> Result<std::sync::Arc<ExportJob>> {
    let tenant = &call.context.tenancy()?.slug;
    call.app.spool.export(tenant, call.name())
}

/// Sends a piece of a tenant's file, which is named by its SHA-256.
///
/// `Content-Range` says which bytes the body has, and how many the whole file has. `received` in the answer is where the
/// next piece begins; a piece from elsewhere is ignored. With several servers, send all pieces to the same one. The file is
/// forgotten an hour after the last request.
#[utoipa::path(
    put,
    path = "/imports/{tenant}/{sha256}",
    operation_id = "send_import",
    params(
        ("content-range" = String, Header, description = "The bytes of the piece, and the size of the file", pattern = "^bytes [0-9]{1,18}-[0-9]{1,18}/[0-9]{1,18}$", example = "bytes 0-41/42"),
    ),
    request_body(content = TenantFile, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "The import, with the bytes that have arrived", body = Envelope<OneImport>),
        (status = 404, description = "import_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn send(mut call: Call) -> Result<Reply> {
    let sha256 = digest(call.segment(1))?;
    let (range, size) = content_range(&call.headers).ok_or_else(|| {
        Error::invalid(
            "content-range",
            "A piece of a file needs the header `Content-Range: bytes FIRST-LAST/SIZE`.",
        )
    })?;
    let bytes = call.take_body();
    if range.end - range.start != bytes.len() as u64 {
        let message = "`Content-Range` does not have the length of the body.";
        return Err(Error::invalid("content-range", message));
    }
    check_slug("tenant", call.name())?;
    let piece = Piece {
        tenant: call.name(),
        sha256,
        size,
        offset: range.start,
        bytes: &bytes,
    };
    let import = ImportJob::receive(&call.app.spool, piece)?.view();
    Reply::content(&OneImport { import })
}

/// Reads `bytes FIRST-LAST/SIZE` (RFC 9110 section 14.4): the range, and the size of the whole.
fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let (end, size) = (last.checked_add(1)?, size.parse().ok()?);
    (first < end && end <= size).then_some((first..end, size))
}

/// Reads the state of an import.
#[utoipa::path(
    get,
    path = "/imports/{tenant}/{sha256}",
    operation_id = "get_import",
    responses(
        (status = 200, description = "The import", body = Envelope<OneImport>),
        (status = 404, description = "import_not_found"),
    )
)]
pub(super) fn import(call: Call) -> Result<Reply> {
    call.parameters()?;
    let import = call
        .app
        .spool
        .import(call.name(), digest(call.segment(1))?)?
        .view();
    Reply::content(&OneImport { import })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportForm)]
struct BeginImport {
    /// Whether to create the tenant if it does not exist.
    #[serde(default)]
    #[schema(example = true)]
    create: bool,
    /// Whether the tenant is answered even if hooks are missing here that refuse forbidden operations. Otherwise it is
    /// suspended until they are there.
    #[serde(default)]
    #[schema(example = false)]
    without_hooks: bool,
    /// The passphrase that its keys are encrypted with; without it they are left out.
    #[schema(value_type = Option<String>, example = json!(null))]
    passphrase: Option<Zeroizing<String>>,
}

/// Begins to import a file that has arrived. What is stored already is not imported again.
///
/// Ask for the import until its state is `done` or `failed`. `create` needs a token with the scope `tenants:write`, too,
/// and `passphrase` one with `keys:write`, without which the keys in the file are left out.
#[utoipa::path(
    post,
    path = "/imports/{tenant}/{sha256}",
    operation_id = "begin_import",
    request_body = BeginImport,
    responses(
        (status = 202, description = "The import has begun", body = Envelope<OneImport>),
        (status = 404, description = "import_not_found, tenant_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn begin_import(call: Call) -> Result<Reply> {
    let form: BeginImport = call.json()?;
    let job = call
        .app
        .spool
        .import(call.name(), digest(call.segment(1))?)?;
    let with_keys = call.context.caller.scopes.contains(&Scope::KeysWrite);
    if form.passphrase.is_some() {
        needs(&call, Scope::KeysWrite)?;
    }
    if form.create {
        needs(&call, Scope::TenantsWrite)?;
    }
    let begin = transfer::BeginImport {
        with_keys,
        create: form.create,
        passphrase: form.passphrase.map(Passphrase::new),
        options: ImportOptions {
            without_hooks: form.without_hooks,
        },
    };
    transfer::begin_import(&call.app, &job, call.context.actor(), begin)?;
    Ok(Reply::content(&OneImport { import: job.view() })?.accepted())
}

/// Forgets an import, and what has arrived of its file. What was imported stays.
#[utoipa::path(
    delete,
    path = "/imports/{tenant}/{sha256}",
    operation_id = "delete_import",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "import_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn delete_import(call: Call) -> Result<Reply> {
    call.parameters()?;
    call.app
        .spool
        .remove_import(call.name(), digest(call.segment(1))?)?;
    Reply::done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_lie_within_their_whole() {
        let read = |text: &str| {
            let headers = [(CONTENT_RANGE, text.parse().unwrap())];
            content_range(&headers.into_iter().collect())
        };
        assert_eq!(read("bytes 0-9/10"), Some((0..10, 10)));
        assert_eq!(read("bytes 4-4/10"), Some((4..5, 10)));
        for bad in [
            "",
            "bytes 0-10/10",
            "bytes 5-4/10",
            "bytes 0-9/*",
            "bytes */10",
            "0-9/10",
            "bytes 0-18446744073709551615/18446744073709551615",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
