//! Keys that sign the console's sessions, one for each credential and derived from it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The length of a name in bytes.
pub(crate) const NAME_BYTES: usize = 8;
/// The length of a signature in bytes.
pub(crate) const SIGNATURE_BYTES: usize = 32;
/// The length of a block of SHA-256 in bytes, to which HMAC pads its key.
const BLOCK_BYTES: usize = 64;
/// Keeps names apart from signatures, and both from every other use of a credential's digest.
const NAME_LABEL: &[u8] = b"candlewick console session, version 1: name of ";
const SIGNATURE_LABEL: &[u8] = b"candlewick console session, version 1: key of ";

/// The key with which one credential signs, and the name by which a session refers to it.
///
/// Both follow from the credential's digest and its scope alone. So every replica derives the same key, and a credential that
/// was changed, or that now has another scope, has another key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionKey {
    name: [u8; NAME_BYTES],
    key: [u8; SIGNATURE_BYTES],
}

impl SessionKey {
    /// Derives the key of a credential by its digest and the name of its scope.
    pub(crate) fn new(digest: &[u8; 32], scope: &str) -> Self {
        let derive = |label: &[u8]| -> [u8; 32] {
            let mut mac = keyed(digest);
            mac.update(label);
            mac.update(scope.as_bytes());
            mac.finalize().into_bytes().into()
        };
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&derive(NAME_LABEL)[..NAME_BYTES]);
        Self { name, key: derive(SIGNATURE_LABEL) }
    }

    pub(crate) fn name(&self) -> [u8; NAME_BYTES] {
        self.name
    }

    /// Signs `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.mac(message).finalize().into_bytes().into()
    }

    /// True if `signature` is that of `message`. Takes equally long for every signature of the right length.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.mac(message).verify_slice(signature).is_ok()
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut mac = keyed(&self.key);
        mac.update(message);
        mac
    }
}

impl fmt::Debug for SessionKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey").finish_non_exhaustive()
    }
}

/// An HMAC with `key`, padded here as HMAC itself does, because a key of this length cannot fail.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK_BYTES];
    block[..key.len()].copy_from_slice(key);
    hmac::digest::KeyInit::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 1 of RFC 4231, whose key has 20 bytes.
    #[test]
    fn padding_by_hand_is_the_padding_of_hmac() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mut mac = keyed(&key);
        mac.update(b"Hi There");
        assert_eq!(
            hex::encode(mac.finalize().into_bytes()),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn keys_differ_by_credential_and_by_scope() {
        let keys =
            [(1, "read"), (2, "read"), (1, "maintenance")].map(|(byte, scope)| SessionKey::new(&[byte; 32], scope));
        for (position, key) in keys.iter().enumerate() {
            let signature = key.sign(b"message");
            for (other, others) in keys.iter().enumerate() {
                assert_eq!(others.has_signed(b"message", &signature), position == other);
                assert_eq!(others.name() == key.name(), position == other);
            }
            assert!(!key.has_signed(b"messagf", &signature) && !key.has_signed(b"message", &signature[..31]));
        }
        assert_eq!(keys[0], SessionKey::new(&[1; 32], "read"), "replicas derive the same key");
    }
}
