//! Files of tokens, good and bad.

use super::*;

const A: &str = "correct-horse-battery";
const B: &str = "0123456789abcdef";

fn name<'t>(tokens: &'t Tokens, token: &str) -> Option<&'t str> {
    tokens.bearer(token).map(|bearer| &*bearer.name)
}

fn bad(text: &str) -> String {
    let (line, why) = Tokens::parse(text).unwrap_err();
    format!("{line}: {why}")
}

#[test]
fn each_token_has_a_name() {
    let text = format!("# who\n\nci: {A}\n ann.b:\t{B} \n");
    let tokens = Tokens::parse(&text).unwrap();
    assert_eq!(name(&tokens, A), Some("ci"));
    assert_eq!(name(&tokens, B), Some("ann.b"));
    for other in ["correct-horse-batter", "ci", "", &format!("ci: {A}"), &A.to_uppercase()] {
        assert_eq!(name(&tokens, other), None, "{other}");
    }
}

#[test]
fn a_first_line_may_be_a_token_alone() {
    for token in [A, "#0123456789abcdef", "with:colons:of:its:own", "correct horse battery"] {
        let tokens = Tokens::parse(&format!("{token}\n# a note\nci: {B}\n")).unwrap();
        assert_eq!(name(&tokens, token), Some("admin"), "{token}");
        assert_eq!(name(&tokens, B), Some("ci"));
    }
    assert!(Tokens::parse(" \n# nothing\n").unwrap().0.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("short", "1: the token of `admin` has fewer than 16 characters"),
        ("ci: short", "1: the token of `ci` has fewer than 16 characters"),
        ("{A}\n{B}", "2: expected `name: token`, with a space after the colon"),
        ("{A}\nci:{B}", "2: expected `name: token`, with a space after the colon"),
        ("{A}\n\nthe ci: {B}", "3: a name has 1 to 63 letters, digits, `-`, `_` and `.`"),
        ("ci: {A}\nci: {B}", "2: `ci` has a token in line 1 already"),
        ("{A}\nadmin: {B}", "2: `admin` has a token in line 1 already"),
        ("ci: {A}\nann: {A}", "2: the token of `ann` is that of `ci`"),
        (
            "ci rolle=read: {A}",
            "1: `rolle=read` after the name `ci` bounds nothing; there are `role`, `services`, `networks`; did you mean `role`?",
        ),
        (
            "ci role=reed: {A}",
            "1: `reed` of `ci` is no role; there are `read`, `shift`, `deploy`, `alerts`, `admin`; did you mean `read`?",
        ),
        (
            "ci role=: {A}",
            "1: `` of `ci` is no role; there are `read`, `shift`, `deploy`, `alerts`, `admin`",
        ),
        ("ci role=read role=read: {A}", "1: `role=` is there twice for `ci`: say it once"),
        (
            "ci role=read services=: {A}",
            "1: `services=` of `ci` has an empty part; divide by commas, without spaces",
        ),
        (
            "ci role=read services=a b: {A}",
            "1: `b` after the name `ci` bounds nothing; there are `role`, `services`, `networks`",
        ),
        (
            "{B}\nci role=deploy: {A}",
            "2: `ci` has `role=deploy`, which needs `networks=`, where its upstreams may be, such as `networks=10.0.0.0/8`",
        ),
        (
            "ci role=deploy networks=10/8: {A}",
            "1: `10/8` of `ci` is no network; expected an address or one such as `10.0.0.0/8`",
        ),
        (
            "ci role=shift networks=10.0.0.0/8: {A}",
            "1: `networks=` of `ci` bounds nothing: it is for `role=deploy`",
        ),
        (
            "ci services=shop: {A}",
            "1: `services=` of `ci` bounds nothing: `admin` may change the config, and so all",
        ),
        (
            "ci role=alerts services=shop: {A}",
            "1: `services=` of `ci` bounds nothing: it is for `read`, `shift` and `deploy`",
        ),
        (
            "ci: certificate ann",
            "1: `certificate` of `ci` needs a subject, such as `certificate CN=name`",
        ),
        (
            "ci: certificate CN=a\nann: certificate  CN=a ",
            "2: the certificate of `ann` is that of `ci`",
        ),
        ("ci role=read: short", "1: the token of `ci` has fewer than 16 characters"),
        (
            "ci: correct-horse-bättery",
            "1: the token of `ci` has a character that no header can carry",
        ),
    ];
    for (text, said) in cases {
        assert_eq!(bad(&text.replace("{A}", A).replace("{B}", B)), said, "{text}");
    }
}

#[test]
fn a_certificate_may_stand_in_a_tokens_place() {
    let text = format!("ci: {A}\nann role=shift services=shop: certificate CN=ann,O=Shop: 1\n");
    let tokens = Tokens::parse(&text).unwrap();
    let ann = tokens.shown("CN=ann,O=Shop: 1").unwrap();
    assert_eq!((&*ann.name, ann.role, ann.is_for("web")), ("ann", Role::Shift, false));
    for other in ["CN=ann", "cn=ann,O=Shop: 1", "", A] {
        assert_eq!(tokens.shown(other), None, "{other}");
    }
    // It is nobody's token.
    assert_eq!(name(&tokens, "certificate CN=ann,O=Shop: 1"), None);
    assert_eq!(name(&tokens, "CN=ann,O=Shop: 1"), None);
}

#[test]
fn a_token_may_have_a_role_services_and_networks() {
    let text = format!(
        "ops: {A}\nci role=deploy services=shop,web networks=10.0.0.0/8,fd00::/8:\t{B}\n\
         eye role=read: spaces in it: and colons\n"
    );
    let tokens = Tokens::parse(&text).unwrap();
    let bearer = |token: &str| &**tokens.bearer(token).unwrap();
    assert_eq!(*bearer(A), Bearer::unbound("ops".into()));
    assert_eq!(bearer("spaces in it: and colons").role, Role::Read);
    let ci = bearer(B);
    assert_eq!((ci.role, &*ci.name), (Role::Deploy, "ci"));
    assert!(ci.is_for("shop") && ci.is_for("web") && !ci.is_for("sho") && !ci.is_for(""));
    let reaches = |ip: &str| ci.reaches(Some(ip.parse().unwrap()));
    assert!(reaches("10.1.2.3") && reaches("::ffff:10.1.2.3") && reaches("fd00::1"));
    assert!(!reaches("127.0.0.1") && !reaches("::ffff:127.0.0.1") && !reaches("fe80::1"));
    assert!(!ci.reaches(None) && bearer(A).reaches(None));
}
