//! Schemas of JSON that is made without a type of its own. Tests hold them to the answers.

use utoipa::ToSchema;

/// A schema of JSON that is made without a type of its own.
macro_rules! object {
    ($($(#[$outer:meta])* $visibility:vis $name:ident { $($(#[$inner:meta])* $field:ident: $type:ty,)+ })+) => { $(
        $(#[$outer])*
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "it is a schema, of which there are no values")]
        $visibility struct $name { $($(#[$inner])* $field: $type,)+ }
    )+ };
}

object! {
    /// That the server lives.
    pub(in super::super) Live {
        /// True.
        #[schema(example = true)]
        live: bool,
    }

    /// That the server can do its work.
    pub(in super::super) Ready {
        /// True.
        #[schema(example = true)]
        ready: bool,
    }

    /// A JSON Web Key Set (RFC 7517 section 5).
    pub(in super::super) KeySet {
        /// JSON Web Keys of those key pairs that the server signs with.
        #[schema(example = json!([{"kty": "OKP", "crv": "Ed25519", "kid": "acme-1", "use": "sig", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]))]
        keys: Vec<serde_json::Value>,
    }
}
