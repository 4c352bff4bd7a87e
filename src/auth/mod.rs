//! Who may call: keys, tokens, and the encryption of secrets at rest. The only module that knows JSON Web Tokens.

mod authenticator;
pub mod key;
pub mod token;
mod vault;

pub use authenticator::Authenticator;
pub use key::no_master_key;
pub use vault::{Vault, random_bytes, random_name};
