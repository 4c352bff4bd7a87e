//! Publishers of plugins: the keys that this server trusts, and signatures by them.
//!
//! Both have the format of minisign (<https://jedisct1.github.io/minisign/>), which can make and verify them, too.
//!
//! A signature covers the component, and a trusted comment that states the plugin's name and version. So nobody can upload
//! the signed bytes under another plugin's name, and the server notices if an older version is to replace a newer one.

use minisign_verify::{Error as MinisignError, PublicKey, Signature};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Revision;
use sigpersist_model::publisher::{
    MAX_SIGNATURE_BYTES, Publisher, SignatureFault, SignatureRefusal, Statement, key_id,
};

/// Public keys of publishers.
#[derive(Debug, Clone, Default)]
pub struct Publishers(Vec<(String, PublicKey)>);

/// A signature that can be read, with the facts that it states.
struct Read {
    signature: Signature,
    key_id: String,
    statement: Statement,
}

impl Publishers {
    /// Reads public keys as minisign writes them: 56 characters of base64 each.
    ///
    /// # Errors
    ///
    /// A sentence that shows the wrong one.
    pub fn parse<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let key = |text: &str| match PublicKey::from_base64(text) {
            Ok(key) => Ok((text.to_owned(), key)),
            Err(_) => Err(format!(
                "{text:?} is not a public key of minisign: it is the second line of a `.pub` file and begins with RW."
            )),
        };
        keys.into_iter()
            .map(key)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether no key is trusted, so that signatures are neither required nor verified.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies the signature of a component that is to be uploaded as this plugin. If no key is trusted, the signature is
    /// only read.
    ///
    /// # Errors
    ///
    /// [`Error::PluginSignatureRefused`] with the reason.
    pub fn judge(
        &self,
        plugin: &str,
        component: &[u8],
        signature: Option<&str>,
    ) -> Result<Option<Publisher>> {
        let Some(text) = signature else {
            if self.is_empty() {
                return Ok(None);
            }
            return Err(refused(
                SignatureFault::Missing,
                None,
                "This server takes only plugins that a publisher whom it trusts has signed (plugins.require_signature). Send the signature with the component: get it from the publisher, or make it with `sigpersist plugin sign`.",
            ));
        };
        let (publisher, statement) = self.verify(component, text)?;
        if statement.plugin != plugin {
            let stated = &statement.plugin;
            return Err(refused(
                SignatureFault::OtherPlugin,
                Some(publisher.key_id),
                format!(
                    "The signature is for the plugin `{stated}`, not for `{plugin}`. Upload it as `{stated}`, or have it signed as `{plugin}`."
                ),
            ));
        }
        Ok(Some(publisher))
    }

    /// Verifies the signature of a component, and reads the facts that it states. If no key is trusted, it is only read.
    ///
    /// # Errors
    ///
    /// [`Error::PluginSignatureRefused`] with the reason.
    pub fn verify(&self, component: &[u8], text: &str) -> Result<(Publisher, Statement)> {
        let Read {
            signature,
            key_id,
            statement,
        } = read(text)?;
        let mut key = None;
        let mut fault = SignatureFault::KeyNotTrusted;
        for (written, trusted) in &self.0 {
            match trusted.verify(component, &signature, false) {
                Ok(()) => key = Some(written.clone()),
                // Anybody can choose the id of a key, so the next one may have it, too.
                Err(MinisignError::UnexpectedKeyId) => {}
                Err(MinisignError::UnexpectedAlgorithm) => fault = SignatureFault::Malformed,
                Err(_) => fault = SignatureFault::Invalid,
            }
        }
        if key.is_none() && !self.is_empty() {
            let sentence = match fault {
                SignatureFault::KeyNotTrusted => format!(
                    "The key {key_id} signed the plugin, and it is not trusted here. If you trust its owner, add the public key to plugins.require_signature."
                ),
                SignatureFault::Malformed => {
                    "The signature has minisign's old format, which is not taken. Sign again with minisign 0.10 or later.".to_owned()
                }
                _ => format!(
                    "The signature by the key {key_id} does not verify: it is of other bytes, or somebody changed it. Get the plugin and its signature again."
                ),
            };
            return Err(refused(fault, Some(key_id), sentence));
        }
        let publisher = Publisher {
            signature: text.to_owned(),
            key_id,
            version: statement.version.clone(),
            is_trusted: key.is_some(),
            key,
        };
        Ok((publisher, statement))
    }

    /// The revision, with whether its publisher is trusted now.
    pub fn trusting(&self, mut revision: Revision) -> Revision {
        self.trust(&mut revision);
        revision
    }

    /// Finds out whether a revision's publisher is trusted now: a key that was removed from the setting no longer is.
    pub fn trust(&self, revision: &mut Revision) {
        if let Some(publisher) = &mut revision.publisher {
            let key = publisher.key.as_ref();
            publisher.is_trusted =
                key.is_some_and(|key| self.0.iter().any(|(trusted, _)| trusted == key));
        }
    }
}

fn read(text: &str) -> Result<Read> {
    let malformed = |reason: String| {
        refused(
            SignatureFault::Malformed,
            None,
            format!("The signature can't be read: {reason}. Send the text of the `.minisig` file."),
        )
    };
    if text.len() > MAX_SIGNATURE_BYTES {
        return Err(malformed(format!(
            "it is longer than {MAX_SIGNATURE_BYTES} bytes"
        )));
    }
    let signature = Signature::decode(text)
        .map_err(|error| malformed(error.to_string().trim_end_matches('.').to_lowercase()))?;
    let key_id = key_id(text).ok_or_else(|| malformed("it names no key".to_owned()))?;
    match Statement::parse(signature.trusted_comment()) {
        Some(statement) => Ok(Read {
            signature,
            key_id,
            statement,
        }),
        None => Err(refused(
            SignatureFault::Incomplete,
            Some(key_id),
            "The signature's trusted comment must state the plugin's name and version once each, as in `plugin:signer-tags version:1.2.0`. Sign again with `sigpersist plugin sign`, or with `minisign -S -t`.",
        )),
    }
}

fn refused(fault: SignatureFault, key_id: Option<String>, sentence: impl Into<String>) -> Error {
    Error::PluginSignatureRefused(Box::new(SignatureRefusal {
        fault,
        sentence: sentence.into(),
        key_id,
    }))
}
