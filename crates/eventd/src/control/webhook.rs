//! Webhooks: the site says that something has happened, and the poll does not wait for its time. Events never
//! come this way.

use hmac::{Hmac, Mac as _};
use sha1::Sha1;

/// Whether the signature of a webhook's body is right: `sha1=` and the HMAC in hexadecimal digits, as the
/// site sends it in `x-sg-signature`.
#[must_use]
pub fn is_genuine(secret: &str, body: &[u8], signature: &str) -> bool {
    let Some(digits) = signature.trim().strip_prefix("sha1=") else { return false };
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    let (Some(bytes), Ok(mut mac)) = (bytes, Hmac::<Sha1>::new_from_slice(secret.as_bytes())) else {
        return false;
    };
    mac.update(body);
    // In constant time.
    mac.verify_slice(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_body_and_the_secret() {
        // RFC 2202, test case 2.
        let (body, right) =
            (b"what do ya want for nothing?", "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert!(is_genuine("Jefe", body, right));
        assert!(!is_genuine("jefe", body, right) && !is_genuine("Jefe", b"what", right));
        for wrong in ["", "sha1=", "sha1=e", "sha1=zz", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79", "sha1=é"]
        {
            assert!(!is_genuine("Jefe", body, wrong), "{wrong}");
        }
    }
}
