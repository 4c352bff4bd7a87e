//! Authentication: keys, tokens, and the encryption of secrets at rest. The only module that knows JSON Web Tokens.

pub mod algorithm;
mod authenticator;
mod decoy;
pub mod envelope;
mod forgery;
mod given_key;
pub mod key;
pub mod key_set;
pub mod key_sets;
pub mod public_key;
pub mod token;

pub use authenticator::{Authenticator, Loaded, Step};
pub use given_key::GivenKey;
pub use key::no_master_key;
