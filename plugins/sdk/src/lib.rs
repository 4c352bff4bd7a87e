//! Kit for writing Sigpersist plugins in Rust.
//!
//! A plugin is a type that is deserialized from its settings. It implements a trait for each question that it answers:
//! [`Tagger`], [`SaveValidator`], [`DeleteValidator`]. [`plugin!`] makes a component of it.
//!
//! ```
//! use serde::Deserialize;
//! use sigpersist_plugin::{Acceptance, Plugin, Rejection, Save, SaveValidator};
//!
//! /// Refuses signatures over a size.
//! #[derive(Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct MaxSize {
//!     bytes: u64,
//! }
//!
//! impl Default for MaxSize {
//!     fn default() -> Self {
//!         Self { bytes: 100_000 }
//!     }
//! }
//!
//! impl Plugin for MaxSize {
//!     const SUMMARY: &str = "Refuses signatures over a size";
//! }
//!
//! impl SaveValidator for MaxSize {
//!     fn validate_save(&self, save: &Save) -> Result<Acceptance, Vec<Rejection>> {
//!         if save.draft.size > self.bytes {
//!             let message = format!("The signature has more than {} bytes.", self.bytes);
//!             return Err(vec![Rejection::new("too-large", message).at("/cms")]);
//!         }
//!         Ok(Acceptance::default())
//!     }
//! }
//!
//! sigpersist_plugin::plugin!(MaxSize: SaveValidator);
//!
//! // `cargo test` needs neither WebAssembly nor a server:
//! use sigpersist_plugin::{Signature, configure};
//! let small = configure::<MaxSize>(r#"{"bytes": 3}"#).unwrap();
//! assert!(small.validate_save(&Save::new(Signature::default()).with_payload("abc")).is_ok());
//! assert!(small.validate_save(&Save::new(Signature::default()).with_payload("abcd")).is_err());
//! assert_eq!(configure::<MaxSize>(r#"{"bytes": "3"}"#).err().unwrap().field, "/bytes");
//! ```

#![expect(
    unsafe_code,
    reason = "an allocator, and the glue of the generated bindings"
)]

mod arena;
#[doc(hidden)]
pub mod bindings;
mod panics;
mod records;
mod requests;
mod settings;

use serde::de::DeserializeOwned;

pub use arena::Arena;
pub use bindings::lifecycle::exports::sigpersist::hooks::lifecycle::Issue;
pub use bindings::sigpersist::hooks::cms::{
    Algorithm, Certificate, InspectError, Inspection, IssuerAndSerial, Name, NameAttribute, Signer,
    SignerIdentifier,
};
pub use bindings::sigpersist::hooks::log::Level;
pub use bindings::sigpersist::hooks::types::{
    Acceptance, Attribute, Context, Format, Rejection, Signature,
};
pub use bindings::sigpersist::hooks::verdicts::{
    ApartFromContent, Countersigner, Indication, JudgedSigner, Judgement, Revocation, Verdict,
};
pub use bindings::tagger::exports::sigpersist::hooks::tagger::Changes;
pub use requests::{Delete, Previous, Save};
pub use settings::configure;
use settings::configured;

/// A plugin: a value deserialized from the hook's settings, once for each call.
///
/// It must be possible to deserialize it from `{}`, for hooks without settings. If `Deserialize` fails, the person who
/// sets the settings gets the error with its JSON pointer. So check settings by their types, such as a parsed pattern,
/// which can't hold a mistake.
pub trait Plugin: DeserializeOwned {
    /// Purpose of the plugin, in one line.
    const SUMMARY: &'static str;
}

/// Called first before a save, in the order of the hooks. Later hooks see the tags that earlier ones left.
pub trait Tagger: Plugin {
    /// Returns the tags to set and to remove.
    ///
    /// # Errors
    ///
    /// Reason why the save is refused.
    fn tag(&self, save: &Save) -> Result<Changes, Rejection>;
}

/// Called before a save, after all taggers, on the final tags.
pub trait SaveValidator: Plugin {
    /// Accepts a save, with warnings and annotations if there are any.
    ///
    /// # Errors
    ///
    /// All reasons why the save is refused.
    fn validate_save(&self, save: &Save) -> Result<Acceptance, Vec<Rejection>>;
}

/// Called before a delete, with the current version of the thread.
pub trait DeleteValidator: Plugin {
    /// Accepts a delete, with warnings and annotations if there are any.
    ///
    /// # Errors
    ///
    /// All reasons why the delete is refused.
    fn validate_delete(&self, delete: &Delete) -> Result<Acceptance, Vec<Rejection>>;
}

/// Writes a line to the server's log. In tests on the host it goes to the standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    bindings::sigpersist::hooks::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Makes a component of a plugin. Exports the functions of the named traits, and installs the [`Arena`] as the
/// allocator. If the plugin panics, its author reads the message and the place in the failure of the hook.
///
/// ```ignore
/// sigpersist_plugin::plugin!(MyPlugin: Tagger, SaveValidator, DeleteValidator);
/// ```
#[macro_export]
macro_rules! plugin {
    ($plugin:ident: $($judge:ident),+ $(,)?) => {
        const _: () = {
            #[cfg(target_arch = "wasm32")]
            #[global_allocator]
            static ALLOCATOR: $crate::Arena = $crate::Arena::new();
        };
        $crate::bindings::lifecycle::export_lifecycle!($plugin with_types_in $crate::bindings::lifecycle);
        $($crate::plugin!(@export $judge $plugin);)+
    };
    (@export Tagger $plugin:ident) => {
        $crate::bindings::tagger::export_tagger!($plugin with_types_in $crate::bindings::tagger);
    };
    (@export SaveValidator $plugin:ident) => {
        $crate::bindings::save_validator::export_save_validator!($plugin with_types_in $crate::bindings::save_validator);
    };
    (@export DeleteValidator $plugin:ident) => {
        $crate::bindings::delete_validator::export_delete_validator!($plugin with_types_in $crate::bindings::delete_validator);
    };
    (@export $other:ident $plugin:ident) => {
        compile_error!(concat!("`", stringify!($other), "` is none of Tagger, SaveValidator, DeleteValidator"));
    };
}
