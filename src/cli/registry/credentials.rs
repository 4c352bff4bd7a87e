//! The options for registries, and names and passwords for them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use http::HeaderValue;
use zeroize::Zeroizing;

/// The variable with the password for a registry.
const PASSWORD: &str = "SIGPERSIST_REGISTRY_PASSWORD";
/// Names of Docker Hub: in references, for requests, and in Docker's configuration.
pub(super) const DOCKER_HUB: [&str; 3] = [
    "docker.io",
    "registry-1.docker.io",
    "https://index.docker.io/v1/",
];

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Options for registries")]
pub(in crate::cli) struct RegistryOptions {
    /// Your name at the registry [default: what `docker login` keeps for it, otherwise none].
    #[arg(long, value_name = "NAME", env = "SIGPERSIST_REGISTRY_USERNAME")]
    registry_username: Option<String>,
    /// File with your password or access token for the registry; `SIGPERSIST_REGISTRY_PASSWORD` may have it instead.
    #[arg(long, value_name = "FILE", requires = "registry_username")]
    registry_password_file: Option<PathBuf>,
    /// Ask the registry without encryption. Registries on this machine (localhost, 127.0.0.1) are always asked so.
    #[arg(long)]
    pub(super) plain_http: bool,
}

impl RegistryOptions {
    /// The value of `Authorization` with which a registry makes tokens, or knows its users; none for anybody.
    pub(super) fn basic(&self, registry: &str) -> anyhow::Result<Option<HeaderValue>> {
        let (name, password) = match &self.registry_username {
            Some(name) => (name.clone(), self.password()?),
            None => match configured(registry)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let text = Zeroizing::new(format!("{name}:{}", *password));
        let text = Zeroizing::new(format!("Basic {}", BASE64.encode(text.as_bytes())));
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn password(&self) -> anyhow::Result<Zeroizing<String>> {
        let text = match &self.registry_password_file {
            Some(path) => fs::read_to_string(path)
                .with_context(|| format!("The password file {} can't be read", path.display()))?,
            None => std::env::var(PASSWORD).ok().with_context(|| {
                format!("There is no password for the registry: give one with --registry-password-file or {PASSWORD}")
            })?,
        };
        Ok(Zeroizing::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        ))
    }
}

/// The name and password that Docker's configuration (`~/.docker/config.json`, or in `$DOCKER_CONFIG`) has for a registry.
fn configured(registry: &str) -> anyhow::Result<Option<(String, Zeroizing<String>)>> {
    let server = match DOCKER_HUB {
        [hub, host, server] if registry == hub || registry == host => server,
        _ => registry,
    };
    match get_credential(server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(Some((name, Zeroizing::new(password))))
        }
        Ok(DockerCredential::IdentityToken(_)) => bail!(
            "Docker's configuration has an identity token for {registry}, which can't be used here: give a name and an access token with --registry-username and --registry-password-file."
        ),
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(None),
        // Helpers say so if they have none; what else they print may be secret.
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr]
                .iter()
                .any(|said| said.contains("credentials not found")) =>
        {
            Ok(None)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => bail!(
            "Docker's credential helper `{helper}` failed: log in again with `docker login {registry}`, or give --registry-username."
        ),
        Err(error) => Err(error).with_context(|| {
            format!("Docker's configuration for {registry} can't be used: log in again, or give --registry-username")
        }),
    }
}
