//! Our account with an authority: made once, kept, and found again.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountBuilder, ExternalAccountKey, Key, NewAccount};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::beside;
use super::failure::Failure;
use super::http::Way;
use super::kept::{Kept, KeptAccount};
use crate::config::{AcmeAuthority, ExternalAccount, SigningKeys};

/// Our account, which is made if there is none yet. Its key is kept before the authority knows of it: a
/// process that comes after us finds the same account.
pub(super) async fn open(
    authority: &AcmeAuthority,
    way: &Way,
    kept: &Kept,
    keys: &SigningKeys,
) -> Result<Account, Failure> {
    let builder = || Account::builder_with_http(Box::new(way.clone()));
    let directory = authority.directory.to_string();
    let external = authority.external_account.as_ref().map(|account| account.id.clone());
    let known = read(kept).await?.filter(|known| known.external == external);
    let is_made = known.as_ref().is_some_and(|known| known.id.is_some());
    let (account, mut known) = match (known, &authority.external_account) {
        (Some(known), _) if is_made => {
            let key = PrivatePkcs8KeyDer::from(known.der()?);
            let id = known.id.clone().unwrap_or_default();
            (builder().from_parts(id, key, directory).await?, known)
        }
        (_, Some(external)) => {
            let (account, known) = bound(authority, builder(), external, keys).await?;
            write(kept, &known).await?;
            (account, known)
        }
        (known, None) => {
            let known = match known {
                Some(known) => known,
                None => {
                    let (_, key) = Key::generate_pkcs8()?;
                    let new = KeptAccount::new(key.secret_pkcs8_der(), None);
                    write(kept, &new).await?;
                    new
                }
            };
            let der = PrivatePkcs8KeyDer::from(known.der()?);
            let key = (Key::from_pkcs8_der(der.clone_key())?, PrivateKeyDer::Pkcs8(der));
            let (account, _) = builder().create_from_key(key, directory).await?;
            let known = KeptAccount { id: Some(account.id().to_string()), ..known };
            write(kept, &known).await?;
            (account, known)
        }
    };
    if known.email != authority.email {
        let contact = contact(authority);
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        match account.update_contacts(&contact).await {
            Ok(()) => {
                known.email = authority.email.clone();
                write(kept, &known).await?;
            }
            // It can do without.
            Err(error) => tracing::warn!(
                %error,
                authority = %authority.directory,
                "the authority does not take `tls.acme.email`"
            ),
        }
    }
    Ok(account)
}

/// The authority does not know our account any more: it is made again, with the same key.
pub(super) async fn forget(kept: &Kept) -> Result<(), Failure> {
    if let Some(known) = read(kept).await? {
        write(kept, &KeptAccount { id: None, email: None, ..known }).await?;
    }
    Ok(())
}

/// Whether the authority takes no note of what an order is to replace.
pub(super) async fn ignores_replaces(kept: &Kept) -> Result<bool, Failure> {
    Ok(read(kept).await?.is_some_and(|known| known.ignores_replaces))
}

/// It has taken none: it is not told any more.
pub(super) async fn note_ignores_replaces(kept: &Kept) -> Result<(), Failure> {
    match read(kept).await? {
        Some(known) => write(kept, &KeptAccount { ignores_replaces: true, ..known }).await,
        None => Ok(()),
    }
}

/// A new account that is bound to one that there is.
async fn bound(
    authority: &AcmeAuthority,
    builder: AccountBuilder,
    external: &ExternalAccount,
    keys: &SigningKeys,
) -> Result<(Account, KeptAccount), Failure> {
    let no_key = || {
        let why = format!("{} holds no key in base64", external.key_file.display());
        Failure::new(why, "it is the key that the authority gives with `external_account.id`")
    };
    let key = keys.of(&external.key_file).ok_or_else(no_key)?;
    let text = std::str::from_utf8(key.bytes()).map_err(|_| no_key())?.trim_end_matches('=');
    let key = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
    let key = ExternalAccountKey::new(external.id.clone(), &key.map_err(|_| no_key())?);
    let contact = contact(authority);
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = builder.create(&new, authority.directory.to_string(), Some(&key)).await?;
    let (account, credentials) = made;
    let id = Some(account.id().to_string());
    let known = KeptAccount::new(credentials.private_key().secret_pkcs8_der(), id);
    let (email, external) = (authority.email.clone(), Some(external.id.clone()));
    Ok((account, KeptAccount { email, external, ..known }))
}

/// Where the authority may write to.
fn contact(authority: &AcmeAuthority) -> Vec<String> {
    authority.email.iter().map(|email| format!("mailto:{email}")).collect()
}

async fn read(kept: &Kept) -> Result<Option<KeptAccount>, Failure> {
    let kept = kept.clone();
    Ok(beside(move || kept.account()).await?)
}

async fn write(kept: &Kept, account: &KeptAccount) -> Result<(), Failure> {
    let (kept, account) = (kept.clone(), account.clone());
    Ok(beside(move || kept.put_account(&account)).await?)
}
