//! Whoever brings a token: a line's bounds in, whether something is within them out.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::Role;

/// Whoever brings a token: its name, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// What is ordered with it is by this name.
    pub name: Arc<str>,
    /// Which operations it may ask for.
    pub role: Role,
    /// The services it is bound to; none if it is for all.
    pub services: Option<Arc<[Box<str>]>>,
    /// Where upstreams may be that it adds or removes, which [`Role::Deploy`] always says; none if
    /// nothing is said, as for roles that may do either anywhere or not at all.
    pub networks: Option<Arc<[IpNet]>>,
}

impl Bearer {
    /// One that may do all.
    pub(super) fn unbound(name: Arc<str>) -> Bearer {
        Bearer { name, role: Role::Admin, services: None, networks: None }
    }

    /// Whether it may see and change what is of this service.
    pub fn is_for(&self, service: &str) -> bool {
        let bound = self.services.as_ref();
        bound.is_none_or(|services| services.iter().any(|name| **name == *service))
    }

    /// Whether it may add or remove an upstream at this address; none for what is not one yet, such
    /// as a name, which may lead anywhere.
    pub fn reaches(&self, address: Option<IpAddr>) -> bool {
        let Some(networks) = &self.networks else { return true };
        let inside = |ip: IpAddr| networks.iter().any(|network| network.contains(&ip));
        address.is_some_and(|ip| inside(ip.to_canonical()))
    }
}
