//! What a listener has set for all requests that come by it.

use std::sync::Arc;

use http::HeaderValue;
use http::header::LOCATION;

use super::challenges::{Challenges, FOLDER};

/// Of one listener.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// The port where requests are led that are not by HTTPS; none if they are served.
    pub https_port: Option<u16>,
    /// What browsers are told of HTTPS (RFC 6797).
    pub hsts: Option<HeaderValue>,
    /// What authorities find here; none if no certificates are ordered.
    pub challenges: Option<Arc<Challenges>>,
}

impl Entrance {
    /// Whether anything is set.
    pub fn is_any(&self) -> bool {
        self.https_port.is_some() || self.hsts.is_some() || self.challenges.is_some()
    }

    /// The field that says where to ask instead, if requests in the clear are led to HTTPS and this one
    /// is not one of an authority's.
    pub fn instead(
        &self,
        host: &str,
        path_and_query: &str,
    ) -> Option<(http::HeaderName, HeaderValue)> {
        let port = self.https_port?;
        if path_and_query.starts_with(FOLDER) {
            return None;
        }
        // `*`, and what else is no path, is led to the root.
        let path = if path_and_query.starts_with('/') { path_and_query } else { "/" };
        let place = match port {
            443 => format!("https://{host}{path}"),
            port => format!("https://{host}:{port}{path}"),
        };
        HeaderValue::from_str(&place).ok().map(|place| (LOCATION, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_the_clear_is_led_to_the_same_place_by_https() {
        let instead = |port, host: &str, path: &str| {
            let entrance = Entrance { https_port: Some(port), ..Entrance::default() };
            let found = entrance.instead(host, path);
            found.map(|(_, place)| place.to_str().unwrap().to_string())
        };
        let to = |place: &str| Some(place.to_string());
        assert_eq!(instead(443, "shop.test", "/a?b=c"), to("https://shop.test/a?b=c"));
        assert_eq!(instead(8443, "[::1]", "/"), to("https://[::1]:8443/"));
        assert_eq!(instead(443, "shop.test", "*"), to("https://shop.test/"));
        assert_eq!(instead(443, "shop.test", "//evil.test"), to("https://shop.test//evil.test"));
        assert_eq!(instead(443, "shop.test", "/.well-known/acme-challenge/x"), None);
        assert_eq!(Entrance::default().instead("shop.test", "/"), None);
    }
}
