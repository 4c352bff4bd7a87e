//! `sigpersist plugin keygen` and `sigpersist plugin sign`: signatures of publishers, in the files of minisign.

use std::fs::{self, OpenOptions};
use std::io::{Cursor, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Utc;
use clap::Args;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use semver::Version;
use serde_json::json;
use sigpersist_model::publisher::{Statement, key_id};
use sigpersist_model::tenant::check_slug;
use zeroize::Zeroizing;

use super::read;
use crate::cli::output::Output;
use crate::publishers::Publishers;

/// The variable with the password of a secret key.
const PASSWORD: &str = "SIGPERSIST_KEY_PASSWORD";
/// End of the name of a file with a signature, after the name of the signed file.
const SUFFIX: &str = "minisig";

#[derive(Debug, Args)]
pub(in crate::cli) struct Keygen {
    /// Beginning of the names of both files: NAME.key and NAME.pub.
    #[arg(default_value = "publisher")]
    name: PathBuf,
    /// Do not encrypt the secret key with a password. Without it, the password is asked for, or read from
    /// `SIGPERSIST_KEY_PASSWORD`.
    #[arg(long)]
    no_password: bool,
}

impl Keygen {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let file = |extension: &str| {
            let mut name = self.name.clone().into_os_string();
            name.push(extension);
            PathBuf::from(name)
        };
        let (secret_file, public_file) = (file(".key"), file(".pub"));
        for file in [&secret_file, &public_file] {
            ensure!(
                !file.exists(),
                "{} exists already; give another name, since a key that is lost can't be made again.",
                file.display()
            );
        }
        let pair = if self.no_password {
            KeyPair::generate_unencrypted_keypair()
        } else {
            let password = password("Password for the new key: ")?;
            ensure!(
                !password.is_empty(),
                "The password is empty. Give one, or leave the key unprotected with --no-password."
            );
            if std::env::var_os(PASSWORD).is_none() {
                let again = Zeroizing::new(rpassword::prompt_password("The same once more: ")?);
                ensure!(
                    *again == *password,
                    "The two passwords differ; nothing was made."
                );
            }
            KeyPair::generate_encrypted_keypair(Some(password.to_string()))
        };
        let pair = pair.map_err(|error| anyhow::anyhow!("The key can't be made: {error}"))?;
        let secret = pair.sk.to_box(Some("secret key of a publisher of plugins"));
        let secret = secret.map(|text| Zeroizing::new(text.into_string()));
        let secret =
            secret.map_err(|error| anyhow::anyhow!("The key can't be written: {error}"))?;
        let public = pair.pk.to_base64();
        let id = id_of(&pair.pk);
        create(&secret_file, 0o600, &secret)?;
        create(
            &public_file,
            0o644,
            &format!("untrusted comment: minisign public key {id}\n{public}\n"),
        )?;
        output.result(
            &format!(
                "Made the key {id}: the secret key is in {}, the public key in {}.\npublic key: {public}\nNext: sigpersist plugin sign FILE --key {} --name NAME --plugin-version VERSION",
                secret_file.display(),
                public_file.display(),
                secret_file.display()
            ),
            &json!({ "key_id": id, "public_key": public, "secret_file": secret_file, "public_file": public_file }),
        )
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Sign {
    /// The component.
    file: PathBuf,
    /// The secret key: a file of `sigpersist plugin keygen` or of minisign.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The plugin's name. The signature is valid only for uploads under it.
    #[arg(long)]
    name: String,
    /// The plugin's version, such as 1.2.0. Servers refuse to go back to a lower one.
    #[arg(long, value_name = "VERSION")]
    plugin_version: Version,
    /// File to write the signature to [default: FILE.minisig].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sign {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let component = read(&self.file)?;
        let key = secret_key(&self.key)?;
        let statement = Statement {
            plugin: self.name,
            version: self.plugin_version,
        };
        let signature = sign(&key, &component, &statement)?;
        let target = self.output.unwrap_or_else(|| beside(&self.file));
        write(&target, &signature)?;
        let id = key_id(&signature);
        let (shown, file) = (target.display(), self.file.display());
        output.result(
            &format!(
                "Signed {file} as version {} of `{}`: the signature is in {shown}.\nNext: sigpersist plugin upload {} {file} --signature {shown}",
                statement.version, statement.plugin, statement.plugin
            ),
            &json!({
                "file": self.file,
                "signature_file": target,
                "key_id": id,
                "name": statement.plugin,
                "version": statement.version.to_string(),
            }),
        )
    }
}

/// The file beside a component that has its signature: minisign writes and reads it there, too.
pub(super) fn beside(component: &Path) -> PathBuf {
    let mut name = component.to_owned().into_os_string();
    name.push(".");
    name.push(SUFFIX);
    name.into()
}

/// Signs a component, and the statement about it.
pub(super) fn sign(
    key: &SecretKey,
    component: &[u8],
    statement: &Statement,
) -> anyhow::Result<String> {
    check_slug("plugin", &statement.plugin)?;
    let public = PublicKey::from_secret_key(key);
    let public = public.map_err(|error| anyhow::anyhow!("The key can't be used: {error}"))?;
    let comment = format!("timestamp:{}\t{}", Utc::now().timestamp(), words(statement));
    let signature = minisign::sign(
        Some(&public),
        key,
        Cursor::new(component),
        Some(&comment),
        Some("signature of the publisher of a plugin"),
    );
    let signature =
        signature.map_err(|error| anyhow::anyhow!("The plugin can't be signed: {error}"))?;
    Ok(signature.into_string())
}

fn words(statement: &Statement) -> String {
    statement.to_string().replace(' ', "\t")
}

/// Reads a secret key, and asks for its password if it has one.
pub(super) fn secret_key(file: &Path) -> anyhow::Result<SecretKey> {
    let shown = file.display();
    let text = fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("The key {shown} can't be read"))?;
    let bytes = text.lines().nth(1).map(|line| BASE64.decode(line.trim()));
    let bytes = bytes.and_then(Result::ok).map(Zeroizing::new);
    let key = bytes.and_then(|bytes| SecretKey::from_bytes(&bytes).ok());
    let Some(key) = key else {
        bail!("{shown} is not a secret key of minisign or of `sigpersist plugin keygen`.");
    };
    // Minisign writes no checksum into a key without a password, so nothing else can be checked here. A key that is damaged does
    // not verify what it signs.
    if !key.is_encrypted() {
        return Ok(key);
    }
    let boxed = SecretKeyBox::from(text.to_string());
    let password = password(&format!("Password of {shown}: "))?;
    let opened = boxed.into_secret_key(Some(password.to_string()));
    opened.map_err(|error| anyhow::anyhow!("The key {shown} can't be used: {error}."))
}

/// Reads a signature from a file.
pub(super) fn signature_in(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file)
        .with_context(|| format!("The signature {} can't be read", file.display()))
}

/// Public keys, each given as itself or as the name of its file.
pub(super) fn public_keys(given: &[String]) -> anyhow::Result<Publishers> {
    let mut keys = Vec::new();
    for text in given {
        // The second line of a file, if there is one of this name.
        let found = fs::read_to_string(text).ok();
        let line = found.as_deref().and_then(|found| found.lines().nth(1));
        keys.push(line.unwrap_or(text).trim().to_owned());
    }
    Publishers::parse(keys.iter().map(String::as_str)).map_err(anyhow::Error::msg)
}

fn password(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(Zeroizing::new(password));
    }
    ensure!(
        std::io::stdin().is_terminal(),
        "The key needs a password: give it in {PASSWORD}."
    );
    let password = rpassword::prompt_password(prompt);
    Ok(Zeroizing::new(
        password.context("The password can't be read")?,
    ))
}

fn id_of(key: &PublicKey) -> String {
    let id = key.keynum().try_into().map(u64::from_le_bytes);
    format!("{:016X}", id.unwrap_or_default())
}

/// Writes a new file with these permissions.
fn create(file: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| format!("{} can't be written", file.display()))
}

/// Writes a file, in place of one that is there.
pub(super) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))
}
