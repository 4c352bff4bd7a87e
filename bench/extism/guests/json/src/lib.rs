//! The work of `../typed` as a plugin for Extism: the whole input comes as JSON, and the answer is JSON too.

use extism_pdk::{Error, FnResult, config, plugin_fn};
use serde::{Deserialize, Serialize};

/// The contract's records, with the signature itself if the host pushes it.
#[derive(Deserialize)]
#[expect(dead_code, reason = "a tagger gets what it does not need, too")]
struct Input {
    tenant: String,
    request_id: String,
    subject: Option<String>,
    scopes: Vec<String>,
    now_ms: u64,
    document: String,
    thread: String,
    version: u32,
    stage: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    tags: Vec<String>,
    size: u64,
    sha256: String,
    format: String,
    signature: Option<String>,
}

#[derive(Serialize)]
struct Changes {
    set: Vec<String>,
    remove: Vec<String>,
}

#[plugin_fn]
pub fn tag(input: String) -> FnResult<String> {
    let input: Input = serde_json::from_str(&input)?;
    let settings = config::get("settings")?.ok_or_else(|| Error::msg("no settings"))?;
    let size = if settings.contains("\"read\":true") {
        input.signature.map_or(0, |signature| signature.len())
    } else {
        0
    };
    let by = input.created_by.unwrap_or_default();
    let changes = Changes { set: vec![format!("by:{by}"), format!("size:{size}")], remove: Vec::new() };
    Ok(serde_json::to_string(&changes)?)
}
