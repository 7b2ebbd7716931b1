//! Who calls, and that nobody changed a word: an id, a time, a body and a key in, a signature out.
//!
//! As the Standard Webhooks specification has it, so that receivers can use its libraries.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::io::AsyncReadExt;

/// The longest file of a key, in bytes: a longer one is another file.
const LONGEST: u64 = 4 * 1024;

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {}: {kind}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The file holds no key.
    #[error("the secret file {} {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The key in a file: its text without the white space around it; `whsec_` introduces a key in
/// base64, as the libraries of Standard Webhooks write theirs.
pub async fn read_key(path: &Path) -> Result<Vec<u8>, SecretError> {
    let mut bytes = Vec::new();
    let read = async {
        let file = tokio::fs::File::open(path).await?;
        file.take(LONGEST + 1).read_to_end(&mut bytes).await
    };
    let failed = |error: io::Error| SecretError::Read { path: path.into(), kind: error.kind() };
    read.await.map_err(failed)?;
    let bad = |why| SecretError::Content { path: path.into(), why };
    if bytes.len() as u64 > LONGEST {
        return Err(bad("holds more than 4 KiB"));
    }
    let text = bytes.trim_ascii();
    let key = match text.strip_prefix(b"whsec_") {
        Some(coded) => STANDARD.decode(coded).map_err(|_| bad("is not base64 after `whsec_`"))?,
        None => text.to_vec(),
    };
    if key.is_empty() { Err(bad("is empty")) } else { Ok(key) }
}

/// The value of `webhook-signature`; `timestamp` is that of `webhook-timestamp`, in Unix seconds.
pub fn sign(key: &[u8], id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the Standard Webhooks reference implementations.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn a_key_is_the_text_of_its_file_or_base64() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key");
        let bad = |why| Err(SecretError::Content { path: path.clone(), why });
        let cases = [
            (b"  s3cret\n".to_vec(), Ok(b"s3cret".to_vec())),
            (b"whsec_aGk=\n".to_vec(), Ok(b"hi".to_vec())),
            (b"whsec_h!\n".to_vec(), bad("is not base64 after `whsec_`")),
            (b" \n".to_vec(), bad("is empty")),
            (b"whsec_".to_vec(), bad("is empty")),
            (vec![b'x'; 5_000], bad("holds more than 4 KiB")),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read_key(&path).await, expected, "{}", String::from_utf8_lossy(&text));
        }
        let gone = folder.path().join("gone");
        let error = read_key(&gone).await.unwrap_err();
        assert_eq!(error, SecretError::Read { path: gone, kind: io::ErrorKind::NotFound });
    }
}
