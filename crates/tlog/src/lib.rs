//! Transparency logs: trees, tiles, notes, checkpoints and proofs, as the Community Cryptography Specification Project
//! (<https://c2sp.org>) describes them, and the entries of Sigpersist's own logs.
//!
//! A log is an append-only list of entries. With a signed checkpoint of it, anybody can verify offline that it includes an
//! entry, and that a later checkpoint continues it. Third-party tools read and verify everything but the text of the
//! entries, which is Sigpersist's own.
//!
//! The crate holds plain values: bytes in, values out. It does no I/O, knows no time, no database and no tenant, and
//! never judges whether a signature in the log is valid. No input that it reads makes it panic.
//!
//! # Where to read next
//!
//! - [`entry`] is the text that Sigpersist logs, and [`metadata`] the bytes that its seal hides.
//! - [`edge`] appends to a log. [`subtree`] makes roots and proofs of stored hashes, and [`verify`] verifies them.
//! - [`note`] is signed text, with its keys in [`key`]; [`checkpoint`] is a note about a log, [`cosignature`] a witness's
//!   signature of it, and [`witness`] the request for one. [`tlog_proof`] is a proof with its checkpoint in one file.
//! - [`tile`] names the parts in which a log is served.
//! - [`invalid`] is the error of all parsers and verifiers.

pub mod checkpoint;
pub mod cosignature;
pub mod edge;
pub mod entry;
pub mod hash;
pub mod invalid;
pub mod key;
pub mod kind;
pub mod metadata;
mod netstring;
pub mod note;
#[cfg(test)]
mod oracles;
pub mod subtree;
#[cfg(test)]
mod testing;
mod text;
pub mod tile;
pub mod tlog_proof;
pub mod verify;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use cosignature::{Cosignature, cosign, cosignatures, verify_cosignature};
pub use edge::{Edge, MAX_SIZE};
pub use entry::{Entry, MAX_REFS, seal};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, sha256};
pub use invalid::Invalid;
pub use key::{KeyKind, SigningKey, VerifierKey, is_key_name, key_id};
pub use kind::Kind;
pub use metadata::{
    Metadata, OwnedVersionMetadata, SALT_BYTES, Salt, VersionMetadata, is_like_metadata,
    other_blind, other_bytes,
};
pub use note::{Note, Signature};
pub use subtree::{
    ProofError, Stored, StoredRange, consistency_proof, edge_ranges, inclusion_proof, root,
};
pub use tile::{TileContent, TilePath, entry_bundle, read_entry_bundle};
pub use tlog_proof::TlogProof;
pub use verify::{verify_consistency, verify_inclusion};
pub use witness::{AddCheckpoint, read_answer, read_size};
