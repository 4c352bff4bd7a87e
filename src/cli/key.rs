//! `sigpersist key`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::holder::HolderArgs;
use super::output::Output;
use crate::app::App;
use crate::auth::key::Algorithm;
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Add a key to a tenant: make a shared secret and show it once, or register a public key.
    Add {
        #[command(flatten)]
        holder: HolderArgs,
        /// The one algorithm the key may be used with: HS256, HS384, HS512, RS256, PS256, ES256, ES384 or EdDSA.
        #[arg(long, default_value = "HS256")]
        alg: Algorithm,
        /// Register this public key (PEM) instead of making a secret.
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
    },
}

impl Key {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self::Add {
            holder,
            alg,
            public_key,
        } = self;
        let (holder, who) = holder.into_holder();
        let pem =
            match &public_key {
                Some(path) => {
                    let pem = std::fs::read_to_string(path);
                    Some(pem.with_context(|| {
                        format!("The public key {} can't be read", path.display())
                    })?)
                }
                None => None,
            };
        let key = tenants::add_key(app, &holder, alg, pem.as_deref())?;
        let (kid, alg) = (&key.kid, alg.as_str());
        let sentence = match &key.secret {
            Some(secret) => format!(
                "Added an {alg} key to `{who}`. The secret is shown only this once; the HMAC key is this text itself.\nkid: {kid}\nsecret: {}\nNext: sigpersist token issue {who}",
                secret.as_str()
            ),
            None => format!(
                "Added an {alg} public key to `{who}`. Put its name into the header of tokens.\nkid: {kid}"
            ),
        };
        let secret = key.secret.as_ref().map(|secret| secret.as_str());
        output.result(
            &sentence,
            &json!({ "tenant": holder.slug(), "kid": kid, "alg": alg, "secret": secret }),
        )
    }
}
