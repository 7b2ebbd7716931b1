//! How many requests of one client are let through: a table in, checked settings out.

use std::sync::Arc;
use std::time::Duration;

use super::key::{Table, boolean, number, number_option, secs, text_option, time, word};
use super::section::Section;
use super::sticky::keys;
use super::{Problem, Problems};
use crate::rate::{Keyless, Rate, RateSettings, Told};
use crate::split::{Sticky, StickyKey};

/// The largest burst; as many as that in a day still fit into a bucket.
const LARGEST_BURST: u32 = 100_000;

pub(super) static RATE_LIMIT: Table = Table::new(
    "A limit on the requests of each client; none by default. What is above it gets a 429 with \
     Retry-After, RateLimit-Policy and RateLimit. A route of the service may have one of its own, which \
     is asked first. A client is the first of these keys that a request carries; without any of them the \
     client's address, as `trusted_proxies` tell it.",
    &[
        number_option("requests", (1, 1_000_000), "100").example("100"),
        time("per", secs(1)).about("in so long, evenly"),
        number_option("burst", (1, LARGEST_BURST as u64), "200")
            .about("of which so many may come at once; default: `requests`, 100,000 at most"),
        text_option("header", "\"x-api-key\"").about(
            "a request field. Whoever can make up values has a limit for each: let the application \
             check them, and limit addresses too",
        ),
        text_option("cookie", "\"session\"").about("the application's; as with fields"),
        boolean("client_ip", false)
            .option("true")
            .about("the client's address, behind `header` or `cookie`"),
        number("ipv6_prefix", (32, 128), 64)
            .about("so many bits of an IPv6 address are one client's"),
        word("keyless", &["pass", "share"])
            .about("requests without a key are let through, or share one limit"),
        word("told", &["refused", "all"]).about(
            "who gets RateLimit-Policy and RateLimit: who is refused, or all, on upstreams' answers",
        ),
        number("keys", (64, 16_777_216), 65_536).about(
            "clients that are counted apart, 16 bytes each. A further one takes the place of the one \
             that has used least of its limit, and what that has used",
        ),
    ],
);

/// A limit; none if it says not how many.
pub(super) fn rate_limit(
    mut section: Section<'_>,
    problems: &mut Problems,
) -> Option<Arc<RateSettings>> {
    let requests: Option<u32> = section.number_if_given(problems, "requests");
    if !section.has("requests") {
        let problem = Problem::error(section.span.clone(), "a rate limit needs `requests`");
        problems.0.push(problem.help("for example `requests = 100`"));
    }
    let period: Duration = section.time(problems, "per");
    let burst: Option<u32> = section.number_if_given(problems, "burst");
    let mut keys = keys(&mut section, problems);
    let keyless = section.word(problems, "keyless", |word| match word {
        "pass" => Some(Keyless::Pass),
        _ => Some(Keyless::Share),
    });
    let told = section.word(problems, "told", |word| match word {
        "refused" => Some(Told::Refused),
        _ => Some(Told::All),
    });
    if keys.is_empty() {
        keys.push(StickyKey::ClientIp);
    }
    let ipv6_prefix = section.number(problems, "ipv6_prefix");
    let places: u32 = section.number(problems, "keys");
    section.close(problems);
    let requests = requests?;
    let burst = burst.unwrap_or(requests.min(LARGEST_BURST));
    Some(Arc::new(RateSettings {
        rate: Rate { requests, period, burst },
        key: Sticky { keys },
        ipv6_prefix,
        keyless: keyless.unwrap_or(Keyless::Pass),
        keys: places as usize,
        told: told.unwrap_or(Told::Refused),
    }))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Config, String> {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop.rate_limit]\n{lines}\n\
             [services.shop.pools.only]\nupstreams = [\"a:1\"]\n"
        );
        let parsed = Config::parse(&text);
        parsed.map(|(config, _)| config).map_err(|problems| problems.render(&text, "t", false))
    }

    #[test]
    fn a_limit_says_how_many_and_knows_clients_by_their_address_if_it_says_no_more() {
        let limit = parse("requests = 10").unwrap().services[0].rate_limit.clone().unwrap();
        assert_eq!(
            (limit.rate.requests, limit.rate.burst, limit.rate.period.as_secs()),
            (10, 10, 1)
        );
        assert_eq!(format!("{:?} {:?}", limit.key.keys, limit.keyless), "[ClientIp] Pass");
        let text =
            "requests = 10\nburst = 3\nper = \"1m\"\nheader = \"x-key\"\nkeyless = \"share\"";
        let limit = parse(text).unwrap().services[0].rate_limit.clone().unwrap();
        assert_eq!((limit.rate.burst, limit.rate.period.as_secs()), (3, 60));
        assert_eq!(
            format!("{:?} {:?}", limit.key.keys, limit.keyless),
            "[Header(\"x-key\")] Share"
        );
        let refused = parse("per = \"1m\"").unwrap_err();
        assert!(refused.contains("a rate limit needs `requests`"), "{refused}");
    }
}
