//! The fields that rules are about: names in, places in a small set out.
//!
//! Whoever walks over a head's fields notes which of these it met. To ask for one that is not there
//! costs a bit then; looking each up would cost a hash of its name every time.

use http::header::HeaderName;

use super::view::View;

macro_rules! fields {
    ($($(#[doc = $doc:literal])* $id:ident, $name:literal;)*) => {
        /// A field that some rule is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum FieldId {
            $($(#[doc = $doc])* $id,)*
        }

        /// By place.
        static NAMES: [HeaderName; FieldId::ALL.len()] = [$(name($name)),*];

        /// The bytes of their names, by place.
        const BYTES: [&[u8]; FieldId::ALL.len()] = [$($name),*];

        /// What their lines begin with, by place.
        static BEGINS: [&[u8]; FieldId::ALL.len()] =
            [$({ const LINE: [u8; $name.len() + 2] = begin($name); &LINE }),*];

        impl FieldId {
            /// All of them.
            pub const ALL: [FieldId; [$(FieldId::$id),*].len()] = [$(FieldId::$id),*];

            /// The one of this name, which is in lower case.
            pub fn of(name: &str) -> Option<FieldId> {
                // By bytes, because the compiler looks at the length first then.
                match name.as_bytes() {
                    $($name => Some(FieldId::$id),)*
                    _ => None,
                }
            }
        }
    };
}

/// A name, a colon and a space.
const fn begin<const LENGTH: usize>(name: &[u8]) -> [u8; LENGTH] {
    let (mut line, mut at) = ([b' '; LENGTH], 0);
    while at < name.len() {
        line[at] = name[at];
        at += 1;
    }
    line[at] = b':';
    line
}

const fn name(bytes: &'static [u8]) -> HeaderName {
    match std::str::from_utf8(bytes) {
        Ok(name) => HeaderName::from_static(name),
        Err(_) => panic!("a field name is ASCII"),
    }
}

fields! {
    /// `Accept`.
    Accept, b"accept";
    /// `Connection`.
    Connection, b"connection";
    /// `Content-Length`.
    ContentLength, b"content-length";
    /// `Content-Type`.
    ContentType, b"content-type";
    /// `Cookie`.
    Cookie, b"cookie";
    /// `Date`.
    Date, b"date";
    /// `Expect`.
    Expect, b"expect";
    /// `Forwarded` (RFC 7239).
    Forwarded, b"forwarded";
    /// `Host`.
    Host, b"host";
    /// `Keep-Alive`.
    KeepAlive, b"keep-alive";
    /// `Max-Forwards`.
    MaxForwards, b"max-forwards";
    /// `Proxy-Authentication-Info`.
    ProxyAuthenticationInfo, b"proxy-authentication-info";
    /// `Proxy-Authorization`.
    ProxyAuthorization, b"proxy-authorization";
    /// `Proxy-Connection`.
    ProxyConnection, b"proxy-connection";
    /// `TE`.
    Te, b"te";
    /// `traceparent`.
    Traceparent, b"traceparent";
    /// `tracestate`.
    Tracestate, b"tracestate";
    /// `Trailer`.
    Trailer, b"trailer";
    /// `Transfer-Encoding`.
    TransferEncoding, b"transfer-encoding";
    /// `Upgrade`.
    Upgrade, b"upgrade";
    /// Who a client has shown to be by its certificate, which only we may say.
    ClientSubject, b"x-client-cert-subject";
    /// `X-Feature-Flags`, which only we may say: names in order, commas between.
    FeatureFlags, b"x-feature-flags";
    /// `X-Forwarded-For`.
    ForwardedFor, b"x-forwarded-for";
    /// `X-Forwarded-Host`.
    ForwardedHost, b"x-forwarded-host";
    /// `X-Forwarded-Port`.
    ForwardedPort, b"x-forwarded-port";
    /// `X-Forwarded-Proto`.
    ForwardedProto, b"x-forwarded-proto";
    /// `X-Forwarded-Server`.
    ForwardedServer, b"x-forwarded-server";
    /// The mark of a response that does not come from the pool it should come from, which only we may
    /// set.
    FallbackMark, b"x-pointsman-fallback";
    /// By which an upstream reports what it counts itself, such as `checkout_failed=1`.
    Metric, b"x-pointsman-metric";
    /// The mark of a copy, which only we may set.
    MirrorMark, b"x-pointsman-mirror";
    /// `X-Real-IP`.
    RealIp, b"x-real-ip";
    /// `X-Request-Id`.
    RequestId, b"x-request-id";
}

/// Names of one length.
#[derive(Clone, Copy)]
struct Alike {
    /// Their first letters; 0 for none.
    firsts: [u8; MOST_ALIKE],
    ids: [FieldId; MOST_ALIKE],
}

/// Those of each length of name, with their first letters, so that few names are looked at more than once.
static BY_LENGTH: [Alike; LONGEST + 1] = {
    let none = Alike { firsts: [0; MOST_ALIKE], ids: [FieldId::Accept; MOST_ALIKE] };
    let mut table = [none; LONGEST + 1];
    let mut nth = 0;
    while nth < FieldId::ALL.len() {
        let id = FieldId::ALL[nth];
        let row = &mut table[BYTES[nth].len()];
        let mut place = 0;
        while row.firsts[place] != 0 {
            place += 1;
        }
        (row.firsts[place], row.ids[place]) = (BYTES[nth][0], id);
        nth += 1;
    }
    table
};

/// Bytes of the longest name, and how many names there are of one length.
const LONGEST: usize = 25;
const MOST_ALIKE: usize = 3;

impl FieldId {
    /// The one of this name, which is a token, in whichever case it was written.
    pub fn of_line(name: &[u8]) -> Option<FieldId> {
        let (alike, first) = (BY_LENGTH.get(name.len())?, *name.first()? | LOWER);
        let ids = alike.ids.iter().zip(alike.firsts);
        let mut alike = ids.filter(|(_, begins)| *begins == first).map(|(id, _)| *id);
        alike.find(|id| is_in_any_case(name, BYTES[*id as usize]))
    }

    /// Its name.
    pub fn name(self) -> &'static HeaderName {
        &NAMES[self as usize]
    }

    /// What a line of it begins with: its name, a colon and a space.
    pub(super) fn line_begin(self) -> &'static [u8] {
        BEGINS[self as usize]
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// The bit by which letters differ in case.
const LOWER: u8 = 0x20;

/// Whether a token is this name, which is as long and of small letters, digits and hyphens. Setting the
/// bit makes no other byte of a token one of these.
fn is_in_any_case(token: &[u8], name: &[u8]) -> bool {
    const EIGHT: u64 = u64::from_ne_bytes([LOWER; 8]);
    let is_same = |token: &[u8; 8], name: &[u8; 8]| {
        u64::from_ne_bytes(*token) | EIGHT == u64::from_ne_bytes(*name)
    };
    if let (Some(token_end), Some(name_end)) = (token.last_chunk(), name.last_chunk()) {
        let (token, name) = (token.as_chunks::<8>().0, name.as_chunks::<8>().0);
        // The last eight may be looked at twice.
        return is_same(token_end, name_end)
            && token.iter().zip(name).all(|(token, name)| is_same(token, name));
    }
    token.iter().zip(name).all(|(token, name)| token | LOWER == *name)
}

/// Which fields a head carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known(u64);

impl Known {
    /// None.
    pub const NONE: Known = Known(0);

    /// Some that only a proxy may say and no rule knows one by one (see `http/claims.rs`).
    pub const CLAIMS: Known = Known(1 << 63);

    /// Any, as long as nobody has looked.
    pub const ANY: Known = Known(u64::MAX);

    /// These.
    pub const fn of(ids: &[FieldId]) -> Known {
        let (mut bits, mut at) = (0, 0);
        while at < ids.len() {
            bits |= ids[at].bit();
            at += 1;
        }
        Known(bits)
    }

    /// These and those.
    pub const fn with(self, others: Known) -> Known {
        Known(self.0 | others.0)
    }

    /// One more.
    pub const fn note(&mut self, id: FieldId) {
        self.0 |= id.bit();
    }

    /// One more of those that only a proxy may say.
    pub const fn note_claim(&mut self) {
        self.0 |= Known::CLAIMS.0;
    }

    /// Whether this one is there.
    pub const fn has(self, id: FieldId) -> bool {
        self.0 & id.bit() != 0
    }

    /// Whether any of these is there.
    pub const fn has_any(self, of: Known) -> bool {
        self.0 & of.0 != 0
    }
}

/// A request's fields, and which of those that matter are among them.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'r> {
    /// All of them.
    pub view: View<'r>,
    known: Known,
}

impl<'r> Fields<'r> {
    /// These, of which nothing is known yet.
    pub fn new(view: impl Into<View<'r>>) -> Fields<'r> {
        Fields { view: view.into(), known: Known::ANY }
    }

    /// These, of which somebody has seen all.
    pub(super) fn seen(view: View<'r>, known: Known) -> Fields<'r> {
        Fields { view, known }
    }

    /// Whether this one is there.
    pub fn has(&self, id: FieldId) -> bool {
        self.known.has(id) && (self.known != Known::ANY || self.view.first_of(id).is_some())
    }

    /// Whether any of these may be there.
    pub fn may_have(&self, ids: Known) -> bool {
        self.known.has_any(ids)
    }

    /// The value of its first line.
    pub fn first(&self, id: FieldId) -> Option<&'r [u8]> {
        if self.known.has(id) { self.view.first_of(id) } else { None }
    }

    /// The values of all its lines.
    pub fn all(&self, id: FieldId) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        let view = self.known.has(id).then_some(self.view);
        view.into_iter().flat_map(move |view| view.all_of(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn each_is_found_by_its_name() {
        for id in FieldId::ALL {
            assert_eq!(FieldId::of(id.name().as_str()), Some(id));
            let name = id.name().as_str().to_ascii_uppercase();
            assert_eq!(FieldId::of_line(name.as_bytes()), Some(id));
        }
        assert_eq!(FieldId::of("x-other"), None);
        assert_eq!(FieldId::of_line(b"x-other"), None);
        assert_eq!(FieldId::of_line(&[b'x'; 99]), None);
        assert_eq!(FieldId::of_line(b""), None);
        // Of all that a token may hold, only the other case of a letter is the same.
        for id in FieldId::ALL {
            let name = id.name().as_str().as_bytes();
            for (at, byte) in
                (0..name.len()).flat_map(|at| (b'!'..=b'~').map(move |byte| (at, byte)))
            {
                let mut other = name.to_vec();
                other[at] = byte;
                let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                let is_same = other.eq_ignore_ascii_case(name);
                assert!(
                    !is_token || (FieldId::of_line(&other) == Some(id)) == is_same,
                    "{id:?} {byte}"
                );
            }
        }
        assert!(
            FieldId::ALL.len() < 63,
            "each has a bit of its own, and two are left, for claims and for any"
        );
    }

    #[test]
    fn what_nobody_has_seen_is_looked_up_and_what_is_known_to_be_absent_is_not() {
        let map = HeaderMap::from_iter([(http::header::HOST, "a".parse().unwrap())]);
        let fields = Fields::new(&map);
        assert!(fields.has(FieldId::Host) && !fields.has(FieldId::Cookie));
        assert_eq!(fields.first(FieldId::Host), Some(&b"a"[..]));
        let mut known = Known::NONE;
        known.note(FieldId::Cookie);
        let fields = Fields::seen(View::Map(&map), known);
        assert_eq!((fields.first(FieldId::Host), fields.all(FieldId::Host).count()), (None, 0));
    }
}
