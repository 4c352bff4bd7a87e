//! Schemas of JSON that is built without a Rust type. Tests compare them with the responses.

use utoipa::ToSchema;

/// Declares schemas of JSON that is built without a Rust type.
macro_rules! object {
    ($($(#[$outer:meta])* $visibility:vis $name:ident { $($(#[$inner:meta])* $field:ident: $type:ty,)+ })+) => { $(
        $(#[$outer])*
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "it is a schema, of which there are no values")]
        $visibility struct $name { $($(#[$inner])* $field: $type,)+ }
    )+ };
}

object! {
    /// The server is alive.
    pub(in super::super) Live {
        /// True.
        #[schema(example = true)]
        live: bool,
    }

    /// The server is ready.
    pub(in super::super) Ready {
        /// True.
        #[schema(example = true)]
        ready: bool,
    }

    /// A JSON Web Key Set (RFC 7517 section 5).
    pub(in super::super) KeySet {
        /// The public keys of key pairs with which the server signs tokens.
        #[schema(example = json!([{"kty": "OKP", "crv": "Ed25519", "kid": "acme-1", "use": "sig", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]))]
        keys: Vec<serde_json::Value>,
    }
}
