//! Which requests try out who is not well.

use super::*;
use crate::snapshot::Tries;

#[test]
fn what_has_a_body_tries_out_nobody_while_others_come() {
    let snapshot = snapshot();
    let kind = |method: &Method, fields: &[(&'static str, &str)]| {
        let mut exchange = open(clock(), &snapshot);
        admit_as(method, &mut exchange, fields).unwrap();
        exchange.tries
    };
    let (chunked, empty) = ([("transfer-encoding", "chunked")], [("content-length", "00")]);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(kind(&method, &[]), Tries::Readily, "{method}");
        assert_eq!(kind(&method, &empty), Tries::Readily, "{method}");
        assert_eq!(kind(&method, &[("content-length", "1")]), Tries::IfNeedBe, "{method}");
        assert_eq!(kind(&method, &chunked), Tries::IfNeedBe, "{method}");
    }
    assert_eq!(kind(&Method::POST, &[]), Tries::IfNeedBe);
}
