//! The hashes of RFC 6962 section 2.1, with SHA-256.
//!
//! A leaf and a node begin with different bytes, so that no node passes for an entry. How nodes make a tree is in
//! [`edge`](crate::edge) and [`subtree`](crate::subtree).

use aws_lc_rs::digest;

/// A hash of a tree, or any other SHA-256.
pub type Hash = [u8; 32];

/// The root of a log without entries: the hash of no bytes.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    sha256_of(&[bytes])
}

/// The hash of an entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256_of(&[&[0], entry])
}

/// The hash of a node with these children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_of(&[&[1], left, right])
}

/// SHA-256 of parts, one after another.
pub(crate) fn sha256_of(parts: &[&[u8]]) -> Hash {
    let mut running = digest::Context::new(&digest::SHA256);
    for part in parts {
        running.update(part);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(running.finish().as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{recursive_root, reference_leaves};

    /// Roots that the tests of Certificate Transparency's reference implementation state.
    const REFERENCE_ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_the_reference_implementation() {
        assert_eq!(sha256(b""), EMPTY_ROOT);
        let leaves = reference_leaves();
        for (size, root) in (1..).zip(REFERENCE_ROOTS) {
            let found = recursive_root(&leaves[..size]);
            let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, root, "{size}");
        }
    }
}
