//! Schemas of JSON that is made without a type of its own. Tests hold them to the answers.

use utoipa::ToSchema;

use super::texts::{
    Format, Indication, JudgedBy, KeyUsage, Level, RevocationStatus, Sha256, SubIndication, Time,
};

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

    /// What a signature says of itself; after it was verified, also whether it holds.
    pub(in super::super) Inspection {
        /// What it is, or looks like.
        format: Format,
        /// Bytes of the signature.
        #[schema(example = 1843)]
        size: u64,
        /// SHA-256 of those bytes.
        #[schema(value_type = Sha256)]
        sha256: String,
        /// Why it can't be read or verified; null where it can.
        #[schema(example = json!(null))]
        problem: Option<String>,
        /// Those who signed, each as CMS or XML tells of them.
        signers: Vec<Signer>,
        /// CMS: whether what is signed is elsewhere.
        #[schema(example = false)]
        detached: Option<bool>,
        /// CMS: the object identifier of what kind of content is signed.
        #[schema(example = "1.2.840.113549.1.7.1")]
        content_type: Option<String>,
        /// CMS: bytes of the content; null where it is elsewhere.
        #[schema(example = 5)]
        content_size: Option<u64>,
        /// CMS: SHA-256 of the content; null where it is elsewhere.
        #[schema(example = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")]
        content_sha256: Option<String>,
        /// How many certificates are in it.
        #[schema(example = 1)]
        certificates: Option<u64>,
        /// How many revocation lists and OCSP answers are in it.
        #[schema(example = 0)]
        revocations: Option<u64>,
    }

    /// One who signed.
    Signer {
        /// How the signature names its signer's certificate.
        identifier: SignerIdentifier,
        /// Its certificate; null where it is not in the signature.
        certificate: Option<Certificate>,
        /// What the signed bytes were digested with.
        digest_algorithm: Algorithm,
        /// What the digest was signed with.
        signature_algorithm: Algorithm,
        /// When the signer says to have signed.
        signing_time: Option<Time>,
        /// CMS: the time of its first time stamp.
        timestamp: Option<Time>,
        /// CMS: the level of its signature.
        level: Option<Level>,
        /// CMS: those who signed this signature.
        #[schema(no_recursion, example = json!([]))]
        countersignatures: Option<Vec<Signer>>,
        /// XML: the URI of its signature algorithm.
        #[schema(example = json!(null))]
        signature_method: Option<String>,
        /// XML: whether it signs something outside of the document.
        #[schema(example = json!(null))]
        detached: Option<bool>,
        /// XML: whether what is signed is inside of the signature.
        #[schema(example = json!(null))]
        encloses: Option<bool>,
        /// XML: whether identifiers are there more than once, so that it is open what they mean.
        #[schema(example = json!(null))]
        duplicate_ids: Option<bool>,
        /// XML: how many time stamps it has.
        #[schema(example = json!(null))]
        timestamps: Option<u64>,
        /// XML: what it signs.
        #[schema(example = json!(null))]
        references: Option<Vec<Reference>>,
        /// Whether it holds; only after it was verified.
        verdict: Option<SignatureVerdict>,
    }

    /// How a signature names its signer's certificate.
    SignerIdentifier {
        /// CMS: who vouches for it (RFC 4514).
        #[schema(example = "CN=Test CA")]
        issuer: Option<String>,
        /// CMS: its serial number, in hexadecimal.
        #[schema(example = "01")]
        serial: Option<String>,
        /// CMS: the identifier of its key instead, in hexadecimal.
        #[schema(example = json!(null))]
        key: Option<String>,
        /// XML: the `Id` of the signature.
        #[schema(example = json!(null))]
        id: Option<String>,
    }

    /// A certificate (RFC 5280).
    Certificate {
        /// Whose it is.
        subject: Name,
        /// Who vouches for it.
        issuer: Name,
        /// Its serial number, in hexadecimal.
        #[schema(example = "01")]
        serial: String,
        /// From when on it is valid.
        not_before: Option<Time>,
        /// Until when it is valid.
        not_after: Option<Time>,
        /// SHA-256 of it.
        #[schema(value_type = Sha256)]
        sha256: String,
        /// The kind of its key.
        public_key_algorithm: Algorithm,
        /// What its key is for.
        #[schema(example = json!(["digitalSignature", "nonRepudiation"]))]
        key_usages: Vec<KeyUsage>,
        /// The object identifiers of what else it is for.
        #[schema(example = json!(["1.2.398.3.3.4.1.1"]))]
        extended_key_usages: Vec<String>,
        /// The individual's number (IIN).
        #[schema(example = "123456789011")]
        iin: Option<String>,
        /// The organisation's number (BIN).
        #[schema(example = "123456789021")]
        bin: Option<String>,
        /// What its holder is, of what the Kazakh authority tells by extended key usages.
        #[schema(example = json!(["individual"]))]
        roles: Vec<String>,
    }

    /// A distinguished name.
    Name {
        /// As RFC 4514 writes it.
        #[schema(example = "CN=АХМЕТОВА АЙГЕРІМ,serialNumber=IIN123456789011")]
        rfc4514: String,
        /// Attribute by attribute.
        attributes: Vec<Attribute>,
    }

    /// An attribute of a name.
    Attribute {
        /// Its object identifier.
        #[schema(example = "2.5.4.5")]
        oid: String,
        /// Its short name, where it has one.
        #[schema(example = "serialNumber")]
        name: Option<String>,
        /// Its value.
        #[schema(example = "IIN123456789011")]
        value: String,
    }

    /// An algorithm.
    Algorithm {
        /// Its object identifier, or in XML its URI.
        #[schema(example = "2.16.840.1.101.3.4.2.1")]
        oid: String,
        /// Its name, where it is known.
        #[schema(example = "SHA-256")]
        name: Option<String>,
    }

    /// Something that an XML signature signs.
    Reference {
        /// Its URI.
        #[schema(example = "")]
        uri: Option<String>,
        /// What that is, in words.
        #[schema(example = "the whole document but for all signatures in it")]
        covers: String,
        /// URIs of what is done to it first.
        #[schema(example = json!(["http://www.w3.org/2000/09/xmldsig#enveloped-signature"]))]
        transforms: Vec<String>,
        /// The URI of its digest's algorithm.
        #[schema(example = "http://www.w3.org/2001/04/xmlenc#sha256")]
        digest_method: String,
    }

    /// Whether a signature holds (ETSI EN 319 102-1 section 5.1.3).
    SignatureVerdict {
        /// What it comes to.
        indication: Indication,
        /// Why it did not pass.
        #[schema(example = json!(null))]
        sub_indication: Option<SubIndication>,
        /// The same in a sentence.
        #[schema(example = "The signature holds.")]
        explanation: String,
        /// Whether what was signed is unchanged; null where that can't be told.
        #[schema(example = true)]
        intact: Option<bool>,
        /// When the signer says to have signed.
        claimed_time: Option<Time>,
        /// By when it was surely signed.
        proven_time: Option<Time>,
        /// The time at which certificates were judged.
        judged_time: Option<Time>,
        /// Why at that time.
        judged_by: JudgedBy,
        /// SHA-256 of each certificate, from the signer's to the one that is trusted; empty where no chain was found.
        chain: Vec<Sha256>,
        /// Whether its certificate was revoked.
        revocation: Revocation,
    }

    /// Whether a certificate was revoked.
    Revocation {
        /// What is known.
        status: RevocationStatus,
        /// Good: when that was so.
        as_of: Option<Time>,
        /// Revoked: since when.
        since: Option<Time>,
    }

    /// What is kept of a verification.
    pub(in super::super) Summary {
        /// What it is, or looks like.
        format: Format,
        /// Why it can't be read or verified; null where it can.
        #[schema(example = json!(null))]
        problem: Option<String>,
        /// How many signers there was no room for.
        #[schema(example = 0)]
        left_out: u64,
        /// Those who signed.
        signers: Vec<SignerSummary>,
    }

    /// What is kept of one who signed.
    SignerSummary {
        /// Whose certificate it is (RFC 4514).
        #[schema(example = "CN=АХМЕТОВА АЙГЕРІМ,serialNumber=IIN123456789011")]
        subject: Option<String>,
        /// SHA-256 of the certificate.
        #[schema(value_type = Option<Sha256>)]
        sha256: Option<String>,
        /// The individual's number (IIN).
        #[schema(example = "123456789011")]
        iin: Option<String>,
        /// The organisation's number (BIN).
        #[schema(example = "123456789021")]
        bin: Option<String>,
        /// Whether it holds.
        verdict: Option<SignatureVerdict>,
        /// XML: what its references cover, in words.
        #[schema(example = json!(["the whole document"]))]
        covers: Option<Vec<String>>,
        /// CMS: those who signed this signature.
        #[schema(no_recursion, example = json!([]))]
        countersignatures: Option<Vec<SignerSummary>>,
    }
}
