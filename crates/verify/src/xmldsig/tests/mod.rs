//! Tests of whole documents, sorted by topic.

mod archive;
mod around;
mod canonical;
mod forged;
mod given;
mod hostile;
mod kinds;
mod methods;
pub(crate) mod signer;
mod transforms;
mod unsigned;
mod vectors;
mod wrapped;
