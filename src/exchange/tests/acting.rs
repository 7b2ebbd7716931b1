//! What a route does beside leading to a service.

use super::*;
use crate::http::edits::Edit;

/// What became of a request.
#[derive(Debug, PartialEq)]
struct Became {
    status: u16,
    location: Option<String>,
    /// What the upstream is asked for, if that is something else.
    target: Option<String>,
    cause: Option<Cause>,
}

fn file(routes: &str) -> Arc<Snapshot> {
    snapshot_of(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n{routes}\n\
         [services.shop.pools]\nblue.upstreams = [\"192.0.2.1:80\"]\n"
    ))
}

/// What became of a request for this on `shop.test`, of 192.0.2.9; status 0 if it goes to an upstream.
fn asked(snapshot: &Arc<Snapshot>, target: &str) -> Became {
    let mut exchange = open(clock(), snapshot);
    let headers = HeaderMap::from_iter([(http::header::HOST, "shop.test".parse().unwrap())]);
    let (path, version) = (target.split('?').next().unwrap(), Version::HTTP_11);
    let target =
        RequestTarget { bytes: target.as_bytes(), path, path_and_query: target, authority: None };
    let (view, upload) = (View::Map(&headers), Upload::Done);
    let head = Head { method: &Method::GET, target, version, view, raw: b"", upload };
    let peer = Peer::new([192, 0, 2, 9].into(), "http", Instant::now());
    let (status, location, target) = match exchange.admit(&head, &peer) {
        Admission::Forward(admitted) => {
            let target = admitted.next().path_and_query().map(|target| target.to_string());
            (0, None, target)
        }
        Admission::Answer(answer) => {
            let location = answer.fields.iter().find(|(name, _)| name == http::header::LOCATION);
            let text = location.map(|(_, value)| value.to_str().unwrap().to_string());
            (answer.status, text, None)
        }
        Admission::Wait(_) | Admission::Door(_) => panic!("it waits"),
    };
    Became { status, location, target, cause: exchange.cause() }
}

fn goes_on(target: Option<&str>) -> Became {
    Became { status: 0, location: None, target: target.map(Into::into), cause: None }
}

fn refused(status: u16, cause: Cause) -> Became {
    Became { status, location: None, target: None, cause: Some(cause) }
}

#[test]
fn a_redirect_asks_nobody_and_counts_as_one() {
    let snapshot = file(
        "[[routes]]\npath_prefix = \"/old\"\nredirect = { to = \"/new{rest}\", status = 301 }\n\
         [[routes]]\npath = \"/robots.txt\"\nanswer = { body = \"User-agent: *\" }\n\
         [[routes]]\nservice = \"shop\"",
    );
    let led = asked(&snapshot, "/%6fld/a%20b?c=d");
    assert_eq!((led.status, led.location.as_deref()), (301, Some("/new/a%20b?c=d")));
    assert_eq!(asked(&snapshot, "/robots.txt").status, 200);
    assert_eq!(asked(&snapshot, "//robots.txt").status, 200);
    assert_eq!(asked(&snapshot, "/x"), goes_on(None));
    assert_eq!(snapshot.own.redirects.read().total(), 1);
    assert_eq!(snapshot.own.answers.read().total(), 2);
    assert_eq!(snapshot.unmatched.read().total(), 0);
}

#[test]
fn a_path_is_rewritten_by_its_normal_form_and_goes_on_as_it_was_spelled() {
    let snapshot = file(
        "[[routes]]\npath_prefix = \"/api\"\nstrip_prefix = \"/api\"\nservice = \"shop\"\n\
         [[routes]]\npath_prefix = \"/old\"\nservice = \"shop\"\n\
         replace_prefix = { from = \"/old\", to = \"/new\" }",
    );
    for (target, wanted) in [
        ("/api/v1?x=%2f", "/v1?x=%2f"),
        ("/%61pi/%7Eme/%2f", "/%7Eme/%2f"),
        ("/api", "/"),
        ("/api?x", "/?x"),
        ("//api//x", "/x"),
        ("/old/a", "/new/a"),
    ] {
        assert_eq!(asked(&snapshot, target), goes_on(Some(wanted)), "{target}");
    }
    assert_eq!(asked(&snapshot, "/apis").status, 404);
}

#[test]
fn who_is_on_no_list_is_kept_out_however_the_path_is_spelled() {
    let lists = |more: &str| {
        file(&format!(
            "[[routes]]\nservice = \"shop\"\n{more}\n[[routes]]\npath_prefix = \"/admin\"\n\
             service = \"shop\"\nallow = [\"10.0.0.0/8\"]"
        ))
    };
    let snapshot = lists("");
    let (denied, encoded) = (Cause::Denied, Cause::BadRequest(BadRequest::EncodedPath));
    for target in ["/admin", "/%61dmin/x", "//admin", "/admin//"] {
        assert_eq!(asked(&snapshot, target), refused(403, denied), "{target}");
    }
    // What an upstream could read as `/admin/...`.
    for target in ["/admin%2fx", "/x%5Cadmin", "/\\admin", "/admin;x=1", "/admin%3Bx/y"] {
        assert_eq!(asked(&snapshot, target), refused(400, encoded), "{target}");
    }
    // The others reach it in the form that was looked at.
    assert_eq!(asked(&snapshot, "/a;b/c?d=%61"), goes_on(None));
    assert_eq!(asked(&snapshot, "//%61//%c3%a9?d=%61"), goes_on(Some("/a/%C3%A9?d=%61")));
    let snapshot = lists("encoded = \"pass\"");
    assert_eq!(asked(&snapshot, "//%61%2fb"), goes_on(None));
    assert_eq!(asked(&snapshot, "/admin/%2f"), refused(400, encoded));
    // Without any list nobody minds.
    let snapshot = file("[[routes]]\nservice = \"shop\"\nhost = \"shop.internal\"");
    assert_eq!(asked(&snapshot, "//%61%2fb"), goes_on(None));
}

#[test]
fn who_is_kept_out_is_counted_for_the_service_and_for_none_of_its_pools() {
    let snapshot = file("[[routes]]\nservice = \"shop\"\ndeny = [\"192.0.2.9\"]");
    assert_eq!(asked(&snapshot, "/"), refused(403, Cause::Denied));
    let service = &snapshot.services[0];
    assert_eq!(service.state.closed.read().total(), 1);
    assert_eq!(service.pools[0].state.tally.read().total(), 0);
    assert_eq!(service.pools[0].state.attempts.read(), Counts::default());
}

#[test]
fn fields_are_set_in_place_of_the_clients_in_every_spelling() {
    let snapshot = file(
        "[server.client]\nodd_names = \"pass\"\n[[routes]]\nservice = \"shop\"\n\
         host = \"shop.internal\"\n\
         request.set = { x-user = \"{client} {host}\", x-pool = \"{service}/{pool}\" }\n\
         request.add = { x-tag = \"2\" }\nrequest.remove = [\"x-debug\"]",
    );
    let mut exchange = open(clock(), &snapshot);
    let sent = [("x-user", "root"), ("x_user", "root"), ("x-debug", "1"), ("x-tag", "1")];
    assert_eq!(admit(&mut exchange, &sent), Ok(()));
    let headers: HeaderMap = [("host", "shop.test")]
        .iter()
        .chain(&sent)
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let hosts = |edit: &&Edit| matches!(edit, Edit::Set(FieldId::Host, _));
    assert_eq!(exchange.edits().list().iter().filter(hosts).count(), 1);
    let fields = exchange.edits().applied(View::Map(&headers), |text| match text {
        Text::Own(value) => Some(value.clone()),
        _ => None,
    });
    let all = |name: &str| {
        let values = fields.get_all(name).iter().map(|value| value.to_str().unwrap());
        values.collect::<Vec<_>>()
    };
    assert_eq!(all("host"), ["shop.internal"]);
    assert_eq!(all("x-user"), ["192.0.2.9 shop.test"]);
    assert_eq!(all("x-pool"), ["shop/blue"]);
    assert_eq!(all("x-tag"), ["1", "2"]);
    assert_eq!((all("x_user").len(), all("x-debug").len()), (0, 0));
}

#[test]
fn bounds_of_a_route_go_before_those_of_its_service() {
    let snapshot = file(
        "[[routes]]\nservice = \"shop\"\n[[routes]]\npath = \"/slow\"\nservice = \"shop\"\n\
         timeouts = { response = \"5m\", idle = \"never\" }\n[services.shop.retries]\n\
         attempt_timeout = \"3s\"",
    );
    let of = |path: &'static str| {
        let mut exchange = open(clock(), &snapshot);
        let headers = HeaderMap::from_iter([(http::header::HOST, "a".parse().unwrap())]);
        let (uri, version) = (Uri::from_static(path), Version::HTTP_11);
        let target = RequestTarget::read(path.as_bytes(), &uri);
        let (view, upload) = (View::Map(&headers), Upload::Done);
        let head = Head { method: &Method::GET, target, version, view, raw: b"", upload };
        let peer = Peer::new([192, 0, 2, 9].into(), "http", Instant::now());
        let Admission::Forward(admitted) = exchange.admit(&head, &peer) else { panic!() };
        let timeouts = admitted.next().timeouts();
        (timeouts.response.as_secs(), timeouts.idle, timeouts.connect.as_secs())
    };
    assert_eq!(of("/"), (3, Duration::from_secs(60), 1));
    assert_eq!(of("/slow"), (300, Duration::MAX, 1));
}

#[test]
fn an_attempt_elsewhere_is_told_of_the_pool_that_it_goes_to() {
    let snapshot = snapshot_shifted(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\nservice = \"shop\"\n\
         request.set = { x-pool = \"{pool}\" }\n[services.shop]\n\
         split = { blue = 100, green = 0 }\n[services.shop.pools]\n\
         blue.upstreams = [\"192.0.2.1:80\"]\ngreen.upstreams = [\"192.0.2.2:80\"]\n",
    );
    let mut exchange = open(clock(), &snapshot);
    assert_eq!(admit(&mut exchange, &[("x-pool", "mine")]), Ok(()));
    let told = |exchange: &Exchange| {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("x-pool"), "a".parse().unwrap())]);
        let fields = exchange.edits().applied(View::Map(&headers), |_| None);
        let all = fields.get_all("x-pool").iter().map(|value| value.to_str().unwrap().to_string());
        all.collect::<Vec<_>>()
    };
    assert_eq!(told(&exchange), ["green"]);
    assert_eq!(head(&mut exchange, 500, &HeaderMap::new(), true), Err(Cause::Retried));
    assert_eq!(told(&exchange), ["blue"], "the stable pool shields its canary");
}

#[test]
fn who_is_refused_on_the_way_to_a_service_has_come_by_its_route_all_the_same() {
    let limits = "[services.shop]\nbody_limit = 3\nrate_limit = { requests = 1, per = \"1h\" }\n";
    let routes =
        "[[routes]]\npath_prefix = \"/a\"\nservice = \"shop\"\n[[routes]]\nservice = \"shop\"\n";
    let one = |limits: &str, fields: &[(&'static str, &str)]| {
        let snapshot = file(&format!("{routes}{limits}"));
        let mut last = Ok(());
        for _ in 0..2 {
            let mut exchange = open(clock(), &snapshot);
            last = admit(&mut exchange, fields);
            let noted = &exchange.noted;
            assert_eq!((noted.route, noted.route_place), (Some(1), Some(1)), "{last:?}");
        }
        last
    };
    let bounded = limits.replace("rate_limit", "# ");
    assert_eq!(one(&bounded, &[("content-length", "4")]), Err(Cause::BodyTooLarge));
    // With and without a need to know its route before.
    assert_eq!(one(limits, &[]), Err(Cause::RateLimited));
    assert_eq!(one(&limits.replace("body_limit", "# "), &[]), Err(Cause::RateLimited));
}
