//! The file with the master key: 32 bytes in hexadecimal on one line.
//!
//! During a rotation, further lines hold the next key (`next …`) and old keys (`old …`). Secrets under any of them can
//! be decrypted.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use sigpersist_model::digest::{from_hex, to_hex};
use zeroize::Zeroizing;

use super::random_bytes;

pub(super) const KEY_BYTES: usize = 32;

/// A master key in the clear; wiped when dropped.
pub(super) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// The contents of the file.
#[derive(Clone)]
pub(super) struct MasterKeys {
    /// The key that encrypts.
    pub(super) current: Key,
    /// The key that will encrypt, once every server can decrypt with it.
    pub(super) next: Option<Key>,
    /// Keys that encrypted before.
    pub(super) old: Vec<Key>,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKeys")
    }
}

impl MasterKeys {
    /// All keys, the current one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        [&self.current]
            .into_iter()
            .chain(&self.next)
            .chain(&self.old)
    }

    fn parse(text: &str) -> Option<Self> {
        let (mut current, mut next, mut old) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (place, hex) = match line.split_once(' ') {
                Some(("next", hex)) => (&mut next, hex),
                Some(("old", hex)) => (&mut old, hex),
                _ => (&mut current, line),
            };
            let bytes = Zeroizing::new(from_hex(hex.trim())?);
            let mut key = Key::default();
            if bytes.len() != KEY_BYTES {
                return None;
            }
            key.copy_from_slice(&bytes);
            place.push(key);
        }
        let (1, 0 | 1) = (current.len(), next.len()) else {
            return None;
        };
        Some(Self {
            current: current.pop()?,
            next: next.pop(),
            old,
        })
    }

    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        let mut line = |label: &str, key: &Key| {
            text.push_str(label);
            text.push_str(&Zeroizing::new(to_hex(&**key)));
            text.push('\n');
        };
        line("", &self.current);
        self.next.iter().for_each(|key| line("next ", key));
        self.old.iter().for_each(|key| line("old ", key));
        text
    }
}

/// The master key file.
#[derive(Debug, Clone)]
pub(super) struct MasterKeyFile(pub(super) PathBuf);

impl MasterKeyFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// A message that names the file and says how to make one.
    pub(super) fn read(&self) -> anyhow::Result<MasterKeys> {
        let path = self.0.display();
        let text = std::fs::read_to_string(&self.0)
            .map(Zeroizing::new)
            .with_context(|| format!("The master key file {path} can't be read"))?;
        let Some(keys) = MasterKeys::parse(&text) else {
            bail!(
                "The master key file {path} must hold {KEY_BYTES} bytes in hexadecimal; `openssl rand -hex {KEY_BYTES}` makes them. While the key is rotated, it may also hold lines that begin with `next` or `old`."
            );
        };
        Ok(keys)
    }

    /// Makes the file with a new key if it does not exist, readable only by its owner.
    ///
    /// # Errors
    ///
    /// If the file can't be made.
    pub(super) fn make_if_missing(&self) -> anyhow::Result<()> {
        if self.0.exists() {
            return Ok(());
        }
        let keys = MasterKeys {
            current: new_key()?,
            next: None,
            old: Vec::new(),
        };
        // Hard-linked, so that of two processes that start at once only one makes the key.
        let aside = self.write_aside(&keys)?;
        let linked = std::fs::hard_link(&aside, &self.0);
        std::fs::remove_file(&aside)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| self.cant_be_written())
            }
            _ => Ok(()),
        }
    }

    /// Replaces the file atomically.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub(super) fn replace(&self, keys: &MasterKeys) -> anyhow::Result<()> {
        let aside = self.write_aside(keys)?;
        let old = std::fs::metadata(&self.0)?;
        // Everybody who could read the old file can read the new one.
        let replaced = std::os::unix::fs::chown(&aside, Some(old.uid()), Some(old.gid()))
            .and_then(|()| std::fs::set_permissions(&aside, old.permissions()))
            .and_then(|()| std::fs::rename(&aside, &self.0));
        if replaced.is_err() {
            drop(std::fs::remove_file(&aside));
        }
        replaced.with_context(|| self.cant_be_written())?;
        // The new name is durable only when its folder is synced, too.
        let folder = self.0.parent().filter(|folder| *folder != Path::new(""));
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }

    /// Writes the keys to a new file beside this one, and syncs that to disk.
    fn write_aside(&self, keys: &MasterKeys) -> anyhow::Result<PathBuf> {
        let aside = self.0.with_extension(format!("new-{}", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .with_context(|| self.cant_be_written())?;
        file.write_all(keys.to_text().as_bytes())?;
        file.sync_all()?;
        Ok(aside)
    }

    fn cant_be_written(&self) -> String {
        format!("The master key file {} can't be written", self.0.display())
    }
}

/// A new random key.
pub(super) fn new_key() -> anyhow::Result<Key> {
    let bytes = random_bytes(KEY_BYTES)?;
    let mut key = Key::default();
    ensure!(
        bytes.len() == key.len(),
        "the system's random number generator failed"
    );
    key.copy_from_slice(&bytes);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_the_key_beside_the_next_and_old_ones() {
        let hex = |digit: &str| digit.repeat(64);
        let (a, b, c, d) = (hex("a"), hex("b"), hex("c"), hex("d"));
        let text = format!("{a}\nnext {b}\nold {c}\nold {d}\n");
        let keys = MasterKeys::parse(&text).unwrap();
        assert_eq!(*keys.to_text(), text);
        assert_eq!(keys.all().count(), 4);
        let alone = MasterKeys::parse(&format!("  {a}  ")).unwrap();
        assert_eq!(*alone.to_text(), format!("{a}\n"));
        for bad in [
            String::new(),
            "00".to_owned(),
            hex("g"),
            "0".repeat(63),
            format!("{a}\n{b}"),
            format!("{a}\nnext {b}\nnext {c}"),
            format!("old {a}"),
            format!("{a}\nelder {b}"),
        ] {
            assert!(MasterKeys::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_file_is_replaced_whole_and_for_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = MasterKeyFile(folder.path().join("master.key"));
        file.make_if_missing().unwrap();
        let made = file.read().unwrap();
        file.make_if_missing().unwrap();
        assert_eq!(file.read().unwrap().current, made.current);
        let keys = MasterKeys {
            current: new_key().unwrap(),
            next: None,
            old: vec![made.current],
        };
        file.replace(&keys).unwrap();
        assert_eq!(file.read().unwrap().to_text(), keys.to_text());
        assert_eq!(std::fs::metadata(&file.0).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
