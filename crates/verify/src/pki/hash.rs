//! Digest algorithms of signatures.

use aws_lc_rs::digest;
use sha2::Sha512_224;
use sha3::digest::{self as sha3_digest, ExtendableOutput as _};
use sha3::{Digest as _, Sha3_224, Shake128, Shake256};
use streebog::{Streebog256, Streebog512};

/// A digest algorithm. The old ones are supported for reading old signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    /// With 256 bits of output (RFC 8702 section 2).
    Shake128,
    /// With 512 bits of output (RFC 8702 section 2).
    Shake256,
    /// GOST R 34.11-2012 with 256 bits (RFC 6986). GOST R 34.11-2015 is the same.
    Streebog256,
    /// GOST R 34.11-2012 with 512 bits (RFC 6986).
    Streebog512,
}

impl Hash {
    /// The algorithm of an OID; also of the OID of a signature that uses it.
    pub(crate) fn of(oid: &str) -> Option<Self> {
        Some(match oid {
            "1.3.14.3.2.26" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Self::Sha1,
            "2.16.840.1.101.3.4.2.4" | "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => {
                Self::Sha224
            }
            "2.16.840.1.101.3.4.2.1" | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => {
                Self::Sha256
            }
            "2.16.840.1.101.3.4.2.2" | "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
                Self::Sha384
            }
            "2.16.840.1.101.3.4.2.3" | "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => {
                Self::Sha512
            }
            "2.16.840.1.101.3.4.2.5" | "1.2.840.113549.1.1.15" => Self::Sha512_224,
            "2.16.840.1.101.3.4.2.6" | "1.2.840.113549.1.1.16" => Self::Sha512_256,
            "2.16.840.1.101.3.4.2.7" | "2.16.840.1.101.3.4.3.9" | "2.16.840.1.101.3.4.3.13" => {
                Self::Sha3_224
            }
            "2.16.840.1.101.3.4.2.8" | "2.16.840.1.101.3.4.3.10" | "2.16.840.1.101.3.4.3.14" => {
                Self::Sha3_256
            }
            "2.16.840.1.101.3.4.2.9" | "2.16.840.1.101.3.4.3.11" | "2.16.840.1.101.3.4.3.15" => {
                Self::Sha3_384
            }
            "2.16.840.1.101.3.4.2.10" | "2.16.840.1.101.3.4.3.12" | "2.16.840.1.101.3.4.3.16" => {
                Self::Sha3_512
            }
            "2.16.840.1.101.3.4.2.11" | "1.3.6.1.5.5.7.6.32" => Self::Shake128,
            "2.16.840.1.101.3.4.2.12" | "1.3.6.1.5.5.7.6.33" => Self::Shake256,
            "1.2.643.7.1.1.2.2" | "1.2.643.7.1.1.3.2" => Self::Streebog256,
            "1.2.398.3.10.1.3.3"
            | "1.2.643.7.1.1.2.3"
            | "1.2.643.7.1.1.3.3"
            | "1.2.398.3.10.1.1.2.3.2" => Self::Streebog512,
            _ => return None,
        })
    }

    /// Its OID.
    pub(crate) fn oid(self) -> &'static str {
        match self {
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha224 => "2.16.840.1.101.3.4.2.4",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
            Self::Sha512_224 => "2.16.840.1.101.3.4.2.5",
            Self::Sha512_256 => "2.16.840.1.101.3.4.2.6",
            Self::Sha3_224 => "2.16.840.1.101.3.4.2.7",
            Self::Sha3_256 => "2.16.840.1.101.3.4.2.8",
            Self::Sha3_384 => "2.16.840.1.101.3.4.2.9",
            Self::Sha3_512 => "2.16.840.1.101.3.4.2.10",
            Self::Shake128 => "2.16.840.1.101.3.4.2.11",
            Self::Shake256 => "2.16.840.1.101.3.4.2.12",
            Self::Streebog256 => "1.2.643.7.1.1.2.2",
            Self::Streebog512 => "1.2.398.3.10.1.3.3",
        }
    }

    /// Whether it is GOST R 34.11-2012.
    pub(crate) fn is_streebog(self) -> bool {
        matches!(self, Self::Streebog256 | Self::Streebog512)
    }

    /// Whether collisions can be made (for SHA-1 since 2017, NIST SP 800-131A).
    pub(crate) fn is_weak(self) -> bool {
        self == Self::Sha1
    }

    /// The length of its digests, in bytes.
    pub(crate) fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha512_224 | Self::Sha3_224 => 28,
            Self::Sha256
            | Self::Sha512_256
            | Self::Sha3_256
            | Self::Shake128
            | Self::Streebog256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 | Self::Shake256 | Self::Streebog512 => 64,
        }
    }

    /// The cost of hashing this many bytes, in nanoseconds.
    pub(crate) fn cost_ns(self, bytes: usize) -> u64 {
        /// Fixed cost of a message.
        const MESSAGE_NS: u64 = 500;
        let kilobyte_ns = match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 => 800,
            Self::Sha384 | Self::Sha512 | Self::Sha512_256 => 1_800,
            Self::Sha512_224 => 3_600,
            Self::Sha3_256 => 4_000,
            Self::Sha3_384 => 5_000,
            Self::Sha3_224 | Self::Sha3_512 | Self::Shake128 | Self::Shake256 => 7_500,
            Self::Streebog256 | Self::Streebog512 => 16_000,
        };
        (bytes as u64 * kilobyte_ns).div_ceil(1024) + MESSAGE_NS
    }

    /// The digest of some bytes.
    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let mut running = self.running();
        running.update(bytes);
        running.finish()
    }

    /// A digest of bytes that arrive in parts.
    pub(crate) fn running(self) -> RunningHash {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
            Self::Sha512_256 => &digest::SHA512_256,
            Self::Sha3_256 => &digest::SHA3_256,
            Self::Sha3_384 => &digest::SHA3_384,
            Self::Sha3_512 => &digest::SHA3_512,
            Self::Sha512_224 => return RunningHash::Sha512_224(Box::default()),
            Self::Sha3_224 => return RunningHash::Sha3_224(Box::default()),
            Self::Shake128 => return RunningHash::Shake128(Box::default()),
            Self::Shake256 => return RunningHash::Shake256(Box::default()),
            Self::Streebog256 => return RunningHash::Streebog256(Box::default()),
            Self::Streebog512 => return RunningHash::Streebog512(Box::default()),
        };
        RunningHash::Common(digest::Context::new(algorithm))
    }

    /// The OID in DER, for the `DigestInfo` of an RSA signature (RFC 8017 section 9.2).
    pub(crate) fn oid_der(self) -> Option<&'static [u8]> {
        Some(match self {
            Self::Sha1 => &[0x06, 5, 0x2b, 0x0e, 3, 2, 0x1a],
            Self::Sha224 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4],
            Self::Sha256 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1],
            Self::Sha384 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2],
            Self::Sha512 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3],
            Self::Sha512_224 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 5],
            Self::Sha512_256 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 6],
            Self::Sha3_224 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 7],
            Self::Sha3_256 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 8],
            Self::Sha3_384 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 9],
            Self::Sha3_512 => &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 10],
            Self::Shake128 | Self::Shake256 | Self::Streebog256 | Self::Streebog512 => return None,
        })
    }
}

/// A digest of bytes that arrive in parts.
pub(crate) enum RunningHash {
    Common(digest::Context),
    Sha512_224(Box<Sha512_224>),
    Sha3_224(Box<Sha3_224>),
    Shake128(Box<Shake128>),
    Shake256(Box<Shake256>),
    Streebog256(Box<Streebog256>),
    Streebog512(Box<Streebog512>),
}

impl RunningHash {
    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Common(context) => context.update(bytes),
            Self::Sha512_224(state) => state.update(bytes),
            Self::Sha3_224(state) => state.update(bytes),
            Self::Shake128(state) => sha3_digest::Update::update(state.as_mut(), bytes),
            Self::Shake256(state) => sha3_digest::Update::update(state.as_mut(), bytes),
            Self::Streebog256(state) => state.update(bytes),
            Self::Streebog512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Common(context) => context.finish().as_ref().to_vec(),
            Self::Sha512_224(state) => state.finalize().to_vec(),
            Self::Sha3_224(state) => state.finalize().to_vec(),
            Self::Shake128(state) => {
                let mut digest = vec![0; Hash::Shake128.digest_bytes()];
                (*state).finalize_xof_into(&mut digest);
                digest
            }
            Self::Shake256(state) => {
                let mut digest = vec![0; Hash::Shake256.digest_bytes()];
                (*state).finalize_xof_into(&mut digest);
                digest
            }
            Self::Streebog256(state) => state.finalize().to_vec(),
            Self::Streebog512(state) => state.finalize().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::to_hex;

    #[test]
    fn digests_are_those_of_the_standards() {
        // RFC 6986 sections 10.1.1 and 10.1.2 (M1, which is written backwards there), and examples of FIPS 180-4 and
        // 202.
        let message = b"012345678901234567890123456789012345678901234567890123456789012";
        assert_eq!(
            to_hex(&Hash::Streebog512.digest(message)),
            "1b54d01a4af5b9d5cc3d86d68d285462b19abc2475222f35c085122be4ba1ffa00ad30f8767b3a82384c6574f024c311e2a481332b08ef7f41797891c1646f48"
        );
        assert_eq!(
            to_hex(&Hash::Streebog256.digest(message)),
            "9d151eefd8590b89daa6ba6cb74af9275dd051026bb149a452fd84e5e57b5500"
        );
        assert_eq!(
            to_hex(&Hash::Sha512_224.digest(b"abc")),
            "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa"
        );
        assert_eq!(
            to_hex(&Hash::Sha512_256.digest(b"abc")),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
        assert_eq!(
            to_hex(&Hash::Shake128.digest(b"")),
            "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"
        );
        assert_eq!(
            to_hex(&Hash::Shake256.digest(b"")),
            "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762fd75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eacb3b7c4be"
        );
        assert_eq!(
            to_hex(&Hash::Sha3_224.digest(b"")),
            "6b4e03423667dbb73b6e15454f0eb1abd4597f9a1b078e3f5b5a6bc7"
        );
        assert_eq!(
            to_hex(&Hash::Sha1.digest(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
    }
}
