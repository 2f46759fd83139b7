//! The signature of an event, as the specification Standard Webhooks 1.0 makes it: an HMAC-SHA-256 of the event's id, the time of
//! the attempt and the body, so that a receiver can tell that they belong together and how old they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::config::WebhookSecret;

/// The value of the header `webhook-signature`. `seconds` is the value of `webhook-timestamp`.
pub(super) fn sign(secret: &WebhookSecret, id: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.0.expose_secret()).unwrap_or_else(|_| {
        unreachable!("an HMAC takes keys of any length");
    });
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::SecretBox;

    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        // https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/rust/src/lib.rs, test_sign
        let key = STANDARD.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let secret = WebhookSecret(Arc::new(SecretBox::new(Box::new(key))));
        let signature = sign(
            &secret,
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }
}
