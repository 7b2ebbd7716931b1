//! What is kept of an authority's in the state folder: our account, certificates with their keys, and how
//! far orders have come. All of it is for its owner alone, and written before anybody goes on from it.
//!
//! ```text
//! acme/5f0c…/@account.json         the key of our account, and what the authority calls it
//!            shop.example.com.pem  a certificate with its chain and its key
//!            shop.example.com.json how its orders went, and the one that is under way
//! ```

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::acme::{Attempts, Holder};
use crate::certificate::Pair;
use crate::files::pair_in;
use crate::store::{read_private, replace_private};

/// Of our account. `@` is in no host, whose files are here too.
const ACCOUNT: &str = "@account.json";

/// What it was called before, as the file of a host `account` is.
const ACCOUNT_BEFORE: &str = "account.json";

/// Files have names of 255 bytes at most.
const LONGEST_NAME: usize = 200;

/// Where what is an authority's is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// None if it ends with the process.
    folder: Option<PathBuf>,
}

/// Our account with an authority.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptAccount {
    /// Its key (PKCS #8, DER), in base64.
    pub key: String,
    /// What the authority calls it; none before it has answered.
    pub id: Option<String>,
    /// What the authority knows of where to write to.
    pub email: Option<String>,
    /// The account that it is bound to.
    pub external: Option<String>,
    /// Whether the authority takes no note of what an order is to replace.
    #[serde(default)]
    pub ignores_replaces: bool,
}

impl std::fmt::Debug for KeptAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeptAccount {
    pub fn new(key: &[u8], id: Option<String>) -> KeptAccount {
        let key = URL_SAFE_NO_PAD.encode(key);
        KeptAccount { key, id, email: None, external: None, ignores_replaces: false }
    }

    /// Its key in DER.
    pub fn der(&self) -> io::Result<Vec<u8>> {
        let key = URL_SAFE_NO_PAD.decode(&self.key);
        key.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// How orders for one certificate went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Of the failed ones.
    pub attempts: Attempts,
    /// By which settings: with others it may go better.
    pub settings: String,
    /// The order that is under way.
    pub begun: Option<Begun>,
}

/// An order that is under way. A process that comes after us goes on with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// What the authority calls it.
    pub url: String,
    /// The key of its certificate (PEM).
    pub key: String,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Kept {
    /// What is this authority's in a state folder.
    pub fn of(state: Option<&Path>, directory: &str) -> Kept {
        let folder = state.map(|state| state.join("acme").join(short(directory)));
        Kept { folder }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// Our account. One that is damaged is none: another is made.
    pub fn account(&self) -> io::Result<Option<KeptAccount>> {
        match self.read::<KeptAccount>(ACCOUNT) {
            Ok(None) => self.account_before(),
            Ok(account) => Ok(account.filter(|account| account.der().is_ok())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "the account with an authority is damaged: another is made");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Our account by the name that its file had before, which it loses. Anything else there is of a host.
    fn account_before(&self) -> io::Result<Option<KeptAccount>> {
        let found = self.read::<KeptAccount>(ACCOUNT_BEFORE).ok().flatten();
        let Some(account) = found.filter(|account| account.der().is_ok()) else { return Ok(None) };
        self.put_account(&account)?;
        self.file(ACCOUNT_BEFORE).map_or(Ok(()), std::fs::remove_file)?;
        Ok(Some(account))
    }

    pub fn put_account(&self, account: &KeptAccount) -> io::Result<()> {
        self.write(ACCOUNT, account)
    }

    /// How orders for this holder went. What cannot be read is as good as nothing.
    pub fn progress(&self, holder: &Holder) -> Progress {
        let read = self.read(&format!("{}.json", name(holder)));
        read.inspect_err(|error| tracing::warn!(%holder, %error, "how its orders went is lost"))
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    pub fn put_progress(&self, holder: &Holder, progress: &Progress) -> io::Result<()> {
        self.write(&format!("{}.json", name(holder)), progress)
    }

    /// Where the certificate of a holder is; none if nowhere.
    pub fn place(&self, holder: &Holder) -> Option<PathBuf> {
        self.file(&format!("{}.pem", name(holder)))
    }

    /// The certificate of this holder; none if there is none that can be used.
    pub fn certificate(&self, holder: &Holder) -> Option<Pair> {
        let file = self.place(holder)?;
        let lost = |why: &dyn std::fmt::Display| {
            tracing::warn!(%holder, %why, "its certificate cannot be read: it is ordered again");
        };
        let bytes = read_private(&file).inspect_err(|error| lost(error)).ok()??;
        pair_in(&file, &bytes).inspect_err(|bad| lost(bad)).ok()
    }

    /// Puts a certificate and its key in the place of those before: both at once.
    pub fn put_certificate(&self, holder: &Holder, chain: &str, key: &str) -> io::Result<()> {
        let Some(file) = self.place(holder) else { return Ok(()) };
        replace_private(&file, format!("{}\n{key}", chain.trim_end()).as_bytes())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let Some(file) = self.file(name) else { return Ok(None) };
        let bytes = read_private(&file)?;
        let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(damaged)
    }

    fn write(&self, name: &str, what: &impl Serialize) -> io::Result<()> {
        let Some(file) = self.file(name) else { return Ok(()) };
        replace_private(&file, &serde_json::to_vec_pretty(what)?)
    }
}

/// What the files of a holder are called. `@` is in no host.
fn name(holder: &Holder) -> String {
    match holder {
        Holder::Host(host) if host.len() <= LONGEST_NAME => host.to_string(),
        Holder::Host(host) => format!("@{}", short(host)),
        Holder::Addresses(_) => "@addresses".into(),
    }
}

/// A text in few letters, for nobody to read.
pub(super) fn short(text: &str) -> String {
    Sha256::digest(text)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_for_its_owner_alone() {
        let state = tempfile::TempDir::new().unwrap();
        let kept = Kept::of(Some(state.path()), "https://a.test/directory");
        assert_eq!(kept.account().unwrap(), None);
        let account = KeptAccount::new(b"key", Some("https://a.test/1".into()));
        kept.put_account(&account).unwrap();
        assert_eq!(kept.account().unwrap().unwrap(), account);
        assert_eq!(account.der().unwrap(), b"key");
        let host = Holder::Host("shop.test".into());
        assert_eq!((kept.progress(&host), kept.certificate(&host)), (Progress::default(), None));
        let begun = Some(Begun { url: "https://a.test/o".into(), key: "secret".into() });
        let attempts = Attempts { failed: 2, not_before: 7, is_asked: false };
        let progress = Progress { attempts, settings: "x".into(), begun };
        kept.put_progress(&host, &progress).unwrap();
        assert_eq!(kept.progress(&host), progress);
        assert!(!format!("{progress:?}").contains("secret"));
        let (pem, key) = (
            include_str!("../outgoing/dial/test_server.pem"),
            include_str!("../outgoing/dial/test_server.key"),
        );
        kept.put_certificate(&host, pem, key).unwrap();
        assert_eq!(kept.certificate(&host).unwrap().about.names, ["shop.test", "127.0.0.1"]);
        let file = kept.place(&host).unwrap();
        let folder = file.parent().unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(&file, "half of it").unwrap();
        std::fs::write(folder.join("@account.json"), "{\"key").unwrap();
        std::fs::write(folder.join("shop.test.json"), "{").unwrap();
        assert_eq!(kept.account().unwrap(), None);
        assert_eq!(kept.progress(&host), Progress::default());
        assert_eq!(kept.certificate(&host), None);
        let other = Kept::of(Some(state.path()), "https://b.test/directory");
        assert_eq!(other.account().unwrap(), None, "each authority has a folder of its own");
    }

    #[test]
    fn a_host_called_account_leaves_the_account_alone() {
        let state = tempfile::TempDir::new().unwrap();
        let kept = Kept::of(Some(state.path()), "https://a.test/directory");
        let account = KeptAccount::new(b"key", Some("https://a.test/1".into()));
        let host = Holder::Host("account".into());
        let progress = Progress { settings: "x".into(), ..Progress::default() };
        kept.put_account(&account).unwrap();
        kept.put_progress(&host, &progress).unwrap();
        assert_eq!(kept.account().unwrap().as_ref(), Some(&account));
        assert_eq!(kept.progress(&host), progress);

        // As it was called before.
        let file = |name: &str| kept.file(name).unwrap();
        std::fs::rename(file("@account.json"), file("account.json")).unwrap();
        assert_eq!(kept.account().unwrap().as_ref(), Some(&account));
        assert_eq!(kept.progress(&host), Progress::default());
        kept.put_progress(&host, &progress).unwrap();
        assert_eq!(kept.account().unwrap().as_ref(), Some(&account), "that was read once");
        std::fs::remove_file(file("@account.json")).unwrap();
        assert_eq!(kept.account().unwrap(), None, "what is a host's is no account");
        assert_eq!(kept.progress(&host), progress);
    }

    #[test]
    fn without_a_folder_nothing_is_kept_and_nothing_fails() {
        let kept = Kept::of(None, "https://a.test/directory");
        let host = Holder::Host("shop.test".into());
        kept.put_account(&KeptAccount::new(b"key", None)).unwrap();
        kept.put_certificate(&host, "", "").unwrap();
        kept.put_progress(&host, &Progress::default()).unwrap();
        assert_eq!((kept.account().unwrap(), kept.certificate(&host)), (None, None));
    }

    #[test]
    fn files_of_long_names_have_short_ones() {
        let long = Holder::Host(vec!["x".repeat(60); 4].join(".").into());
        assert_eq!(name(&long).len(), 17);
        assert_eq!(name(&Holder::Addresses(vec![])), "@addresses");
    }
}
