use Unstorable::*;

use super::*;

/// 1994-11-15 08:12:31 UTC, the standard's example.
const WALL: u64 = 784_887_151;
const NOW: &str = "Tue, 15 Nov 1994 08:12:31 GMT";
const MINUTE_LATER: &str = "Tue, 15 Nov 1994 08:13:31 GMT";
const MINUTE_AGO: &str = "Tue, 15 Nov 1994 08:11:31 GMT";

type Fields = &'static [(&'static str, &'static str)];

fn headers(fields: Fields) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let mut headers = HeaderMap::new();
    fields.for_each(|(name, value): (HeaderName, HeaderValue)| {
        headers.append(name, value);
    });
    headers
}

fn asked<'a>(method: &'a Method, headers: &'a HeaderMap) -> Asked<'a> {
    let began = Moment::default();
    Asked { method, host: "h", target: "/", rewritten: None, headers, pool: "blue", began }
}

fn terms_of(
    method: Method,
    request: Fields,
    status: u16,
    response: Fields,
) -> Result<Terms, Unstorable> {
    let request = headers(request);
    let mut response = headers(response);
    response.entry(DATE).or_insert(HeaderValue::from_static(NOW));
    let asked = asked(&method, &request);
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL);
    Terms::of(&asked, &Received { status, headers: &response, now: Moment::default(), wall })
}

/// The outcome for a body of known length.
fn outcome(request: Fields, status: u16, response: Fields) -> Result<(), Unstorable> {
    let framed: Vec<_> = response.iter().copied().chain([("content-length", "2")]).collect();
    terms_of(Method::GET, request, status, framed.leak()).map(drop)
}

const CACHE: &str = "cache-control";

#[test]
fn only_what_a_shared_cache_may_use_stale_is_kept() {
    let cases: &[(Fields, u16, Fields, Result<(), Unstorable>)] = &[
        // Something has to be said.
        (&[], 200, &[], Err(Unsaid)),
        (&[], 200, &[(CACHE, "")], Err(Unsaid)),
        (&[], 200, &[(CACHE, "max-age=60")], Ok(())),
        (&[], 200, &[(CACHE, "max-age=0")], Err(Unsaid)),
        (&[], 200, &[(CACHE, "public")], Ok(())),
        (&[], 200, &[(CACHE, "stale-if-error=60")], Ok(())),
        (&[], 200, &[("etag", "\"a\"")], Err(Unsaid)),
        (&[], 200, &[("last-modified", NOW)], Err(Unsaid)),
        (&[], 200, &[("expires", MINUTE_LATER)], Ok(())),
        (&[], 200, &[("expires", MINUTE_AGO)], Err(Unsaid)),
        (&[], 200, &[("expires", "0")], Err(Unsaid)),
        // Nothing may forbid it.
        (&[], 200, &[(CACHE, "public, no-store")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "public"), (CACHE, "No-Store")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "max-age=60, private")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "max-age=60, private=\"x-a\"")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "no-cache, max-age=60")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "max-age=60, must-revalidate")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "max-age=60, proxy-revalidate")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "s-maxage=60, stale-if-error=60")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "max-age=60, x=\"")], Err(Forbidden)),
        (&[], 200, &[(CACHE, "max-age=60, x=\"no-store\"")], Ok(())),
        (&[], 200, &[("etag", "\"a\""), ("pragma", "no-cache")], Err(Forbidden)),
        (&[(CACHE, "no-store")], 200, &[(CACHE, "public")], Err(Forbidden)),
        // A forced reload brings the newest there is.
        (&[(CACHE, "no-cache")], 200, &[(CACHE, "public")], Ok(())),
        // Nobody gets what is another's.
        (&[], 200, &[(CACHE, "public"), ("set-cookie", "a=b")], Err(Personal)),
        (&[("authorization", "x")], 200, &[(CACHE, "max-age=60")], Err(Personal)),
        (&[("authorization", "x")], 200, &[(CACHE, "public")], Err(Personal)),
        (&[("x-api-key", "x")], 200, &[(CACHE, "public")], Err(Personal)),
        (&[("x-forwarded-prefix", "/x")], 200, &[(CACHE, "public")], Err(Personal)),
        (&[("accept-language", "de")], 200, &[(CACHE, "public")], Ok(())),
        (&[("cookie", "a=b")], 200, &[("etag", "\"a\"")], Err(Personal)),
        (&[("cookie", "a=b")], 200, &[("etag", "\"a\""), (CACHE, "max-age=0")], Err(Personal)),
        (&[("cookie", "a=b")], 200, &[("etag", "\"a\""), (CACHE, "max-age=60")], Err(Personal)),
        (&[("cookie", "a=b")], 200, &[(CACHE, "public"), ("vary", "Cookie")], Err(Personal)),
        // It has to be told from others.
        (&[], 200, &[(CACHE, "public"), ("vary", "accept, *")], Err(Vary)),
        (&[], 200, &[(CACHE, "public"), ("vary", "a"), ("vary", "*")], Err(Vary)),
        (&[], 200, &[(CACHE, "public"), ("vary", "a b")], Err(Vary)),
        (&[], 200, &[(CACHE, "public"), ("vary", ", accept,")], Ok(())),
        (&[("range", "bytes=0-")], 200, &[(CACHE, "public")], Err(Request)),
        (&[("content-length", "5")], 200, &[(CACHE, "public")], Err(Request)),
        (&[("transfer-encoding", "chunked")], 200, &[(CACHE, "public")], Err(Request)),
        (&[("content-length", "0")], 200, &[(CACHE, "public")], Ok(())),
        // Statuses.
        (&[], 203, &[(CACHE, "max-age=60")], Ok(())),
        (&[], 301, &[(CACHE, "max-age=60")], Ok(())),
        (&[], 308, &[(CACHE, "max-age=60")], Ok(())),
        (&[], 404, &[(CACHE, "max-age=60")], Ok(())),
        (&[], 410, &[(CACHE, "max-age=60")], Ok(())),
        (&[], 404, &[(CACHE, "public")], Err(Status)),
        (&[], 301, &[("etag", "\"a\"")], Err(Status)),
        (&[], 204, &[(CACHE, "max-age=60")], Err(Status)),
        (&[], 206, &[(CACHE, "max-age=60")], Err(Status)),
        (&[], 302, &[(CACHE, "max-age=60")], Err(Status)),
        (&[], 304, &[(CACHE, "max-age=60")], Err(Status)),
        (&[], 500, &[(CACHE, "max-age=60")], Err(Status)),
        (&[], 503, &[(CACHE, "max-age=60")], Err(Status)),
        // Others of its kind.
        (&[], 200, &[(CACHE, "public"), ("x-pointsman-fallback", "stale")], Err(Fallback)),
        (&[], 200, &[(CACHE, "public"), ("connection", "close, x-a")], Err(Connection)),
        (&[], 200, &[(CACHE, "public"), ("connection", "Keep-Alive,")], Ok(())),
    ];
    for (request, status, response, wanted) in cases {
        assert_eq!(
            outcome(request, *status, response),
            *wanted,
            "{request:?} {status} {response:?}"
        );
    }
}

#[test]
fn only_get_is_kept_and_only_with_an_end_that_can_be_told() {
    const PUBLIC: (&str, &str) = (CACHE, "public");
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        let kept = terms_of(method, &[], 200, &[PUBLIC, ("content-length", "2")]);
        assert_eq!(kept, Err(Request));
    }
    assert_eq!(terms_of(Method::GET, &[], 200, &[PUBLIC]), Err(Unframed));
    let chunked = &[PUBLIC, ("transfer-encoding", "chunked")];
    assert!(terms_of(Method::GET, &[], 200, chunked).is_ok());
}

#[test]
fn ages_follow_from_what_the_head_says() {
    const LENGTH: (&str, &str) = ("content-length", "2");
    let cases: &[(Fields, [Option<u64>; 3])] = &[
        (&[(CACHE, "max-age=60"), LENGTH], [Some(0), Some(60), None]),
        (&[(CACHE, "max-age=60, stale-if-error=30"), LENGTH], [Some(0), Some(60), Some(90)]),
        (&[(CACHE, "public, stale-if-error=30"), LENGTH], [Some(0), Some(0), Some(30)]),
        (&[(CACHE, "max-age=60, stale-if-error=0"), LENGTH], [Some(0), Some(60), Some(60)]),
        (&[(CACHE, "max-age=60, stale-if-error=x"), LENGTH], [Some(0), Some(60), Some(60)]),
        (&[("expires", MINUTE_LATER), LENGTH], [Some(0), Some(60), None]),
        (&[("expires", MINUTE_LATER), ("date", MINUTE_AGO), LENGTH], [Some(60), Some(120), None]),
        (&[(CACHE, "max-age=5"), ("expires", MINUTE_LATER), LENGTH], [Some(0), Some(5), None]),
        (&[(CACHE, "public"), ("age", "7"), LENGTH], [Some(7), Some(0), None]),
        (
            &[(CACHE, "public"), ("age", "7"), ("date", MINUTE_AGO), LENGTH],
            [Some(60), Some(0), None],
        ),
        (&[(CACHE, "public"), ("age", "-7"), ("date", "now"), LENGTH], [Some(0), Some(0), None]),
        (&[(CACHE, "public"), ("date", MINUTE_LATER), LENGTH], [Some(0), Some(0), None]),
    ];
    for (response, wanted) in cases {
        let terms = terms_of(Method::GET, &[], 200, response).unwrap();
        let ages = [Some(terms.initial_age), Some(terms.lifetime), terms.longest];
        assert_eq!(ages.map(|age| age.map(|age| age.as_secs())), *wanted, "{response:?}");
    }
}

#[test]
fn nominated_fields_and_the_scheme_have_to_be_equal() {
    let request: Fields = &[("accept", " a "), ("accept", "b"), ("x-forwarded-proto", "https")];
    let response: Fields = &[(CACHE, "public"), ("vary", "Accept, X-A"), ("content-length", "2")];
    let terms = terms_of(Method::GET, request, 200, response).unwrap();
    let matches = |fields| terms.nominated.match_with(&headers(fields));
    assert!(matches(request));
    assert!(matches(&[("x-forwarded-proto", "https"), ("accept", "a, b"), ("x-other", "c")]));
    assert!(!matches(&[("accept", "a, b")]));
    assert!(!matches(&[("accept", "a, b"), ("x-forwarded-proto", "http")]));
    assert!(!matches(&[("accept", "a"), ("x-forwarded-proto", "https")]));
    assert!(!matches(&[("x-forwarded-proto", "https")]));
    assert!(!matches(&[("accept", "a, b"), ("x-forwarded-proto", "https"), ("x-a", "")]));
}

#[test]
fn a_client_may_refuse_or_bound_what_it_gets() {
    let takes = |method: Method, fields, age: u64| {
        let headers = headers(fields);
        let asked = asked(&method, &headers);
        let lifetime = Duration::from_secs(10);
        Wish::of(&asked).is_some_and(|wish| wish.takes(Duration::from_secs(age), lifetime))
    };
    let cases: &[(Method, Fields, u64, bool)] = &[
        (Method::GET, &[], 1_000, true),
        (Method::HEAD, &[], 1_000, true),
        (Method::POST, &[], 0, false),
        (Method::DELETE, &[], 0, false),
        (Method::GET, &[("content-length", "5")], 0, false),
        (Method::GET, &[(CACHE, "no-cache")], 0, false),
        (Method::GET, &[("pragma", "no-cache")], 0, false),
        (Method::GET, &[(CACHE, "min-fresh=1")], 0, false),
        (Method::GET, &[(CACHE, "x=\"")], 0, false),
        (Method::GET, &[("if-match", "\"a\"")], 0, false),
        (Method::GET, &[("if-unmodified-since", NOW)], 0, false),
        (Method::GET, &[("if-none-match", "\"a\"")], 20, true),
        (Method::GET, &[("range", "bytes=0-1")], 20, true),
        (Method::GET, &[(CACHE, "only-if-cached")], 20, true),
        (Method::GET, &[(CACHE, "no-store")], 20, true),
        // A browser's reload.
        (Method::GET, &[(CACHE, "max-age=0")], 20, true),
        (Method::GET, &[(CACHE, "max-age=15")], 15, true),
        (Method::GET, &[(CACHE, "max-age=15")], 16, false),
        (Method::GET, &[(CACHE, "max-stale=5")], 15, true),
        (Method::GET, &[(CACHE, "max-stale=5")], 16, false),
        (Method::GET, &[(CACHE, "max-stale")], 1_000, true),
    ];
    for (method, fields, age, wanted) in cases {
        assert_eq!(takes(method.clone(), fields, *age), *wanted, "{method} {fields:?} {age}");
    }
}
