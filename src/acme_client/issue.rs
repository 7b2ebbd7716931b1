//! One certificate: who wants it in, the authority's signature out, or why there is none.
//!
//! An order is kept as soon as the authority knows of it, with the key that its certificate will have: a
//! process that is killed anywhere in between is followed by one that goes on with it.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationState, AuthorizationStatus, CertificateIdentifier, ChallengeStatus,
    ChallengeType, Identifier, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::failure::{Failure, is_gone, is_ignored, is_refused};
use super::kept::{Begun, Kept, Progress};
use super::{account, beside};
use crate::acme::{Holder, SHORT_LIVED, Wanted};
use crate::certificate::Pair;
use crate::config::Challenge;
use crate::files::pair_in;
use crate::wire::clients::Common;

/// How long an authority may look, and sign: some do it in the background, and see us from several places.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));

/// What is wanted of an authority.
pub(super) struct Issue<'a> {
    pub wanted: &'a Wanted,
    /// How it looks this time.
    pub way: Challenge,
    /// The certificate that it is to be in the place of, if the authority wants to know.
    pub replaces: Option<CertificateIdentifier<'static>>,
    pub kept: &'a Kept,
    pub common: &'a Common,
}

impl Issue<'_> {
    /// Has it ordered, shows that the names are ours, and keeps what comes. `progress` says how far it has
    /// come before.
    pub async fn run(self, account: &Account, progress: &mut Progress) -> Result<Pair, Failure> {
        let (mut order, key) = match self.resumed(account, progress).await? {
            Some(resumed) => resumed,
            None => self.begin(account, progress).await?,
        };
        let chain = match self.signed(&mut order, &key).await {
            Ok(chain) => chain,
            Err(mut failure) => {
                failure.ends_order |= order.state().status == OrderStatus::Invalid;
                return Err(failure);
            }
        };
        let pem = format!("{chain}\n{}", key.serialize_pem());
        let holder = self.wanted.holder.clone();
        let file = self.kept.place(&holder).unwrap_or_else(|| holder.to_string().into());
        let pair = pair_in(&file, pem.as_bytes())?;
        if !is_for(&pair, &holder) {
            let names = pair.about.names.join(", ");
            let why = format!("the authority gave a certificate for {names}");
            return Err(Failure { ends_order: true, ..Failure::new(why, "") });
        }
        let (kept, key) = (self.kept.clone(), key.serialize_pem());
        beside(move || kept.put_certificate(&holder, &chain, &key)).await?;
        Ok(pair)
    }

    /// The order that a try before this one has begun, perhaps another process's, if it is still good for
    /// something. An error if that is not known: it stays begun.
    async fn resumed(
        &self,
        account: &Account,
        progress: &mut Progress,
    ) -> Result<Option<(Order, KeyPair)>, Failure> {
        let begun = progress.begun.as_ref();
        let key = begun.and_then(|begun| KeyPair::from_pem(&begun.key).ok());
        if let (Some(begun), Some(key)) = (begun, key) {
            match account.order(begun.url.clone()).await {
                Ok(mut order) => {
                    if order.state().status != OrderStatus::Invalid {
                        return Ok(Some((order, key)));
                    }
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        progress.begun = None;
        Ok(None)
    }

    /// Shows that the names are ours, and has the certificate signed: its chain.
    async fn signed(&self, order: &mut Order, key: &KeyPair) -> Result<String, Failure> {
        if order.state().status == OrderStatus::Pending {
            let _shown = self.show(order).await?;
            if order.poll_ready(&PATIENCE).await? == OrderStatus::Invalid {
                return Err(why_invalid(order).await);
            }
        }
        if order.state().status == OrderStatus::Ready {
            let mut params = CertificateParams::new(self.wanted.holder.names())?;
            params.distinguished_name = DistinguishedName::new();
            order.finalize_csr(params.serialize_request(key)?.der()).await?;
        }
        Ok(order.poll_certificate(&PATIENCE).await?)
    }

    /// A new order.
    async fn begin(
        &self,
        account: &Account,
        progress: &mut Progress,
    ) -> Result<(Order, KeyPair), Failure> {
        let identifiers: Vec<Identifier> = match &self.wanted.holder {
            Holder::Host(host) => vec![Identifier::Dns(host.to_string())],
            Holder::Addresses(all) => all.iter().copied().map(Identifier::Ip).collect(),
        };
        let profile = self.profile(account)?;
        let new = || {
            let new = NewOrder::new(&identifiers);
            profile.iter().fold(new, |new, profile| new.profile(profile))
        };
        let key = KeyPair::generate()?;
        let ignores = self.replaces.is_some() && account::ignores_replaces(self.kept).await?;
        let ordered = match self.replaces.as_ref().filter(|_| !ignores) {
            Some(replaces) => match account.new_order(&new().replaces(replaces.clone())).await {
                // It is ordered all the same.
                Err(error) if is_refused(&error) => account.new_order(&new()).await,
                // There is an order now, and what it is called is lost: once is enough.
                Err(error) if is_ignored(&error) => {
                    account::note_ignores_replaces(self.kept).await?;
                    account.new_order(&new()).await
                }
                ordered => ordered,
            },
            None => account.new_order(&new()).await,
        };
        let order = ordered.map_err(Failure::of_order)?;
        let begun = Begun { url: order.url().to_string(), key: key.serialize_pem() };
        progress.begun = Some(begun);
        let (kept, holder, progress) =
            (self.kept.clone(), self.wanted.holder.clone(), progress.clone());
        beside(move || kept.put_progress(&holder, &progress)).await?;
        Ok((order, key))
    }

    /// What kind of certificate: what is set, else what addresses need.
    fn profile(&self, account: &Account) -> Result<Option<String>, Failure> {
        let known: Vec<&str> = account.profiles().map(|profile| profile.name).collect();
        let knows = |name: &str| known.contains(&name);
        match (&self.wanted.authority.profile, &self.wanted.holder) {
            (Some(asked), _) if knows(asked) => Ok(Some(asked.clone())),
            (Some(asked), _) => Err(Failure::new(
                match known.is_empty() {
                    true => format!("the authority has no profiles, and so no `{asked}`"),
                    false => {
                        format!("the authority has no profile `{asked}`, but {}", known.join(", "))
                    }
                },
                "correct `tls.acme.profile`, or leave it out",
            )),
            (None, Holder::Addresses(_)) if knows(SHORT_LIVED) => Ok(Some(SHORT_LIVED.into())),
            (None, _) => Ok(None),
        }
    }

    /// Puts what the authority looks for where it looks, for as long as the answer lives, and tells it so.
    async fn show(&self, order: &mut Order) -> Result<Shown, Failure> {
        let mut shown = Shown { common: self.common.clone(), tokens: vec![], names: vec![] };
        let (kind, word) = match self.way {
            Challenge::Http => (ChallengeType::Http01, "http-01"),
            Challenge::TlsAlpn => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                // It is none any more, and so the order is not either.
                _ => return Err(why_refused(&authorization)),
            }
            let offered: Vec<String> =
                authorization.challenges.iter().map(|one| format!("{:?}", one.r#type)).collect();
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                let offered = offered.join(", ");
                let why = format!("the authority does not look by {word}, but by {offered}");
                return Err(Failure::new(why, "set `tls.acme.challenge` to one that it takes"));
            };
            let (name, answer) =
                (challenge.identifier().to_string(), challenge.key_authorization());
            match self.way {
                Challenge::Http => {
                    self.common.challenges.put(&challenge.token, answer.as_str());
                    shown.tokens.push(challenge.token.clone());
                }
                Challenge::TlsAlpn => {
                    let put = self.common.ordered.put_challenge(&name, answer.digest().as_ref());
                    put.map_err(|error| Failure::new(error.to_string(), ""))?;
                    shown.names.push(name);
                }
            }
            // An order that was begun before may be looked at already.
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await?;
            }
        }
        Ok(shown)
    }
}

/// What an authority can find now; it is taken away when this ends.
struct Shown {
    common: Common,
    tokens: Vec<String>,
    names: Vec<String>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.tokens.iter().for_each(|token| self.common.challenges.remove(token));
        self.names.iter().for_each(|name| self.common.ordered.remove_challenge(name));
    }
}

/// Whether a certificate is for all that a holder has.
pub(super) fn is_for(pair: &Pair, holder: &Holder) -> bool {
    holder.names().iter().all(|name| pair.about.names.contains(name))
}

/// What an authority has not liked: it is said of what it looked at, and not of the order.
async fn why_invalid(order: &mut Order) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        if authorization.challenges.iter().any(|challenge| challenge.error.is_some()) {
            return why_refused(&authorization);
        }
    }
    refused(None)
}

/// What an authority has not liked of what it looked at.
fn why_refused(authorization: &AuthorizationState) -> Failure {
    refused(authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref()))
}

/// Nothing comes of an order, for this reason.
fn refused(problem: Option<&Problem>) -> Failure {
    let untold = || Failure::new("the authority has refused the order, and does not say why", "");
    Failure { ends_order: true, ..problem.map_or_else(untold, Failure::told) }
}
