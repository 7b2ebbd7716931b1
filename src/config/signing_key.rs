//! The keys that calls are signed with: what a file holds in, a key that no log and no diff can show
//! out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What signs calls; at least one byte.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Arc<[u8]>);

/// Why a text is no key. The text itself is never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It says that it is base64.
    #[error("is not base64 after `whsec_`")]
    NotBase64,
}

/// The keys of all files that a config names, as they were when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningKeys(Arc<BTreeMap<PathBuf, SigningKey>>);

impl SigningKey {
    /// The text without the white space around it; `whsec_` introduces a key in base64, as the
    /// libraries of Standard Webhooks write theirs.
    pub fn of(text: &[u8]) -> Result<SigningKey, BadKey> {
        let text = text.trim_ascii();
        let key = match text.strip_prefix(b"whsec_") {
            Some(coded) => STANDARD.decode(coded).map_err(|_| BadKey::NotBase64)?,
            None => text.to_vec(),
        };
        if key.is_empty() { Err(BadKey::Empty) } else { Ok(SigningKey(key.into())) }
    }

    /// For whoever signs.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKeys {
    /// The key that was in this file.
    pub fn of(&self, file: &Path) -> Option<&SigningKey> {
        self.0.get(file)
    }
}

impl FromIterator<(PathBuf, SigningKey)> for SigningKeys {
    fn from_iter<I: IntoIterator<Item = (PathBuf, SigningKey)>>(keys: I) -> SigningKeys {
        SigningKeys(Arc::new(keys.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_text_of_its_file_or_base64() {
        type Key = Result<&'static [u8], BadKey>;
        let cases: [(&[u8], Key); 6] = [
            (b"  s3cret\n", Ok(b"s3cret")),
            (b"\xff\n", Ok(b"\xff")),
            (b"whsec_aGk=\n", Ok(b"hi")),
            (b"whsec_h!\n", Err(BadKey::NotBase64)),
            (b" \n", Err(BadKey::Empty)),
            (b"whsec_", Err(BadKey::Empty)),
        ];
        for (text, expected) in cases {
            let key = SigningKey::of(text);
            let found = key.as_ref().map(SigningKey::bytes).map_err(|error| *error);
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = SigningKey::of(b"s3cret").unwrap();
        let keys: SigningKeys = [("/run/key".into(), key)].into_iter().collect();
        let shown = format!("{keys:?} {keys:#?}");
        assert!(shown.contains("/run/key") && !shown.contains("s3cret"), "{shown}");
        // Nor as the numbers of its bytes.
        assert!(!shown.contains("115"), "{shown}");
    }
}
