//! Compiled plugins on disk, so that a restart need not compile them again.
//!
//! Loaded code runs unchecked. So a file is trusted only if it carries a tag, made with the master key, for exactly
//! this component and this engine. Any other file counts as missing: the plugin is compiled again and the file
//! replaced.
//!
//! An error of the disk never fails a request; it is logged.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use sigpersist_model::plugin::Digest;
use sigpersist_runtime::vault::Vault;
use tracing::{debug, warn};
use wasmtime::component::Component;

/// Start of each file: the format and its version.
const MAGIC: &[u8; 8] = b"sigpcwx\x01";
const TAG_BYTES: usize = 32;
/// Purpose for which the keys of tags are derived from the master key.
const PURPOSE: &str = "sigpersist compiled plugins 1";
const SUFFIX: &str = ".compiled";
const UNFINISHED_SUFFIX: &str = ".unfinished";
/// Age at which an unfinished file counts as left behind by a crash.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of compiled plugins.
#[derive(Debug)]
pub struct Compiled {
    folder: PathBuf,
    vault: Arc<Vault>,
    max_bytes: u64,
}

impl Compiled {
    /// A folder, which need not exist yet. The vault's keys authenticate the files, and `max_bytes` bounds their total
    /// size.
    pub fn new(folder: PathBuf, vault: Arc<Vault>, max_bytes: u64) -> Self {
        Self {
            folder,
            vault,
            max_bytes,
        }
    }

    /// The compiled component with this digest, if a compatible engine stored it.
    pub(super) fn load(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        let file = match self.read(&path) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(path = %path.display(), cause = %error, "A compiled plugin can't be read; it is compiled again");
                }
                return None;
            }
        };
        let Some(code) = self.authentic(&compatibility(engine), digest, &file) else {
            warn!(path = %path.display(), "A compiled plugin is damaged, or from another engine or master key; it is compiled again");
            return None;
        };
        #[expect(
            unsafe_code,
            reason = "compiled code can't be loaded from memory otherwise"
        )]
        // SAFETY: nobody else can change these bytes any more. They carry a valid tag. Only `store` makes such tags,
        // with a key that only holders of the master key have, over the output of the compiler for an engine with the
        // same compatibility hash.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect_err(|error| {
                warn!(path = %path.display(), cause = %format!("{error:#}"), "A compiled plugin can't be loaded; it is compiled again");
            })
            .ok()
    }

    /// Stores the code of a compiled component, and deletes the least recently used files if there are too many bytes.
    pub(super) fn store(&self, engine: &wasmtime::Engine, digest: Digest, code: &[u8]) {
        if let Err(error) = self.write(&compatibility(engine), digest, code) {
            warn!(folder = %self.folder.display(), cause = %error, "A compiled plugin can't be kept on disk; it will be compiled again after a restart");
        }
        self.sweep();
    }

    /// Deletes the least recently used files until the rest fits, and files that a crash left unfinished.
    pub(super) fn sweep(&self) {
        if let Err(error) = self.try_sweep()
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(folder = %self.folder.display(), cause = %error, "Old compiled plugins can't be deleted");
        }
    }

    /// Tags this engine's files again with the current key, so that they stay valid after older keys are dropped.
    ///
    /// Files that are not authentic stay unchanged.
    pub(super) fn retag(&self, engine: &wasmtime::Engine) {
        if let Err(error) = self.try_retag(&compatibility(engine))
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(folder = %self.folder.display(), cause = %error, "Compiled plugins can't be tagged with the new master key; they will be compiled again");
        }
    }

    fn try_retag(&self, compatibility: &[u8; 32]) -> io::Result<()> {
        // Files are visited in the order of use, and each is rewritten: so the order of their times stays.
        for (_, _, path) in self.files()? {
            let digest = path.file_name().and_then(|name| {
                let name = name.to_str()?.strip_suffix(SUFFIX)?;
                name.parse::<Digest>().ok()
            });
            let Some(digest) = digest else { continue };
            let file = match self.read(&path) {
                // Another process may have deleted the file meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            if let Some(code) = self.authentic(compatibility, digest, &file) {
                self.write(compatibility, digest, code)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}{SUFFIX}"))
    }

    /// The file's bytes, read once. Sets the file's time, as the time of last use.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = OpenOptions::new()
            .read(true)
            // Opening something that is not a regular file, such as a pipe, must not block.
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > self.max_bytes {
            return Err(io::Error::other(
                "it is not a regular file, or it is too large",
            ));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        (&file).take(self.max_bytes).read_to_end(&mut bytes)?;
        if let Err(error) = file.set_modified(SystemTime::now()) {
            debug!(path = %path.display(), cause = %error, "The time of last use of a compiled plugin can't be saved");
        }
        Ok(bytes)
    }

    /// Keys of tags; the first one makes new tags.
    ///
    /// They are read from the master key file each time, since other processes may rotate it. If no key can be derived,
    /// the list is empty, and no tag is valid.
    fn keys(&self) -> Vec<hmac::Key> {
        let keys = self.vault.authentication_keys(PURPOSE);
        keys.unwrap_or_else(|cause| {
            warn!(%cause, "Compiled plugins can't be authenticated");
            Vec::new()
        })
    }

    /// The compiled code in a file, if its tag is valid.
    fn authentic<'a>(
        &self,
        compatibility: &[u8; 32],
        digest: Digest,
        file: &'a [u8],
    ) -> Option<&'a [u8]> {
        let rest = file.strip_prefix(MAGIC)?;
        let (tag, code) = rest.split_at_checked(TAG_BYTES)?;
        let holds = |key| {
            let expected = make_tag(key, compatibility, digest, code);
            verify_slices_are_equal(expected.as_ref(), tag).is_ok()
        };
        self.keys().iter().any(holds).then_some(code)
    }

    /// Writes a file under another name and renames it, so that no reader ever sees half a file.
    fn write(&self, compatibility: &[u8; 32], digest: Digest, code: &[u8]) -> io::Result<()> {
        let bytes = code.len() as u64 + (MAGIC.len() + TAG_BYTES) as u64;
        if bytes > self.max_bytes {
            return Err(io::Error::other(format!(
                "it has {bytes} bytes; the limit for all compiled plugins is {} (hooks.max_cache_bytes)",
                self.max_bytes
            )));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let name = sigpersist_runtime::vault::random_name().map_err(io::Error::other)?;
        let aside = self.folder.join(format!("{name}{UNFINISHED_SUFFIX}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        let keys = self.keys();
        let key = keys.first().ok_or_else(|| io::Error::other("no key"))?;
        let tag = make_tag(key, compatibility, digest, code);
        let written = [MAGIC.as_slice(), tag.as_ref(), code]
            .into_iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| fs::rename(&aside, self.path(digest)));
        if written.is_err() {
            // The first error is returned. A failure to delete the remains adds nothing.
            drop(fs::remove_file(&aside));
        }
        written
    }

    fn try_sweep(&self) -> io::Result<()> {
        let kept = self.files()?;
        let mut total: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in kept {
            if total <= self.max_bytes {
                break;
            }
            remove(&path)?;
            total -= bytes;
        }
        Ok(())
    }

    /// The files with the time of last use and size, least recently used first. Deletes files that a crash left
    /// unfinished.
    fn files(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in self.folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Another process may have deleted it meanwhile.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let used = metadata.modified()?;
            if name.ends_with(UNFINISHED_SUFFIX) {
                if used.elapsed().is_ok_and(|age| age > ABANDONED) {
                    remove(&entry.path())?;
                }
            } else if name.ends_with(SUFFIX) {
                files.push((used, metadata.len(), entry.path()));
            }
        }
        files.sort_unstable();
        Ok(files)
    }
}

fn make_tag(key: &hmac::Key, compatibility: &[u8; 32], digest: Digest, code: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    // All parts but the last have a fixed length, so two different inputs never give the same bytes.
    for part in [MAGIC.as_slice(), &digest.0, compatibility, code] {
        context.update(part);
    }
    context.sign()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Digest over everything besides the component that compiled code depends on: versions, settings, processor features.
fn compatibility(engine: &wasmtime::Engine) -> [u8; 32] {
    let mut hasher = Sha256(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut sum = [0; 32];
    sum.copy_from_slice(hasher.0.finish().as_ref());
    sum
}

/// A hasher whose results are the same in every Rust version, and free of collisions.
struct Sha256(digest::Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let sum = self.0.clone().finish();
        sum.as_ref()
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const DIGEST: Digest = Digest([1; 32]);
    const ENGINE: [u8; 32] = [2; 32];

    fn compiled(folder: &Path, key: &str, max_bytes: u64) -> Compiled {
        let vault = Vault::from_file_or_new(&folder.join(key)).unwrap();
        Compiled::new(folder.join("compiled"), Arc::new(vault), max_bytes)
    }

    #[test]
    fn a_file_is_authentic_only_whole_for_its_own_component_engine_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let compiled_here = compiled(folder.path(), "key", 1000);
        compiled_here.write(&ENGINE, DIGEST, b"code").unwrap();
        let file = compiled_here.read(&compiled_here.path(DIGEST)).unwrap();
        assert_eq!(
            compiled_here.authentic(&ENGINE, DIGEST, &file),
            Some(&b"code"[..])
        );
        for index in 0..file.len() {
            let mut changed = file.clone();
            changed[index] ^= 1;
            assert_eq!(compiled_here.authentic(&ENGINE, DIGEST, &changed), None);
            assert_eq!(
                compiled_here.authentic(&ENGINE, DIGEST, &file[..index]),
                None
            );
        }
        let longer = [&file[..], b"x"].concat();
        assert_eq!(compiled_here.authentic(&ENGINE, DIGEST, &longer), None);
        assert_eq!(compiled_here.authentic(&[3; 32], DIGEST, &file), None);
        assert_eq!(
            compiled_here.authentic(&ENGINE, Digest([4; 32]), &file),
            None
        );
        let other = compiled(folder.path(), "other", 1000);
        assert_eq!(other.authentic(&ENGINE, DIGEST, &file), None);
    }

    #[test]
    fn what_was_kept_outlives_the_rotation_of_the_master_key_in_every_process() {
        let folder = tempfile::tempdir().unwrap();
        let server = compiled(folder.path(), "key", 1000);
        let command = compiled(folder.path(), "key", 1000);
        let holds = |who: &Compiled, digest| {
            let file = who.read(&who.path(digest)).unwrap();
            who.authentic(&ENGINE, digest, &file).is_some()
        };
        let (other, foreign) = (Digest([4; 32]), Digest([5; 32]));
        server.write(&ENGINE, DIGEST, b"code").unwrap();
        server.write(&[3; 32], other, b"another engine's").unwrap();
        fs::write(server.path(foreign), b"forged").unwrap();
        let vault = &command.vault;
        vault.prepare_key().unwrap();
        vault.promote_key().unwrap();
        // While the key file holds both keys, tags of either are valid.
        assert!(holds(&server, DIGEST) && holds(&command, DIGEST));
        let before = fs::read(server.path(DIGEST)).unwrap();
        command.try_retag(&ENGINE).unwrap();
        assert_ne!(fs::read(server.path(DIGEST)).unwrap(), before);
        vault.drop_old_keys().unwrap();
        assert!(holds(&server, DIGEST) && holds(&command, DIGEST));
        assert!(!holds(&server, other) && !holds(&server, foreign));
        // Files that the server stores from now on are valid for commands too.
        server.write(&ENGINE, other, b"code").unwrap();
        assert!(holds(&command, other));
        fs::write(server.path(DIGEST), before).unwrap();
        assert!(!holds(&server, DIGEST) && !holds(&command, DIGEST));
    }

    #[test]
    fn engines_that_compile_otherwise_share_nothing() {
        let engine = |fuel| {
            let mut config = wasmtime::Config::new();
            config.consume_fuel(fuel);
            compatibility(&wasmtime::Engine::new(&config).unwrap())
        };
        assert_eq!(engine(true), engine(true));
        assert_ne!(engine(true), engine(false));
    }

    #[test]
    fn files_are_for_their_owner_alone_and_replaced_whole() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let compiled = compiled(folder.path(), "key", 1000);
        compiled.write(&ENGINE, DIGEST, b"one").unwrap();
        compiled.write(&ENGINE, DIGEST, b"two").unwrap();
        let file = compiled.read(&compiled.path(DIGEST)).unwrap();
        assert_eq!(
            compiled.authentic(&ENGINE, DIGEST, &file),
            Some(&b"two"[..])
        );
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&compiled.folder), 0o700);
        assert_eq!(mode(&compiled.path(DIGEST)), 0o600);
        assert_eq!(compiled.folder.read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let compiled = compiled(folder.path(), "key", 300);
        let digests = [1, 2, 3, 4].map(|number| Digest([number; 32]));
        let long_ago = SystemTime::now() - Duration::from_secs(7200);
        for (age, digest) in digests.into_iter().enumerate() {
            compiled.write(&ENGINE, digest, &[0; 60]).unwrap();
            let file = File::open(compiled.path(digest)).unwrap();
            file.set_modified(long_ago + Duration::from_secs(age as u64))
                .unwrap();
        }
        let abandoned = compiled.folder.join(format!("x{UNFINISHED_SUFFIX}"));
        let unfinished = compiled.folder.join(format!("y{UNFINISHED_SUFFIX}"));
        for path in [&abandoned, &unfinished] {
            fs::write(path, b"half").unwrap();
        }
        File::options()
            .write(true)
            .open(&abandoned)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        // The oldest is used again.
        compiled.read(&compiled.path(digests[0])).unwrap();
        compiled.sweep();
        let there = digests.map(|digest| compiled.path(digest).exists());
        assert_eq!(there, [true, false, true, true]);
        assert!(!abandoned.exists() && unfinished.exists());
        // A file that is too large by itself is not stored.
        assert!(compiled.write(&ENGINE, Digest([5; 32]), &[0; 300]).is_err());
        assert!(!compiled.path(Digest([5; 32])).exists());
    }
}
