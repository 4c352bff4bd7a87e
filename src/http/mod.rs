//! The HTTP side, on warp: one table of all routes, and the code that they share.
//!
//! Warp matches no paths here. Its rejections mean "try another route", so it could neither name the methods that a
//! path answers, nor put every error in the contract's envelope. A table can, and the tests iterate over it.
//!
//! - `connections` accepts connections, and `places` limits their number; `head` refuses malformed heads before warp
//!   sees them; `server` stops gracefully; `respond` is the path of a request through this module; `cors` lets pages in
//!   browsers use it.
//! - `local` answers requests of the command line in this process; `logged` holds answers until a version is in the log.
//! - `auth` authenticates the caller; `bound` holds tokens for one document to it; `body` reads request bodies; `parameters`
//!   (with `given`), `query` and `form` parse them, by the table in `parameter`, with files in `multipart`; `preconditions` reads conditional headers. `budget` limits the
//!   bytes of bodies and answers in memory.
//! - `signatures`, a `list` of them, `many` at once or `streamed` in `lines`, `verdicts`, `policy`, `plugins`, `hooks`, their
//!   `bindings`, `trials`, `decisions`, `audit`, `log`, `proof`, `public_log`, `witnesses`, `events`, `webhooks`, `tenants`,
//!   `transfers`, `keys`, `issuers`, `whoami` and `health` have the
//!   handlers; `operators` has what the handlers for operators share. `reply`, in `pieces` or from a `file`, in the
//!   `representation` that is asked for, and `error`, with its `details`, write the responses.

mod audit;
mod auth;
mod bindings;
mod body;
mod bound;
mod budget;
mod connections;
mod cors;
mod decisions;
mod details;
mod docs;
mod error;
mod events;
mod file;
mod form;
mod given;
mod head;
mod health;
mod hooks;
mod issuers;
mod json_text;
mod keys;
mod lines;
mod list;
mod local;
mod log;
mod logged;
mod many;
mod multipart;
mod openapi;
mod operators;
mod parameter;
mod parameters;
mod pieces;
mod places;
mod plugins;
mod policy;
mod preconditions;
mod proof;
mod public_log;
mod query;
mod reply;
mod representation;
mod respond;
mod route;
mod server;
mod signatures;
mod streamed;
mod tenants;
mod transfers;
mod trials;
mod verdicts;
mod webhooks;
mod whoami;
mod witnesses;

use http::Method;
use sigpersist_model::context::Scope;
use sigpersist_model::plugin::Operation;

use parameter as p;
use route::{BodyKind, Waits};

pub use local::answer;
pub use openapi::document as openapi;
pub use route::{Audience, DocumentTokens, NamesTenant, PIECE_BYTES, Route};
pub use server::{Server, serve, serve_watchers};

/// The optional parameters of a signature to save.
const OF_DRAFTS: &[&p::Parameter] = &[
    &p::CONTENT,
    &p::CERTIFICATES,
    &p::SIGNED_OVER,
    &p::VERSION_CREATED_BY,
    &p::VERSION_COMMENT,
    &p::TAGS,
    &p::STAGE,
];

/// All routes of the server. The routes of operators also exist under `/tenants/{tenant}`, where callers of the
/// platform act for any tenant.
pub static ROUTES: &[Route] = &[
    Route::of_tenant(
        Method::GET,
        "/signature",
        Scope::SignaturesRead,
        signatures::get,
    )
    .document_tokens(DocumentTokens::Bound)
    .conditional()
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .allows(&[&p::VERSION, &p::INSPECT, &p::VERIFY]),
    Route::of_tenant(
        Method::POST,
        "/signature",
        Scope::SignaturesWrite,
        signatures::post,
    )
    .document_tokens(DocumentTokens::Bound)
    .conditional()
    .requires(&[&p::DOCUMENT, &p::THREAD, &p::CMS])
    .allows(OF_DRAFTS)
    .takes(BodyKind::Signature)
    .waits(Waits::ReadyChain(Operation::Save)),
    Route::of_tenant(
        Method::DELETE,
        "/signature",
        Scope::SignaturesDelete,
        signatures::delete,
    )
    .document_tokens(DocumentTokens::Bound)
    .conditional()
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .waits(Waits::ReadyChain(Operation::Delete)),
    Route::of_tenant(
        Method::GET,
        "/signature/versions",
        Scope::SignaturesRead,
        signatures::versions,
    )
    .document_tokens(DocumentTokens::Bound)
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .allows(&[&p::LIMIT, &p::CURSOR_OF_VERSIONS, &p::OMIT]),
    Route::of_tenant(
        Method::GET,
        "/signatures",
        Scope::SignaturesRead,
        list::list,
    )
    .waits(Waits::List)
    .document_tokens(DocumentTokens::Bound)
    .allows(&[
        &p::DOCUMENT,
        &p::CHAIN,
        &p::THREAD,
        &p::STAGE,
        &p::TAGS,
        &p::TAGS_MATCH,
        &p::SIGNER,
        &p::NOT_SIGNED_BY,
        &p::OVERALL,
        &p::CREATED_SINCE,
        &p::CREATED_UNTIL,
        &p::UPDATED_SINCE,
        &p::UPDATED_UNTIL,
        &p::ORDER,
        &p::DIRECTION,
        &p::FIELDS,
        &p::LIMIT,
        &p::OFFSET,
        &p::COUNT,
        &p::CURSOR,
        &p::OMIT,
    ]),
    Route::of_tenant_waiting(
        Method::POST,
        "/signatures",
        Scope::SignaturesWrite,
        many::save,
    )
    .document_tokens(DocumentTokens::Bound)
    .requires(&[&p::DOCUMENT, &p::THREAD, &p::CMS])
    .allows(OF_DRAFTS)
    .takes(BodyKind::Many),
    Route::of_tenant_waiting(
        Method::POST,
        "/signatures/get",
        Scope::SignaturesRead,
        many::get,
    )
    .document_tokens(DocumentTokens::Bound)
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .allows(&[&p::VERSION])
    .takes(BodyKind::Many),
    Route::of_tenant(
        Method::POST,
        "/signature/verify",
        Scope::SignaturesWrite,
        verdicts::record,
    )
    .document_tokens(DocumentTokens::Bound)
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .allows(&[&p::VERSION, &p::CONTENT, &p::CERTIFICATES])
    .takes(BodyKind::Signature),
    Route::of_tenant(
        Method::GET,
        "/signature/verdicts",
        Scope::SignaturesRead,
        verdicts::list,
    )
    .document_tokens(DocumentTokens::Bound)
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .allows(&[
        &p::VERSION_OF_VERDICTS,
        &p::LIMIT_OF_VERDICTS,
        &p::CURSOR_OF_VERDICTS,
    ]),
    Route::of_tenant(
        Method::POST,
        "/inspect",
        Scope::SignaturesRead,
        verdicts::inspect,
    )
    .document_tokens(DocumentTokens::Free)
    .requires(&[&p::CMS])
    .takes(BodyKind::Signature),
    Route::of_tenant(
        Method::POST,
        "/verify",
        Scope::SignaturesRead,
        verdicts::verify,
    )
    .document_tokens(DocumentTokens::Free)
    .requires(&[&p::CMS])
    .allows(&[&p::CONTENT, &p::CERTIFICATES])
    .takes(BodyKind::Signature),
    Route::of_operators(Method::GET, "/policy", Scope::PolicyRead, policy::get),
    Route::of_operators(Method::PATCH, "/policy", Scope::PolicyWrite, policy::update),
    Route::of_operators(
        Method::GET,
        "/trust-anchors",
        Scope::PolicyRead,
        policy::anchors,
    ),
    Route::of_operators(
        Method::POST,
        "/trust-anchors",
        Scope::PolicyWrite,
        policy::add_anchors,
    )
    .takes(BodyKind::Json),
    Route::of_operators(
        Method::GET,
        "/trust-anchors/{sha256}",
        Scope::PolicyRead,
        policy::anchor,
    ),
    Route::of_operators(
        Method::DELETE,
        "/trust-anchors/{sha256}",
        Scope::PolicyWrite,
        policy::remove_anchor,
    ),
    Route::of_operators(Method::GET, "/plugins", Scope::PluginsRead, plugins::list),
    Route::of_operators(
        Method::GET,
        "/plugins/{name}",
        Scope::PluginsRead,
        plugins::get,
    ),
    Route::of_operators(
        Method::PUT,
        "/plugins/{name}",
        Scope::PluginsWrite,
        plugins::put,
    )
    .takes(BodyKind::Component)
    .waits(Waits::SetUp),
    Route::of_operators(
        Method::DELETE,
        "/plugins/{name}",
        Scope::PluginsWrite,
        plugins::delete,
    ),
    Route::of_operators(
        Method::GET,
        "/plugins/{name}/revisions",
        Scope::PluginsRead,
        plugins::revisions,
    ),
    Route::of_operators(
        Method::GET,
        "/plugins/{name}/revisions/{sha256}",
        Scope::PluginsRead,
        plugins::revision,
    ),
    Route::of_operators(Method::GET, "/hooks", Scope::HooksRead, hooks::list),
    Route::of_operators(
        Method::PUT,
        "/hooks/order",
        Scope::HooksWrite,
        hooks::reorder,
    ),
    Route::of_operators(
        Method::POST,
        "/hooks/evaluate",
        Scope::HooksRead,
        trials::evaluate,
    )
    .takes(BodyKind::Json)
    .waits(Waits::Trial),
    Route::of_operators(
        Method::POST,
        "/hooks/backtest",
        Scope::HooksRead,
        trials::backtest,
    )
    .takes(BodyKind::Json)
    .waits(Waits::Trial),
    Route::of_operators(
        Method::GET,
        "/hooks/decisions",
        Scope::HooksRead,
        decisions::list,
    )
    .allows(&[
        &p::DOCUMENT,
        &p::THREAD,
        &p::HOOK,
        &p::BINDING,
        &p::REVISION,
        &p::SHADOW,
        &p::DIFFERS,
        &p::VERDICT,
        &p::CODE,
        &p::OUTCOME,
        &p::SUBJECT,
        &p::SINCE,
        &p::UNTIL,
        &p::CURSOR_OF_DECISIONS,
        &p::LIMIT_OF_DECISIONS,
    ]),
    Route::of_operators(
        Method::GET,
        "/hooks/decisions/{id}",
        Scope::HooksRead,
        decisions::get,
    ),
    Route::of_operators(
        Method::POST,
        "/hooks/decisions/{id}/replay",
        Scope::HooksRead,
        decisions::replay,
    )
    .waits(Waits::Trial),
    Route::of_operators(Method::GET, "/hooks/{name}", Scope::HooksRead, hooks::get),
    Route::of_operators(Method::PUT, "/hooks/{name}", Scope::HooksWrite, hooks::put)
        .conditional()
        .waits(Waits::SetUp),
    Route::of_operators(
        Method::DELETE,
        "/hooks/{name}",
        Scope::HooksWrite,
        hooks::delete,
    )
    .conditional(),
    Route::of_operators(
        Method::POST,
        "/hooks/{name}/rollback",
        Scope::HooksWrite,
        hooks::rollback,
    )
    .conditional()
    .allows(&[&p::TO])
    .waits(Waits::SetUp),
    Route::of_operators(
        Method::GET,
        "/hooks/{name}/bindings",
        Scope::HooksRead,
        bindings::list,
    )
    .allows(&[&p::CURSOR_OF_BINDINGS, &p::LIMIT_OF_BINDINGS]),
    Route::of_operators(
        Method::GET,
        "/hooks/{name}/bindings/{number}",
        Scope::HooksRead,
        bindings::get,
    ),
    Route::of_operators(
        Method::GET,
        "/hooks/{name}/bindings/{number}/diff",
        Scope::HooksRead,
        bindings::diff,
    )
    .allows(&[&p::OTHER_BINDING]),
    Route::of_operators(
        Method::GET,
        "/hooks/{name}/shadow",
        Scope::HooksRead,
        trials::shadow,
    )
    .allows(&[
        &p::BINDING_OF_SHADOW,
        &p::SINCE,
        &p::UNTIL,
        &p::CURSOR_OF_DECISIONS,
        &p::LIMIT_OF_SHADOW,
    ])
    .waits(Waits::Trial),
    Route::of_operators(
        Method::POST,
        "/hooks/{name}/release",
        Scope::HooksWrite,
        hooks::release,
    ),
    Route::of_operators(Method::GET, "/audit", Scope::AuditRead, audit::list).allows(&[
        &p::TENANT,
        &p::PLATFORM,
        &p::ACTOR,
        &p::ACTION,
        &p::TARGET,
        &p::REQUEST_ID,
        &p::SINCE,
        &p::UNTIL,
        &p::CURSOR_OF_EVENTS,
        &p::LIMIT_OF_EVENTS,
    ]),
    Route::of_operators(
        Method::GET,
        "/audit/verify",
        Scope::AuditRead,
        audit::verify,
    )
    .allows(&[&p::TENANT, &p::PLATFORM, &p::EXPECT, &p::KEYED])
    .waits(Waits::Check),
    Route::of_tenant(
        Method::GET,
        "/signature/proof",
        Scope::SignaturesRead,
        proof::prove,
    )
    .document_tokens(DocumentTokens::Bound)
    .names_tenant(NamesTenant::Maybe)
    .requires(&[&p::DOCUMENT, &p::THREAD])
    .allows(&[&p::VERSION, &p::FORMAT]),
    Route::of_operators(Method::GET, "/log", Scope::LogRead, log::show),
    Route::of_operators(Method::PATCH, "/log", Scope::LogWrite, log::update),
    Route::of_operators(Method::GET, "/log/keys", Scope::LogRead, log::keys),
    Route::of_operators(
        Method::GET,
        "/log/checkpoint",
        Scope::LogRead,
        log::checkpoint,
    )
    .allows(&[&p::WITNESSED]),
    Route::of_operators(Method::GET, "/log/tile/{tile}", Scope::LogRead, log::tile).with_tail(),
    Route::of_operators(
        Method::GET,
        "/log/epochs/{epoch}/checkpoint",
        Scope::LogRead,
        log::checkpoint_of_epoch,
    )
    .allows(&[&p::WITNESSED]),
    Route::of_operators(
        Method::GET,
        "/log/epochs/{epoch}/tile/{tile}",
        Scope::LogRead,
        log::tile_of_epoch,
    )
    .with_tail(),
    Route::of_operators(
        Method::GET,
        "/log/consistency",
        Scope::LogRead,
        log::consistency,
    )
    .requires(&[&p::FROM_SIZE])
    .allows(&[&p::TO_SIZE]),
    Route::of_operators(Method::GET, "/log/verify", Scope::LogRead, log::verify)
        .allows(&[&p::EXPECTED_LOG])
        .waits(Waits::Check),
    Route::of_operators(
        Method::GET,
        "/log/witnesses",
        Scope::LogRead,
        witnesses::list,
    ),
    Route::of_operators(
        Method::POST,
        "/log/witnesses",
        Scope::LogWrite,
        witnesses::add,
    ),
    Route::of_operators(
        Method::DELETE,
        "/log/witnesses",
        Scope::LogWrite,
        witnesses::remove,
    )
    .requires(&[&p::WITNESS]),
    Route::of_platform(Method::POST, "/log/keys", Scope::KeysWrite, log::rotate_key),
    Route::of_platform(
        Method::POST,
        "/log/reopen",
        Scope::TenantsWrite,
        log::reopen,
    )
    .names_tenant(NamesTenant::Maybe),
    Route::of_anybody(
        Method::GET,
        "/logs/{origin}/checkpoint",
        public_log::checkpoint,
    )
    .waits(Waits::PublicLog),
    Route::of_anybody(Method::GET, "/logs/{origin}/tile/{tile}", public_log::tile)
        .with_tail()
        .waits(Waits::PublicLog),
    Route::of_anybody(Method::GET, "/logs/{origin}/keys", public_log::keys).waits(Waits::PublicLog),
    Route::of_anybody(
        Method::GET,
        "/logs/{origin}/consistency",
        public_log::consistency,
    )
    .requires(&[&p::FROM_SIZE])
    .allows(&[&p::TO_SIZE])
    .waits(Waits::PublicLog),
    Route::of_followers("/events", Scope::EventsRead, events::list).allows(&[
        &p::AFTER,
        &p::LIMIT_OF_HAPPENINGS,
        &p::TYPES,
        &p::WAIT,
    ]),
    Route::of_followers("/events/stream", Scope::EventsRead, events::stream)
        .allows(&[&p::AFTER, &p::TYPES]),
    Route::of_operators(
        Method::GET,
        "/webhooks",
        Scope::WebhooksRead,
        webhooks::list,
    ),
    Route::of_operators(
        Method::POST,
        "/webhooks",
        Scope::WebhooksWrite,
        webhooks::create,
    ),
    Route::of_operators(
        Method::GET,
        "/webhooks/{id}",
        Scope::WebhooksRead,
        webhooks::get,
    ),
    Route::of_operators(
        Method::PATCH,
        "/webhooks/{id}",
        Scope::WebhooksWrite,
        webhooks::update,
    ),
    Route::of_operators(
        Method::DELETE,
        "/webhooks/{id}",
        Scope::WebhooksWrite,
        webhooks::delete,
    ),
    Route::of_operators(
        Method::POST,
        "/webhooks/{id}/rotate-secret",
        Scope::WebhooksWrite,
        webhooks::rotate_secret,
    ),
    Route::of_operators(
        Method::POST,
        "/webhooks/{id}/test",
        Scope::WebhooksWrite,
        webhooks::test,
    )
    .waits(Waits::Trial),
    Route::of_operators(
        Method::POST,
        "/webhooks/{id}/replay",
        Scope::WebhooksWrite,
        webhooks::replay,
    ),
    Route::of_operators(
        Method::GET,
        "/webhooks/{id}/attempts",
        Scope::WebhooksRead,
        webhooks::attempts,
    ),
    Route::of_platform(Method::GET, "/metrics", Scope::MetricsRead, health::metrics).watches(),
    Route::of_anybody(Method::GET, "/health/live", health::live)
        .waits(Waits::Never)
        .watches(),
    Route::of_anybody(Method::GET, "/health/ready", health::ready)
        .waits(Waits::Never)
        .watches(),
    Route::of_platform(Method::GET, "/tenants", Scope::TenantsRead, tenants::list).allows(&[
        &p::STATE,
        &p::LIMIT,
        &p::CURSOR_OF_TENANTS,
    ]),
    Route::of_platform(
        Method::POST,
        "/tenants",
        Scope::TenantsWrite,
        tenants::create,
    ),
    Route::of_platform(
        Method::GET,
        "/tenants/{name}",
        Scope::TenantsRead,
        tenants::get,
    ),
    Route::of_platform(
        Method::PATCH,
        "/tenants/{name}",
        Scope::TenantsWrite,
        tenants::update,
    ),
    Route::of_platform(
        Method::DELETE,
        "/tenants/{name}",
        Scope::TenantsWrite,
        tenants::delete,
    )
    .allows(&[&p::CONFIRM]),
    Route::of_platform(
        Method::POST,
        "/suspend",
        Scope::TenantsWrite,
        tenants::suspend,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::POST,
        "/resume",
        Scope::TenantsWrite,
        tenants::resume,
    )
    .names_tenant(NamesTenant::Always)
    .allows(&[&p::INCOMPLETE]),
    Route::of_platform(
        Method::GET,
        "/exports",
        Scope::TenantsTransfer,
        transfers::exports,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::POST,
        "/exports",
        Scope::TenantsTransfer,
        transfers::begin_export,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::GET,
        "/exports/{id}",
        Scope::TenantsTransfer,
        transfers::export,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::GET,
        "/exports/{id}/file",
        Scope::TenantsTransfer,
        transfers::file,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::DELETE,
        "/exports/{id}",
        Scope::TenantsTransfer,
        transfers::delete_export,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::GET,
        "/imports/{tenant}",
        Scope::TenantsTransfer,
        transfers::imports,
    ),
    Route::of_platform(
        Method::GET,
        "/imports/{tenant}/{sha256}",
        Scope::TenantsTransfer,
        transfers::import,
    ),
    Route::of_platform(
        Method::PUT,
        "/imports/{tenant}/{sha256}",
        Scope::TenantsTransfer,
        transfers::send,
    )
    .takes(BodyKind::Piece),
    Route::of_platform(
        Method::POST,
        "/imports/{tenant}/{sha256}",
        Scope::TenantsTransfer,
        transfers::begin_import,
    ),
    Route::of_platform(
        Method::DELETE,
        "/imports/{tenant}/{sha256}",
        Scope::TenantsTransfer,
        transfers::delete_import,
    ),
    Route::of_callers(Method::GET, "/whoami", whoami::get).document_tokens(DocumentTokens::Free),
    Route::of_operators(Method::GET, "/usage", Scope::TenantsRead, tenants::usage),
    Route::of_platform(Method::GET, "/keys", Scope::KeysWrite, keys::list)
        .allows(&[&p::LIMIT, &p::CURSOR_OF_KEYS])
        .names_tenant(NamesTenant::Maybe),
    Route::of_platform(Method::POST, "/keys", Scope::KeysWrite, keys::add)
        .names_tenant(NamesTenant::Maybe),
    Route::of_platform(Method::GET, "/keys/{name}", Scope::KeysWrite, keys::get)
        .allows(&[&p::ANYBODYS])
        .names_tenant(NamesTenant::Maybe),
    Route::of_platform(
        Method::POST,
        "/keys/{name}/revoke",
        Scope::KeysWrite,
        keys::revoke,
    )
    .allows(&[&p::ANYBODYS])
    .names_tenant(NamesTenant::Maybe),
    Route::of_platform(Method::GET, "/issuers", Scope::KeysWrite, issuers::list)
        .names_tenant(NamesTenant::Always),
    Route::of_platform(Method::POST, "/issuers", Scope::KeysWrite, issuers::add)
        .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::GET,
        "/issuers/{name}",
        Scope::KeysWrite,
        issuers::get,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::DELETE,
        "/issuers/{name}",
        Scope::KeysWrite,
        issuers::remove,
    )
    .names_tenant(NamesTenant::Always),
    Route::of_platform(
        Method::POST,
        "/issuers/{name}/refresh",
        Scope::KeysWrite,
        issuers::refresh,
    )
    .waits(Waits::Trial)
    .names_tenant(NamesTenant::Always),
    Route::of_platform(Method::POST, "/tokens", Scope::KeysWrite, keys::issue)
        .names_tenant(NamesTenant::Maybe),
    Route::of_anybody(Method::GET, "/.well-known/jwks.json", keys::published),
    Route::of_anybody(
        Method::GET,
        "/tenants/{name}/.well-known/jwks.json",
        keys::published,
    ),
    Route::of_anybody(Method::GET, "/openapi.json", docs::document),
    Route::of_anybody(Method::GET, "/docs", docs::page),
    Route::of_anybody(Method::GET, "/docs/{file}", docs::file),
    Route::of_anybody(Method::GET, "/docs/book", docs::book),
    Route::of_anybody(Method::GET, "/docs/book/{page}", docs::book_file).with_tail(),
];
