//! Answers requests in this process.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use http::Request;
use sigpersist_model::error::Error;
use tokio::runtime::{Handle, Runtime};

use super::Streamed;
use crate::app::App;
use crate::http::{self as router, Server};

/// The server's own code in this process, whose only caller is the command line, perhaps as a tenant.
#[derive(Clone)]
pub(super) struct Local {
    runtime: Arc<Runtime>,
    server: Arc<Server>,
}

impl Local {
    pub(super) fn new(app: Arc<App>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("The asynchronous runtime can't be started")?;
        Ok(Self {
            runtime: Arc::new(runtime),
            server: Server::of_command_line(app),
        })
    }

    /// The same, acting as a tenant.
    pub(super) fn acting_as(&self, slug: &str) -> Result<Self, Error> {
        Ok(Self {
            runtime: Arc::clone(&self.runtime),
            server: self.server.acting_as(slug)?,
        })
    }

    pub(super) fn exchange(&self, request: Request<Bytes>) -> Streamed {
        let answered = router::answer(Arc::clone(&self.server), request);
        let handle = self.runtime.handle().clone();
        self.runtime.block_on(answered).map(|pieces| {
            let body = Body {
                handle,
                pieces: Box::pin(pieces),
                piece: Bytes::new(),
            };
            Box::new(body) as Box<dyn Read + Send>
        })
    }
}

/// The body of a response, read as it is made.
struct Body<S> {
    handle: Handle,
    pieces: Pin<Box<S>>,
    piece: Bytes,
}

impl<S: Stream<Item = io::Result<Bytes>>> Read for Body<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.handle.block_on(self.pieces.next()) {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
