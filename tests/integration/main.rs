//! One binary: a real Postgres, a real server on a port of its own for each test, and a real HTTP client.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that panics has failed, as it should"
)]

mod admin_page;
mod architecture;
mod arrivals;
mod audit;
mod auth;
mod bodies;
mod book;
mod command_line;
mod compiled;
mod compiling;
mod connections;
mod cors;
mod cors_of_tenants;
mod crashes;
mod decision_filters;
mod decisions;
mod delete;
mod digests;
mod document_tokens;
mod door;
mod embedded;
mod enforced;
mod english;
mod envelope;
mod events;
mod evidence;
mod failover;
mod faults;
mod files;
mod heads;
mod health;
mod history;
mod hook_verdicts;
mod hooks;
mod hostile;
mod isolation;
mod keys;
mod keys_travel;
mod languages;
mod list;
mod log;
mod log_travels;
mod login;
mod many;
mod master_key;
mod memory;
mod migrations;
mod new_plugins;
mod older_keys;
mod openapi;
mod operators;
mod overload;
mod pages;
mod plans;
mod plugin_commands;
mod plugin_failures;
mod plugins;
mod policy;
mod postgres_replaced;
mod postgres_upgrade;
mod public_logs;
mod publishers;
mod quarantine;
mod quotas;
mod races;
mod read;
mod reference;
mod refusals;
mod registries;
mod removal;
mod row_security;
mod rust_client;
mod save;
mod schema;
mod seals;
mod searches;
mod shadows;
mod signature_commands;
mod slow_clients;
mod snapshots;
mod streamed;
mod support;
mod tenant_commands;
mod tenants;
mod together;
mod tokens;
mod traces;
mod trail;
mod transfer;
mod trials;
mod usage;
mod vectors;
mod verify;
mod versions;
mod webhooks;
mod witnesses;
