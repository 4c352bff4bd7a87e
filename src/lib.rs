//! Sigpersist stores the electronic signatures of documents. It is a multi-tenant server that keeps every version, and
//! runs WebAssembly hooks on each before it is saved.
//!
//! The path of a request: [`http`] reads it and authenticates the caller; a use-case of [`signatures`] runs the
//! tenant's [`hooks`] and calls the [`store`]; `http` writes the response. Each heavy technology has one home:
//!
//! | module | home of |
//! | --- | --- |
//! | [`http`] | warp |
//! | [`auth`] | JSON Web Tokens, encryption at rest |
//! | [`hooks`] | wasmtime |
//! | [`store`] | Diesel, r2d2, Postgres |
//! | [`signatures`], [`policy`], [`tenants`], [`plugins`], [`decisions`], [`trials`], [`audit`], [`transfer`] | the use-cases, in plain Rust |
//! | [`sigpersist_verify`], [`cache`], [`digest`], [`context`], [`error`], [`config`], [`time`], [`turns`] | the basics that all others may use |
//! | [`cli`] | the command line |
//! | [`app`] | the wiring of the parts |

pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod decisions;
pub mod hooks;
pub mod http;
pub mod plugins;
pub mod policy;
pub mod signatures;
pub mod store;
pub mod telemetry;
pub mod tenants;
pub mod transfer;
pub mod trials;
