//! SHA-256 and hexadecimal.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

/// The SHA-256 (FIPS 180-4) of these bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

/// Bytes as lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// SHA-256 in hexadecimal.
#[cfg(feature = "openapi")]
#[derive(Debug)]
pub enum Sha256 {}
