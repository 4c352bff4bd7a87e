//! `sigpersist key add`.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use sigpersist_model::key::{Algorithm, KeyKind};
use sigpersist_model::time;
use sigpersist_model::view::KeyView;

use crate::cli::door::Door;
use crate::cli::holder::HolderArgs;
use crate::cli::output::{Output, joined};

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    holder: HolderArgs,
    /// The only algorithm that the key may be used with: HS256, HS384, HS512, RS256, PS256, ES256, ES384 or EdDSA
    /// [default: HS256, or the one in the JSON Web Key].
    #[arg(long)]
    alg: Option<Algorithm>,
    /// Register this public key, in PEM or as a JSON Web Key, instead of generating a secret or a key pair.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Its name in the headers of tokens [default: the one in the JSON Web Key, or a random one].
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
    /// Start of its validity: "YYYY-MM-DD HH:MM:SS" in UTC, or RFC 3339 [default: immediately].
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    not_before: Option<DateTime<Utc>>,
    /// End of its validity [default: until it is revoked].
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    expires_at: Option<DateTime<Utc>>,
}

impl Add {
    /// Whether the key is of the platform.
    pub(super) fn is_of_platform(&self) -> bool {
        self.holder.slug().is_none()
    }

    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let public_key = self.public_key()?;
        let form = json!({
            "algorithm": self.alg.map(Algorithm::as_str),
            "kid": self.kid,
            "public_key": public_key,
            "not_before": self.not_before,
            "expires_at": self.expires_at,
        });
        let request = door.post(&self.holder.path("keys")).json(&form);
        let answer = request.send()?;
        let created = answer.created();
        let mut key: KeyView = answer.member("key")?;
        let (kid, alg) = (&key.kid, key.algorithm.as_str());
        let (who, whom) = (self.holder.as_argument(), self.holder.in_words());
        let sentence = match (&key.secret, key.kind) {
            (Some(secret), _) => format!(
                "Added an {alg} key to {whom}. The secret is shown only this once. Use the text itself as the HMAC key; do not decode it.\nkid: {kid}\nsecret: {}\nNext: sigpersist token issue {who}",
                secret.as_str()
            ),
            (None, KeyKind::KeyPair) => format!(
                "Added an {alg} key pair to {whom}. The server keeps the private key; this is the public key.\nkid: {kid}\n{}Next: sigpersist token issue {who}",
                key.public_key.as_deref().unwrap_or_default()
            ),
            (None, _) if created => format!(
                "Added an {alg} public key to {whom}. Put its name into the header of tokens, as `kid`.\nkid: {kid}"
            ),
            (None, _) => {
                format!("The key `{kid}` of {whom} already exists; nothing was changed.")
            }
        };
        let secret = key.secret.take();
        let more = json!({ "tenant": self.holder.slug(), "secret": secret, "created": created });
        let answer = joined(json!(key), more);
        output.result(&sentence, &answer)
    }

    /// The public key as the API takes it: PEM as text, or a JSON Web Key as an object.
    fn public_key(&self) -> anyhow::Result<Option<Value>> {
        let Some(path) = &self.public_key else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("The public key {} can't be read", path.display()))?;
        Ok(Some(if text.trim_start().starts_with('{') {
            let jwk = serde_json::from_str(&text);
            jwk.with_context(|| format!("{} is not a JSON Web Key", path.display()))?
        } else {
            text.into()
        }))
    }
}
