//! Microseconds that a token costs, verified for the first time and found in the cache, by algorithm:
//! `cargo bench --bench tokens`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use sigpersist::auth::key::new_key_pair;
use sigpersist::auth::{Authenticator, Loaded, token};
use sigpersist::config::AuthConfig;
use sigpersist_model::context::{Owner, Scope, Tenancy, TenantId};
use sigpersist_model::key::{Algorithm, KeyMaterial, StoredKey};
use sigpersist_model::quotas::Quotas;
use sigpersist_runtime::vault::Vault;

const TOKENS: usize = 2_000;
/// Passes over the cached tokens; the fastest counts.
const PASSES: usize = 5;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::from_file_or_new(&folder.path().join("master.key")).unwrap());
    println!("algorithm  verified    cached    ratio");
    for algorithm in [
        Algorithm::Hs256,
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ] {
        let key = key(&vault, algorithm);
        let tokens: Vec<_> = (0..TOKENS)
            .map(|number| {
                let subject = Some(format!("application-{number}"));
                let lifetime = Duration::from_secs(3_600);
                let config = AuthConfig::default();
                token::issue(
                    &key,
                    Some(&vault),
                    subject,
                    &Scope::APPLICATION,
                    None,
                    lifetime,
                    &config,
                )
                .unwrap()
            })
            .collect();
        let authenticator = Authenticator::new(AuthConfig::default(), Some(Arc::clone(&vault)));
        let pass = || {
            let since = Instant::now();
            for token in &tokens {
                let load = |_: &str| Ok(Some((key.clone(), Quotas::default())));
                let load = Loaded {
                    key: &load,
                    issuers: &|_| Ok(Vec::new()),
                };
                authenticator.authenticate(token, true, &load).unwrap();
            }
            since.elapsed().as_secs_f64() * 1e6 / tokens.len() as f64
        };
        let verified = pass();
        let known = (0..PASSES).map(|_| pass()).fold(f64::MAX, f64::min);
        println!(
            "{:9} {verified:7.1} µs {known:6.2} µs {:7.1}x",
            algorithm.as_str(),
            verified / known
        );
    }
}

fn key(vault: &Vault, algorithm: Algorithm) -> StoredKey {
    let mut key = StoredKey {
        owner: Owner::Tenant(Tenancy {
            id: TenantId(1),
            slug: "acme".into(),
        }),
        tenant_suspended: false,
        kid: "k".to_owned(),
        algorithm,
        material: KeyMaterial::PublicKey(String::new()),
        created_at: Utc::now(),
        not_before: None,
        expires_at: None,
        revoked_at: None,
    };
    key.material = if algorithm.secret_bytes().is_some() {
        KeyMaterial::EncryptedSecret(vault.encrypt(&[7; 43], &key.binding(), None).unwrap())
    } else {
        let (public, private) = new_key_pair(algorithm).unwrap();
        KeyMaterial::KeyPair {
            public: public.to_pem(),
            encrypted_private: vault.encrypt(&private, &key.binding(), None).unwrap(),
        }
    };
    key
}
