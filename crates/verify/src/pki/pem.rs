//! DER in PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters in a line (RFC 7468 section 2).
const LINE: usize = 64;

/// Encodes DER as PEM (RFC 7468) with this label.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str(&format!("\n-----END {label}-----\n"));
    pem
}
