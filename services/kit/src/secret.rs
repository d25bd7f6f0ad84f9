//! Secrets: random tokens, digests that stand for them at rest, keys that encrypt and that blind.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce, aead::Aead, aead::Payload,
};
use domain::{email::Email, id::BrandId};
use hmac::{Hmac, Mac};
use rand::Rng;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

/// A key that is not 32 bytes in base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes in unpadded base64url, 43 characters")]
pub struct InvalidKey;

/// A sealed value that this key and context did not seal, or that was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed value cannot be opened")]
pub struct CannotOpen;

/// 32 bytes of key, never shown.
pub struct Key(SecretBox<[u8; 32]>);

impl Key {
    /// Returns a key from the machine's random source.
    pub fn random() -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| {
            rand::rng().fill_bytes(key)
        }))
    }

    /// Returns the key in its text form, for keeping where only the owner reads.
    pub fn to_text(&self) -> SecretString {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.expose_secret()).into()
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self(SecretBox::new(Box::new(*self.0.expose_secret())))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| InvalidKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| InvalidKey)?;
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }
}

/// Returns a new opaque token of 256 random bits, its kind told by `prefix` (`"rts"`).
pub fn random_token(prefix: &str) -> SecretString {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("{prefix}_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)).into()
}

/// Returns a new code of 160 random bits in base32 (RFC 4648): 32 characters, all of which a QR code
/// holds in its small alphabet.
pub fn random_code() -> SecretString {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    // 5 bits of each byte, which are as random as all of it.
    let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    String::from_iter(letters).into()
}

/// Returns what is kept of a token: its SHA-256, enough for 256 random bits.
pub fn token_digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Tells whether two secrets are equal, in a time that does not depend on where they differ.
pub fn equal(left: &str, right: &str) -> bool {
    // Equal digests mean equal texts, and how two digests differ tells nothing about the texts.
    token_digest(left) == token_digest(right)
}

/// Encrypts secrets at rest (XChaCha20-Poly1305), bound to the place where they are kept.
#[derive(Clone, Debug)]
pub struct SealingKey(Key);

impl SealingKey {
    /// Returns a sealing key.
    pub fn new(key: Key) -> Self {
        Self(key)
    }

    /// Returns `plain` sealed for `place`, such as a row's key: it opens nowhere else.
    pub fn seal(&self, plain: &[u8], place: &str) -> Vec<u8> {
        let mut nonce = XNonce::default();
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = plain.to_vec();
        self.cipher()
            .encrypt_in_place(&nonce, place.as_bytes(), &mut sealed)
            .expect("a secret is far shorter than the 256 GiB that the cipher takes");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Returns what was sealed for `place`.
    ///
    /// # Errors
    ///
    /// [`CannotOpen`] under another key or place, or when the value was changed.
    pub fn open(&self, sealed: &[u8], place: &str) -> Result<SecretBox<Vec<u8>>, CannotOpen> {
        let (nonce, sealed) = sealed.split_at_checked(24).ok_or(CannotOpen)?;
        let payload = Payload {
            msg: sealed,
            aad: place.as_bytes(),
        };
        self.cipher()
            .decrypt(XNonce::from_slice(nonce), payload)
            .map(|plain| SecretBox::new(Box::new(plain)))
            .map_err(|_| CannotOpen)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.0.expose_secret().into())
    }
}

/// Turns e-mails into digests, keyed per Brand: equal within one, unrelated across (SPEC 36, 53).
#[derive(Clone, Debug)]
pub struct EmailDigestKey(Key);

impl EmailDigestKey {
    /// Returns the key; all services of one installation have the same.
    pub fn new(key: Key) -> Self {
        Self(key)
    }

    /// Returns the digest that stands for `email` within the Brand.
    pub fn digest(&self, brand_id: &BrandId, email: &Email) -> [u8; 32] {
        let brand_key = hmac(self.0.0.expose_secret(), brand_id.as_str().as_bytes());
        hmac(&brand_key, email.as_str().as_bytes())
    }

    /// Returns a key for something else that must not be guessed from its digest; `purpose` tells it
    /// from the others.
    pub(crate) fn derive(&self, purpose: &str) -> DigestKey {
        // No Brand's id begins with a zero byte, so no Brand's key is the same.
        let label = [b"\0", purpose.as_bytes()].concat();
        DigestKey(Key(SecretBox::new(Box::new(hmac(
            self.0.0.expose_secret(),
            &label,
        )))))
    }
}

/// Turns texts into digests from which nobody without the key can guess them.
#[derive(Clone, Debug)]
pub(crate) struct DigestKey(Key);

impl DigestKey {
    /// Returns the digest that stands for `text`.
    pub(crate) fn digest(&self, text: &[u8]) -> [u8; 32] {
        hmac(self.0.0.expose_secret(), text)
    }
}

/// Returns HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_in_its_place() {
        let key = SealingKey::new(Key::random());
        let sealed = key.seal(b"secret", "brand/key-1");
        assert_eq!(
            key.open(&sealed, "brand/key-1").unwrap().expose_secret(),
            b"secret"
        );
        assert_eq!(key.open(&sealed, "brand/key-2").unwrap_err(), CannotOpen);
        assert_eq!(
            key.open(&sealed[..10], "brand/key-1").unwrap_err(),
            CannotOpen
        );
        let other = SealingKey::new(Key::random());
        assert_eq!(other.open(&sealed, "brand/key-1").unwrap_err(), CannotOpen);
    }

    #[test]
    fn a_key_reads_back_and_is_never_shown() {
        let key = Key::random();
        let text = key.to_text();
        let read: Key = text.expose_secret().parse().unwrap();
        assert_eq!(read.0.expose_secret(), key.0.expose_secret());
        assert!(!format!("{key:?}").contains(text.expose_secret()));
    }

    #[test]
    fn digests_of_one_email_are_unrelated_across_brands() {
        let key = EmailDigestKey::new(Key::random());
        let email = Email::parse("ann@shop.example").unwrap();
        let brand = |text| BrandId::parse(text).unwrap();
        assert_eq!(
            key.digest(&brand("one"), &email),
            key.digest(&brand("one"), &email)
        );
        assert_ne!(
            key.digest(&brand("one"), &email),
            key.digest(&brand("two"), &email)
        );
    }
}
