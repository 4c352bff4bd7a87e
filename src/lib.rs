//! Sigpersist stores the electronic signatures of documents: a multi-tenant server that keeps every version, judged by
//! WebAssembly hooks before it is saved.
//!
//! The path of a request: [`http`] reads it and finds out who asks; a use-case of [`signatures`] lets the tenant's
//! [`hooks`] judge it and asks the [`store`]; `http` dresses the result. Each heavy technology has one home:
//!
//! | module | knows |
//! | --- | --- |
//! | [`http`] | warp |
//! | [`auth`] | JSON Web Tokens, encryption at rest |
//! | [`hooks`] | wasmtime |
//! | [`store`] | Diesel, r2d2, Postgres |
//! | [`signatures`], [`policy`], [`tenants`], [`plugins`], [`decisions`], [`trials`], [`audit`], [`transfer`] | the use-cases, in plain Rust |
//! | [`sigpersist_verify`], [`cache`], [`digest`], [`context`], [`error`], [`config`], [`time`], [`turns`] | nobody else |
//! | [`cli`] | the command line |
//! | [`app`] | how the parts are wired together |

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
