//! Sigpersist stores the electronic signatures of documents. It is a multi-tenant server that keeps every version, and
//! runs WebAssembly hooks on each before it is saved.
//!
//! The path of a request: [`http`] reads it and authenticates the caller with [`auth`]; a use-case of [`signatures`] runs
//! the tenant's hooks and calls the store; `http` writes the response. Begin with [`signatures::save`].
//!
//! | place | home of |
//! | --- | --- |
//! | [`http`] | warp: routes, bodies, answers, the OpenAPI document |
//! | [`auth`] | JSON Web Tokens |
//! | [`signatures`], [`policy`], [`tenants`], [`issuers`], [`plugins`], [`decisions`], [`trials`], [`audit`], [`transfer`] | the use-cases, in plain Rust |
//! | [`log`], [`events`], [`webhooks`] | what happened to a tenant, proven and told |
//! | [`spool`] | exports and imports in progress, with their files |
//! | [`cli`] | the command line: requests of the API, answered in the process or by a server |
//! | [`book`] | the documentation, rendered |
//! | [`app`], [`config`], [`telemetry`] | the wiring of the parts, settings, logs and traces |
//! | [`publishers`] | minisign: who may have signed plugins |
//! | [`sigpersist_hooks`] | wasmtime |
//! | [`sigpersist_store`], [`sigpersist_postgres`] | Diesel, r2d2, and Postgres itself |
//! | [`sigpersist_runtime`] | blocking work, permits, caches, metrics, the vault |
//! | [`sigpersist_model`], [`sigpersist_verify`], [`sigpersist_tlog`] | the nouns and errors, the verification of signatures, transparency logs |
//!
//! `CONTRIBUTING.md` in the repository says how to run one test, and which files a new route, noun, table, setting,
//! command or host function touches.

pub mod app;
pub mod audit;
pub mod auth;
pub mod book;
mod caches;
pub mod cli;
pub mod config;
pub mod decisions;
pub mod events;
pub mod http;
pub mod issuers;
pub mod log;
pub mod plugins;
pub mod policy;
pub mod publishers;
pub mod signatures;
pub mod spool;
pub mod telemetry;
pub mod tenants;
pub mod transfer;
pub mod trials;
mod waiters;
pub mod webhooks;
