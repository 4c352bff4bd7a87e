//! The HTTP side, on warp: all routes on one page, and what every one of them shares.
//!
//! Warp matches nothing by itself here. Its rejections mean "try another route", so it could neither name the methods
//! that a path answers, nor dress every error in the contract's envelope; a table can, and the tests walk it.
//!
//! - `server` accepts connections and stops gracefully; `respond` is the path of a request through this module.
//! - `auth` finds out who asks; `body` and `parameters` read what is asked; `preconditions` what must hold.
//! - `signatures` has the handlers; `reply` and `error` dress what they return.

mod auth;
mod body;
mod error;
mod parameters;
mod preconditions;
mod reply;
mod respond;
mod server;
mod signatures;

use http::Method;

use crate::context::Scope;
use crate::error::Result;
use crate::plugins::Operation;
use reply::Reply;
use respond::Call;

pub use server::serve;

/// A route: what it answers, to whom, and who judges it first.
#[derive(Debug)]
pub struct Route {
    /// The method; HEAD is answered wherever GET is.
    pub method: Method,
    /// The whole path.
    pub path: &'static str,
    /// What the caller's token must allow.
    pub scope: Scope,
    judged: Option<Operation>,
    /// Runs on a thread that may block.
    handler: fn(Call) -> Result<Reply>,
}

/// All routes of the server.
pub static ROUTES: [Route; 5] = [
    Route {
        method: Method::GET,
        path: "/signature",
        scope: Scope::SignaturesRead,
        judged: None,
        handler: signatures::get,
    },
    Route {
        method: Method::POST,
        path: "/signature",
        scope: Scope::SignaturesWrite,
        judged: Some(Operation::Save),
        handler: signatures::post,
    },
    Route {
        method: Method::DELETE,
        path: "/signature",
        scope: Scope::SignaturesDelete,
        judged: Some(Operation::Delete),
        handler: signatures::delete,
    },
    Route {
        method: Method::GET,
        path: "/signature/versions",
        scope: Scope::SignaturesRead,
        judged: None,
        handler: signatures::versions,
    },
    Route {
        method: Method::GET,
        path: "/signatures",
        scope: Scope::SignaturesRead,
        judged: None,
        handler: signatures::list,
    },
];
