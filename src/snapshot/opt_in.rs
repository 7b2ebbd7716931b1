//! Who may name a pool: a request's facts in, the pool that it names out, if it may.
//!
//! The field is written in the docs, and pools that get nothing yet are reached by it. So it may be tied to
//! networks, to a secret, or to both; whoever is not let in is a client like any other.

use http::header::HeaderName;
use subtle::ConstantTimeEq;

use crate::config::{self, SigningKey, SigningKeys};
use crate::http::cookies;
use crate::route::{Facts, Tester};

/// Who may name a pool, and how.
#[derive(Clone, Debug)]
pub struct OptIn {
    told: config::OptIn,
    /// What has to follow the pool's name; none if nothing has to, or its file was not read.
    secret: Option<SigningKey>,
}

impl OptIn {
    /// As the config tells, with the secret from among its keys.
    pub fn of(told: &config::OptIn, keys: &SigningKeys) -> OptIn {
        let secret = told.secret_file.as_deref().and_then(|file| keys.of(file)).cloned();
        OptIn { told: told.clone(), secret }
    }

    /// What a request asks for and may ask for.
    pub fn tester<'r>(&self, facts: &Facts<'r>) -> Tester<'r> {
        Tester { pool: self.named(facts), is_known: self.told.is_tied() }
    }

    /// The name of a pool that a request asks for and may ask for.
    fn named<'r>(&self, facts: &Facts<'r>) -> Option<&'r [u8]> {
        let said = self.said(facts)?;
        let from = &self.told.from;
        let is_near = || {
            // Of whom a trusted proxy does not say who it is nobody knows where it is.
            let client = facts.client.filter(|_| !facts.is_doubtful);
            let client = client.map(|client| client.to_canonical());
            client.is_some_and(|client| from.iter().any(|network| network.contains(&client)))
        };
        if !from.is_empty() && !is_near() {
            return None;
        }
        if self.told.secret_file.is_none() {
            return Some(said);
        }
        // No pool's name has a colon.
        let colon = said.iter().position(|byte| *byte == b':')?;
        let is_it = self.secret.as_ref()?.bytes().ct_eq(&said[colon + 1..]);
        bool::from(is_it).then_some(&said[..colon])
    }

    /// What a request says in the field, in the query or in the cookie, in this order.
    fn said<'r>(&self, facts: &Facts<'r>) -> Option<&'r [u8]> {
        let config::OptIn { header, query, cookie, .. } = &self.told;
        let header = header.as_ref().and_then(|header| facts.fields.view.first(header));
        let in_query = || {
            let query = query.as_deref()?;
            let (_, parameters) = facts.path_and_query.split_once('?')?;
            let mut pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == query).map(|(_, value)| value.as_bytes())
        };
        let in_cookie = || cookies::named(&facts.fields, cookie.as_deref()?).next();
        let said = header.or_else(in_query).or_else(in_cookie);
        said.filter(|said| !said.is_empty())
    }

    /// The field, if it carries a secret that no upstream is to see.
    pub fn hidden(&self) -> Option<&HeaderName> {
        self.told.secret_file.as_ref().and(self.told.header.as_ref())
    }
}
