//! The one table of what can go wrong with a request: a cause in; status, name and blame out.

/// Why a request did not get an upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request breaks a rule of HTTP or of ours.
    BadRequest(BadRequest),
    /// No route matches.
    NoRoute,
    /// Its route does not let its client in.
    Denied,
    /// It has not shown whose it is.
    Unauthorized,
    /// Who is asked by its route does not let it in.
    NotLetIn,
    /// Its client was wrong too often about a password.
    LockedOut,
    /// Too many passwords wait to be checked.
    AuthBusy,
    /// Who is asked by its route has said nothing that could be understood.
    AuthFailed,
    /// A tester names a pool that there is not.
    NoPool,
    /// No upstream of its pool takes requests.
    NoUpstream,
    /// The breaker of its pool is open.
    Open,
    /// Its pool refuses so much that it is spared.
    Throttled,
    /// Its client has sent more requests than its service or route takes in this time.
    RateLimited,
    /// As many requests are under way as may be, and the line is full or was too slow.
    Full,
    /// Its service was held for too long, or too many wait.
    Held,
    /// Its service is in maintenance.
    Maintenance,
    /// The upstream's answer is given up for a better one elsewhere.
    Retried,
    /// The upstream could not be connected to.
    Connect,
    /// The upstream's certificate is not to be trusted, or its TLS is no good.
    UpstreamTls,
    /// The upstream did not accept a connection in time.
    ConnectTimeout,
    /// The upstream's response head was not complete in time, or its body paused for too long.
    ResponseTimeout,
    /// Nothing more came of an answer whose length nobody had promised, or from either side of a talk.
    Quiet,
    /// The client of a call of gRPC has said how long it waits, and that is over.
    CallOver,
    /// We ourselves are out of descriptors, memory or ports, so that no upstream could be asked.
    Exhausted,
    /// The upstream closed or reset the connection before its response was complete.
    Reset,
    /// The upstream's response is not one that may be passed on.
    BadResponse,
    /// All upstreams fail at what this client asks for, while others are served.
    OneClient,
    /// The request's body is longer than it may be.
    BodyTooLarge,
    /// The client did not send its body in time.
    ClientTimeout,
    /// The client went away.
    ClientGone,
    /// Our own mistake.
    Internal,
}

/// Which rule a request breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// HTTP/1.1 without `Host`.
    NoHost,
    /// A `Host` that is no host.
    Host,
    /// A field name with something else than letters, digits and hyphens.
    FieldName,
    /// A field value with a control character.
    FieldValue,
    /// More than one length, a list of them, or a length that is no number.
    ContentLength,
    /// Both `Content-Length` and `Transfer-Encoding`.
    TwoFramings,
    /// A transfer coding other than `chunked`.
    TransferEncoding,
    /// A path with `.` or `..` segments or a NUL.
    Path,
    /// A path with an encoded slash or a backslash, or with parameters that hide another route, where
    /// somebody is not let in.
    EncodedPath,
    /// A target that is neither a path nor a whole URI of HTTP.
    Target,
    /// TLS where plain HTTP is spoken.
    Tls,
    /// A header of the PROXY protocol where none is expected.
    ProxyHeader,
    /// HTTP/2 where HTTP/1.1 is spoken.
    Http2,
    /// HTTP/1.1 where only HTTP/2 is spoken.
    Http1,
    /// A version other than 1.x.
    Version,
    /// `CONNECT`: this is no forward proxy.
    Connect,
    /// `TRACE`, which would show a client what is between it and the upstream.
    Trace,
    /// Any other breach of HTTP's grammar.
    Malformed,
    /// Too many bytes or fields before the body.
    HeaderTooLarge,
    /// Too many bytes of a target.
    TargetTooLong,
    /// An expectation other than `100-continue`.
    Expectation,
    /// For a host that asks for other certificates of clients than the connection's.
    Misdirected,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client is told, if it can still be told anything.
    pub status: u16,
    /// A name for logs and metrics, few in number.
    pub name: &'static str,
    /// A sentence for people. Names nothing that the public should not know.
    pub detail: &'static str,
    /// Whether it counts against the upstream that was asked.
    pub upstream_at_fault: bool,
    /// Whether the client's connection can carry another request afterwards.
    pub keeps_connection: bool,
}

impl Cause {
    /// Why we answer a request ourselves, in the words of the metrics.
    pub const REASONS: [&'static str; 43] = [
        "no_host",
        "host",
        "field_name",
        "field_value",
        "content_length",
        "two_framings",
        "transfer_encoding",
        "path",
        "encoded_path",
        "target",
        "tls",
        "proxy_header",
        "http2",
        "http1",
        "version",
        "connect",
        "trace",
        "malformed",
        "header_too_large",
        "target_too_long",
        "expectation",
        "misdirected",
        "no_route",
        "denied",
        "unauthorized",
        "not_let_in",
        "locked_out",
        "auth_busy",
        "auth_failed",
        "no_pool",
        "no_upstream",
        "breaker_open",
        "throttled",
        "rate_limited",
        "overloaded",
        "held",
        "maintenance",
        "body_too_large",
        "client_timeout",
        "quiet",
        "call_over",
        "exhausted",
        "internal",
    ];

    /// Whether it ends answers that have begun, through nobody's failure.
    pub fn ends_answers(self) -> bool {
        matches!(self, Cause::Quiet | Cause::CallOver | Cause::ClientTimeout)
    }

    /// Its name; for a request that breaks a rule which one.
    pub fn reason(self) -> &'static str {
        match self {
            Cause::BadRequest(rule) => rule.name(),
            cause => cause.row().name,
        }
    }

    /// The row of this cause.
    pub fn row(self) -> Failure {
        let row = |status, name, detail, upstream_at_fault, keeps_connection| Failure {
            status,
            name,
            detail,
            upstream_at_fault,
            keeps_connection,
        };
        match self {
            Cause::BadRequest(rule) => {
                let (status, detail, keeps) = rule.row();
                row(status, "bad_request", detail, false, keeps)
            }
            Cause::NoRoute => row(404, "no_route", "nothing is served here", false, true),
            Cause::Denied => row(403, "denied", "this is not for everybody", false, true),
            Cause::Unauthorized => {
                row(401, "unauthorized", "a name and a password are needed here", false, true)
            }
            // The client is told by who was asked.
            Cause::NotLetIn => row(403, "not_let_in", "this is not for everybody", false, true),
            Cause::LockedOut => {
                row(429, "locked_out", "too many wrong passwords in this time", false, true)
            }
            Cause::AuthBusy => {
                row(503, "auth_busy", "too many passwords are being checked", false, true)
            }
            Cause::AuthFailed => {
                row(503, "auth_failed", "nobody can say who may come in", false, true)
            }
            Cause::NoPool => row(404, "no_pool", "no pool is named so", false, true),
            Cause::NoUpstream => row(503, "no_upstream", "no upstream is available", false, true),
            Cause::Open => {
                row(503, "breaker_open", "the service is not available for a moment", false, true)
            }
            Cause::Throttled => row(503, "throttled", "the service is overloaded", false, true),
            Cause::RateLimited => {
                row(429, "rate_limited", "too many requests in this time", false, true)
            }
            Cause::Full => row(503, "overloaded", "too many requests are under way", false, true),
            Cause::Held => row(503, "held", "the service is being switched over", false, true),
            Cause::Maintenance => {
                row(503, "maintenance", "the service is in maintenance", false, true)
            }
            // Nobody is told: there is another attempt.
            Cause::Retried => row(502, "retried", "the upstream failed", true, false),
            Cause::Connect => {
                row(502, "connect_error", "the upstream could not be reached", true, false)
            }
            Cause::UpstreamTls => row(
                502,
                "upstream_tls",
                "the upstream has not shown that it is who it should be",
                true,
                false,
            ),
            Cause::ConnectTimeout => row(
                504,
                "connect_timeout",
                "the upstream did not accept a connection in time",
                true,
                false,
            ),
            Cause::ResponseTimeout => {
                row(504, "response_timeout", "the upstream did not answer in time", true, false)
            }
            // Most often the client has the head already, and is told nothing.
            Cause::Quiet => row(504, "quiet", "nothing was said for too long", false, false),
            Cause::CallOver => row(504, "call_over", "the call's time is over", false, false),
            Cause::Exhausted => {
                row(503, "exhausted", "the proxy is out of descriptors or ports", false, true)
            }
            Cause::Reset => row(
                502,
                "reset",
                "the upstream closed the connection before its answer was complete",
                true,
                false,
            ),
            Cause::BadResponse => {
                row(502, "bad_response", "the upstream's answer was not valid HTTP", true, false)
            }
            // The client has been told what the last upstream made of it.
            Cause::OneClient => {
                row(502, "one_client", "the upstreams fail at this request", true, false)
            }
            Cause::BodyTooLarge => {
                row(413, "body_too_large", "the request's body is too long", false, true)
            }
            Cause::ClientTimeout => {
                row(408, "client_timeout", "the request body did not arrive in time", false, false)
            }
            // 499 is nginx's code for it, known from many dashboards; nobody is there to read it.
            Cause::ClientGone => row(499, "client_gone", "the client went away", false, false),
            Cause::Internal => {
                row(500, "internal", "something went wrong in the proxy", false, false)
            }
        }
    }
}

impl BadRequest {
    /// All rules, in the order of [`Cause::REASONS`].
    pub const ALL: [BadRequest; 22] = [
        BadRequest::NoHost,
        BadRequest::Host,
        BadRequest::FieldName,
        BadRequest::FieldValue,
        BadRequest::ContentLength,
        BadRequest::TwoFramings,
        BadRequest::TransferEncoding,
        BadRequest::Path,
        BadRequest::EncodedPath,
        BadRequest::Target,
        BadRequest::Tls,
        BadRequest::ProxyHeader,
        BadRequest::Http2,
        BadRequest::Http1,
        BadRequest::Version,
        BadRequest::Connect,
        BadRequest::Trace,
        BadRequest::Malformed,
        BadRequest::HeaderTooLarge,
        BadRequest::TargetTooLong,
        BadRequest::Expectation,
        BadRequest::Misdirected,
    ];

    /// Its name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            BadRequest::NoHost => "no_host",
            BadRequest::Host => "host",
            BadRequest::FieldName => "field_name",
            BadRequest::FieldValue => "field_value",
            BadRequest::ContentLength => "content_length",
            BadRequest::TwoFramings => "two_framings",
            BadRequest::TransferEncoding => "transfer_encoding",
            BadRequest::Path => "path",
            BadRequest::EncodedPath => "encoded_path",
            BadRequest::Target => "target",
            BadRequest::Tls => "tls",
            BadRequest::ProxyHeader => "proxy_header",
            BadRequest::Http2 => "http2",
            BadRequest::Http1 => "http1",
            BadRequest::Version => "version",
            BadRequest::Connect => "connect",
            BadRequest::Trace => "trace",
            BadRequest::Malformed => "malformed",
            BadRequest::HeaderTooLarge => "header_too_large",
            BadRequest::TargetTooLong => "target_too_long",
            BadRequest::Expectation => "expectation",
            BadRequest::Misdirected => "misdirected",
        }
    }

    /// Status, detail, and whether the connection is still in step. After doubtful framing it is
    /// not: what follows could be part of this body or another request.
    fn row(self) -> (u16, &'static str, bool) {
        match self {
            BadRequest::NoHost => (400, "HTTP/1.1 requires a Host field", false),
            BadRequest::Host => (400, "the Host field is not a host", false),
            BadRequest::FieldName => {
                (400, "a field name may hold letters, digits and hyphens only", false)
            }
            BadRequest::FieldValue => (400, "a field value holds a control character", false),
            BadRequest::ContentLength => (400, "Content-Length must be one number", false),
            BadRequest::TwoFramings => {
                (400, "Content-Length and Transfer-Encoding exclude each other", false)
            }
            BadRequest::TransferEncoding => (400, "the only transfer coding is chunked", false),
            BadRequest::Path => (400, "a path may not hold dot segments or NUL", true),
            BadRequest::EncodedPath => (
                400,
                "a path has to read in one way here: no encoded slashes, backslashes or parameters",
                true,
            ),
            BadRequest::Target => (400, "a target must be a path or a whole URI of HTTP", true),
            BadRequest::Tls => (400, "this is TLS, and plain HTTP is spoken here", false),
            BadRequest::ProxyHeader => {
                (400, "this is a PROXY protocol header, and none is expected here", false)
            }
            BadRequest::Http2 => (400, "this is HTTP/2, and HTTP/1.1 is spoken here", false),
            BadRequest::Http1 => (505, "only HTTP/2 is spoken here", false),
            BadRequest::Version => (505, "only HTTP/1.0 and HTTP/1.1 are spoken here", false),
            BadRequest::Connect => (405, "CONNECT is not served here", false),
            BadRequest::Trace => (405, "TRACE is not served here", true),
            BadRequest::Malformed => (400, "the request is not valid HTTP", false),
            BadRequest::HeaderTooLarge => (431, "the header section is too large", false),
            BadRequest::TargetTooLong => (414, "the target is too long", false),
            BadRequest::Expectation => (417, "the only expectation is 100-continue", false),
            BadRequest::Misdirected => {
                (421, "this host needs a connection that was made under its name", true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_for_an_answer_of_ours_is_counted_and_there_is_no_other() {
        let others = [
            Cause::NoRoute,
            Cause::Denied,
            Cause::Unauthorized,
            Cause::NotLetIn,
            Cause::LockedOut,
            Cause::AuthBusy,
            Cause::AuthFailed,
            Cause::NoPool,
            Cause::NoUpstream,
            Cause::Open,
            Cause::Throttled,
            Cause::RateLimited,
            Cause::Full,
            Cause::Held,
            Cause::Maintenance,
            Cause::BodyTooLarge,
            Cause::ClientTimeout,
            Cause::Quiet,
            Cause::CallOver,
            Cause::Exhausted,
            Cause::Internal,
        ];
        let causes = BadRequest::ALL.map(Cause::BadRequest).into_iter().chain(others);
        let reasons: Vec<_> = causes
            .map(|cause| {
                assert!(!cause.row().upstream_at_fault, "{cause:?}");
                cause.reason()
            })
            .collect();
        assert_eq!(reasons, Cause::REASONS);
    }
}
