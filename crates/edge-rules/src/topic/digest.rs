//! Short names for lists of texts.

use sha2::{Digest, Sha256};

/// Returns the first half of a SHA-256 over the texts: nobody finds two lists that share one. None of the
/// texts may hold a NUL, which stands between them so that no two lists run together.
pub fn half_digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> [u8; 16] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text);
        digest.update([0]);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&digest.finalize()[..16]);
    half
}
