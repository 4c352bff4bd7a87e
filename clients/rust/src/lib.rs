#![doc = include_str!("../README.md")]

mod client;
mod connector;
mod draft;
mod error;
mod events;
mod file;
mod many;
mod pages;
mod request;
mod retry;
mod token;
mod transport;
mod types;
mod url;
mod webhook;

pub use client::{Client, ClientBuilder, Filter};
pub use draft::{Cms, Draft};
pub use error::{Details, Error, Refusal, retry_after};
pub use events::{After, Events, Following};
pub use file::StoredFile;
pub use pages::Pages;
pub use token::{TenantKey, Token};
pub use transport::{Lost, Received, Transport, TransportBuilder, TransportError};
pub use types::{
    Event, EventPage, Evidence, HookRejection, RefusedSigner, Saved, Signature, SignaturePage,
};
pub use url::ServerUrl;
pub use webhook::{Webhook, WebhookCall, WebhookError};

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;
