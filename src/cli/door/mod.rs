//! The door to the API. Each command is a request of the API: the server that `--server` names answers it, or without
//! one this process, on the database that the configuration names.
//!
//! - `request` builds requests and reads answers. `refusal` is the error of a request that failed, with what to do next.
//! - `local` answers in this process, as the command line. `remote` asks a server, as the owner of a token.
//! - `server` has the options that name a server; `tokens` keeps the tokens of `sigpersist login`.

mod local;
mod refusal;
mod remote;
mod request;
mod server;
mod tokens;

use std::io::Read;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response};
use sigpersist_client::ServerUrl;
use sigpersist_model::view::CallerView;

use crate::app::App;
use local::Local;
use remote::Remote;

pub(super) use refusal::{Refusal, Unreachable};
pub(super) use request::Request;
pub(super) use server::ServerOptions;
pub(super) use tokens::Tokens;

/// A response whose body is still to be read.
type Streamed = Response<Box<dyn Read + Send>>;

/// Answers requests.
pub(super) struct Door {
    way: Way,
    /// The tenant that it acts as.
    tenant: Option<String>,
}

#[derive(Clone)]
enum Way {
    Local(Local),
    Remote(Arc<Remote>),
}

impl From<Way> for Door {
    fn from(way: Way) -> Self {
        Self { way, tenant: None }
    }
}

impl Door {
    /// Answers in this process.
    pub(super) fn local(app: Arc<App>) -> anyhow::Result<Self> {
        Local::new(app).map(Way::Local).map(Self::from)
    }

    /// Asks the server that the options name; none if they name none.
    pub(super) fn remote(
        options: &ServerOptions,
        has_data_dir: bool,
    ) -> anyhow::Result<Option<Self>> {
        let Some(address) = options.address(has_data_dir)? else {
            return Ok(None);
        };
        let token = options.token(&address)?;
        Self::with_token(options, address, &token).map(Some)
    }

    /// Asks a server with this token.
    pub(super) fn with_token(
        options: &ServerOptions,
        address: ServerUrl,
        token: &str,
    ) -> anyhow::Result<Self> {
        let remote = Remote::new(options, address, token)?;
        Ok(Way::Remote(Arc::new(remote)).into())
    }

    /// The same door for the routes of a tenant's applications, whose paths name no tenant. In this process, the command
    /// line acts as that tenant; a server is asked whether the token is one of that tenant.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the tenant does not exist or is suspended, a sentence if the token is somebody else's, and the errors
    /// of a request.
    pub(super) fn acting_as(&self, slug: &str) -> anyhow::Result<Self> {
        let way = match &self.way {
            Way::Local(local) => match local.acting_as(slug) {
                Ok(local) => Way::Local(local),
                Err(error) => return Err(Refusal::of_tenant(error, slug).into()),
            },
            Way::Remote(_) => {
                let caller: CallerView = self.get(&["whoami"]).member("caller")?;
                let own = caller.tenant.as_deref();
                ensure!(
                    own == Some(slug),
                    "{}, but signatures are read and saved with a token of their tenant. Give one of `{slug}`, as `sigpersist token issue {slug}` prints it.",
                    match own {
                        Some(other) => format!("The token is of the tenant `{other}`"),
                        None => "The token is of the platform".to_owned(),
                    }
                );
                self.way.clone()
            }
        };
        let tenant = Some(slug.to_owned());
        Ok(Self { way, tenant })
    }

    /// Reads what is at this path, which is given by its segments.
    pub(super) fn get(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::GET, path)
    }

    /// Posts to this path.
    pub(super) fn post(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::POST, path)
    }

    /// Puts to this path.
    pub(super) fn put(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::PUT, path)
    }

    /// Changes what is at this path.
    pub(super) fn patch(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::PATCH, path)
    }

    /// Deletes what is at this path.
    pub(super) fn delete(&self, path: &[&str]) -> Request<'_> {
        Request::new(self, Method::DELETE, path)
    }

    fn exchange(&self, request: HttpRequest<Bytes>) -> anyhow::Result<Streamed> {
        match &self.way {
            Way::Local(local) => Ok(local.exchange(request)),
            Way::Remote(remote) => remote.exchange(&request),
        }
    }
}
