//! Lists, read page by page.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::client::Client;
use crate::error::Error;
use crate::request::Request;
use crate::types::{Signature, SignaturePage};

type Reading = Pin<Box<dyn Future<Output = Result<SignaturePage, Error>> + Send>>;

/// All signatures of a list, which are read page by page. Call [`Self::next`] in a loop, or use it as a [`Stream`]. It ends after
/// an error.
pub struct Pages {
    client: Client,
    /// The request of the next page; none after the last.
    request: Option<Request>,
    first: Request,
    reading: Option<Reading>,
    read: VecDeque<Signature>,
}

impl Pages {
    pub(crate) fn new(client: Client, request: Request) -> Self {
        Self {
            client,
            request: Some(request.clone()),
            first: request,
            reading: None,
            read: VecDeque::new(),
        }
    }

    /// The next signature; none at the end.
    ///
    /// # Errors
    ///
    /// Whatever the server refuses.
    pub async fn next(&mut self) -> Result<Option<Signature>, Error> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
            .await
            .transpose()
    }

    /// All that are left.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub async fn all(mut self) -> Result<Vec<Signature>, Error> {
        let mut all = Vec::new();
        while let Some(signature) = self.next().await? {
            all.push(signature);
        }
        Ok(all)
    }
}

impl Stream for Pages {
    type Item = Result<Signature, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(signature) = self.read.pop_front() {
                return Poll::Ready(Some(Ok(signature)));
            }
            if self.reading.is_none() {
                let Some(request) = self.request.take() else {
                    return Poll::Ready(None);
                };
                let client = self.client.clone();
                self.reading = Some(Box::pin(
                    async move { client.0.send(&request).await?.content() },
                ));
            }
            let Some(reading) = &mut self.reading else {
                continue;
            };
            let page = match reading.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(page) => page,
            };
            self.reading = None;
            match page {
                Ok(page) => {
                    let first = &self.first;
                    self.request = page.next.map(|next| first.clone().with("cursor", next));
                    self.read = page.signatures.into();
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}
