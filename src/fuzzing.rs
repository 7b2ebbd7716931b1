//! What must hold for any bytes in rooms that nobody outside may enter: the targets of `fuzz/` that need
//! more than the library shows. Not part of what is built for use.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncReadExt;

use crate::auth::Users;
use crate::http::forwarded::Ends;
use crate::upstream::{DialAddress, ProxiedTarget, ProxyVersion};
use crate::wire::proxy_header::read;

/// One life of a proxy: what is ordered, what fails and when is said by the bytes, as far as they go.
pub fn orders(bytes: &[u8]) {
    crate::orders::simulation::live_by(bytes);
}

/// What happens to requests of some clients, in whatever order.
pub fn exchange_events(bytes: &[u8]) {
    let _ = crate::exchange::any::run(bytes);
}

/// The header of the PROXY protocol is the same however it is cut; what is behind it is left; and what we
/// would write of the same ends is read as that.
pub fn proxy_header(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_first().map_or((0, bytes), |(cut, rest)| (*cut, rest));
    let (whole, left) = of(bytes);
    let (first, rest) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let mut cut = first.chain(rest);
    assert_eq!(now(read(&mut cut)).map_err(|error| error.kind()), whole);
    let (first, rest) = cut.into_inner();
    assert!(whole.is_err() || first.len() + rest.len() == left, "as much is left");
    let Ok(Some(ends)) = whole else { return };
    let (Some(source), Some(destination)) = (ends.source, ends.destination) else { return };
    let below = DialAddress::Socket(SocketAddr::from(([192, 0, 2, 1], 80)));
    let connection = Arc::new(ends);
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let target = DialAddress::Proxied(Arc::new(ProxiedTarget::new(below.clone(), version)));
        let address = source.ip().to_canonical();
        let spoken = target.speaking_for(Some(address), &connection, || None);
        let Some(DialAddress::Proxied(target)) = spoken else {
            panic!("a connection that says for whom")
        };
        let (Ok(Some(again)), 0) = of(&target.header()) else { panic!("what we write is read") };
        let same = |one: Option<SocketAddr>, other: SocketAddr| {
            let one = one.expect("it says both");
            one.port() == other.port()
                && (one.ip().to_canonical() == other.ip().to_canonical()
                    // Nobody's address is of either family.
                    || (one.ip().is_unspecified() && other.ip().is_unspecified()))
        };
        assert!(same(again.source, source), "{again:?} of {source}");
        assert!(same(again.destination, destination), "{again:?} of {destination}");
    }
}

/// A file of users is read, or told what is wrong with it in one of its lines, and never what stands behind
/// a name; comments, blank lines and ends of lines say nothing; and what is taken can be checked.
pub fn users(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = Users::of(&text);
    let meant =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let meant: Vec<&str> = meant.collect();
    let spread: String = meant.iter().map(|line| format!("# a:b\n\n \t{line} \r\n")).collect();
    let again = Users::of(&spread);
    match (&read, &again) {
        (Ok(users), Ok(same)) => {
            assert_eq!(users, same, "{text:?}");
            assert!(users.try_cheap(b"secret") <= meant.len());
        }
        (Err(one), Err(other)) => {
            // But for the numbers of lines.
            let words = |error: &dyn std::fmt::Display| -> String {
                error.to_string().chars().filter(|c| !c.is_ascii_digit()).collect()
            };
            assert_eq!(words(one), words(other), "{text:?}");
        }
        _ => panic!("{text:?}: {read:?}, and {again:?}"),
    }
    const MARK: &str = "b3h1nd";
    let marked: String = text.lines().map(|line| format!("{line}{MARK}\n")).collect();
    if let Err(error) = Users::of(&marked).map_err(|error| error.to_string()) {
        assert!(!error.contains(MARK) || text.contains(MARK), "{error}");
    }
}

/// What is read of these bytes, and how many of them are left.
fn of(bytes: &[u8]) -> (Result<Option<Ends>, std::io::ErrorKind>, usize) {
    let mut from = bytes;
    let read = now(read(&mut from)).map_err(|error| error.kind());
    (read, from.len())
}

/// What comes of something that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("bytes that are here are not waited for"),
    }
}

#[cfg(test)]
#[path = "../fuzz/change.rs"]
mod change;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::exchange::any::Seen;

    /// The seeds of this target, and so many inputs that little changes make of them.
    fn over(name: &str, target: impl FnMut(&[u8]), changed: usize) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        change::over(&seeds, target, changed);
    }

    #[test]
    fn a_proxy_header_is_what_it_is_however_it_is_cut() {
        over("proxy_header", proxy_header, 20_000);
    }

    #[test]
    fn a_file_of_users_is_read_or_told_what_is_wrong_and_nothing_of_a_password() {
        over("users", users, 3_000);
    }

    #[test]
    fn whatever_happens_to_requests_each_has_one_record_and_nothing_is_held() {
        let mut all = Seen::default();
        over(
            "exchange_events",
            |bytes| {
                let Seen { relayed, waited, again, answered } = crate::exchange::any::run(bytes);
                all.relayed += relayed;
                all.waited += waited;
                all.again += again;
                all.answered += answered;
            },
            3_000,
        );
        let counts = [all.relayed, all.waited, all.again, all.answered];
        assert!(counts.iter().all(|&count| count > 1_000), "{all:?}");
    }

    #[test]
    fn whatever_is_ordered_when_traffic_goes_where_the_revisions_say() {
        over("orders", orders, 10);
    }

    #[test]
    fn bytes_that_say_nothing_are_no_trouble() {
        [proxy_header, exchange_events, orders, users].iter().for_each(|target| target(&[]));
    }
}
