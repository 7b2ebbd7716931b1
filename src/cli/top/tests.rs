use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::known::{Known, Link};
use super::news::{News, take};
use super::sample;
use super::view::{Effect, Item, Page, View};
use crate::cli::api::ApiError;

fn service() -> View {
    View { page: Page::Service("shop".into()), author: "cli:ann".into(), ..View::default() }
}

fn press(view: &mut View, known: &Known, keys: &[KeyCode]) -> Effect {
    keys.iter().map(|key| view.press(KeyEvent::from(*key), known)).last().unwrap_or(Effect::None)
}

fn typed(text: &str) -> Vec<KeyCode> {
    text.chars().map(KeyCode::Char).collect()
}

/// What is ordered by a key, changes of what stands in its box, and a reason.
fn ordered(view: &mut View, known: &Known, key: char, change: &[KeyCode]) -> (String, Value) {
    press(view, known, &[KeyCode::Char(key)]);
    assert!(view.dialog.is_some(), "{key}: {}", view.said.text);
    press(view, known, change);
    press(view, known, &typed("slow"));
    match press(view, known, &[KeyCode::Enter]) {
        Effect::Give(request) => {
            let matched = request.if_match.map_or(String::new(), |it| format!(" if {it}"));
            (format!("{} {}{matched}", request.method, request.path), request.body)
        }
        other => panic!("{key}: {other:?}: {:?}", view.dialog),
    }
}

/// Why a key orders nothing.
fn refused(view: &mut View, known: &Known, key: char) -> String {
    press(view, known, &[KeyCode::Char(key)]);
    assert!(view.dialog.is_none() && view.said.is_bad, "{key}");
    view.said.text.clone()
}

#[test]
fn keys_order_what_is_shown() {
    let known = sample::shop();
    let by = |body: Value| {
        let mut body = body;
        let by = json!({"reason": "slow", "author": "cli:ann"});
        body.as_object_mut().unwrap().extend(by.as_object().unwrap().clone());
        body
    };
    let of = "/v1/services/shop";
    let cases: [(char, &[KeyCode], String, Value); 10] = [
        (
            's',
            &[KeyCode::Up, KeyCode::Up, KeyCode::Enter],
            format!("PUT {of}/split if 12"),
            json!({"weights": {"blue": 80, "green": 20}, "force": false}),
        ),
        ('f', &[], format!("POST {of}/flip if 12"), json!({"to": "green", "force": false})),
        ('r', &[], format!("POST {of}/rollback"), json!({"to": null, "force": false})),
        ('p', &[], format!("POST {of}/rollout/pause"), json!({})),
        ('n', &[], format!("POST {of}/rollout/step"), json!({})),
        ('P', &[], format!("POST {of}/rollout/promote"), json!({})),
        ('a', &[], format!("POST {of}/rollout/abort"), json!({})),
        (
            'b',
            &[KeyCode::Down, KeyCode::Enter],
            format!("PUT {of}/pools/blue/breaker"),
            json!({"state": "closed"}),
        ),
        (
            'h',
            &[KeyCode::Enter],
            format!("PUT {of}/mode"),
            json!({"mode": "hold", "for": "20s", "from": null, "most": null, "message": null}),
        ),
        ('z', &[KeyCode::Enter], format!("PUT {of}/freeze"), json!({})),
    ];
    for (key, change, wanted, body) in cases {
        let mut view = service();
        let (request, sent) = ordered(&mut view, &known, key, change);
        assert_eq!((request, sent), (wanted, by(body)), "{key}");
    }
}

#[test]
fn an_upstream_is_drained_once_it_is_chosen() {
    let known = sample::shop();
    let mut view = service();
    assert!(refused(&mut view, &known, 'd').starts_with("choose an upstream first"));
    press(&mut view, &known, &[KeyCode::Down]);
    // Who is not well stands first.
    let chosen = Item::Upstream("blue".into(), "10.0.0.12:9000".into());
    assert_eq!(view.item, Some(chosen));
    let (request, body) = ordered(&mut view, &known, 'd', &[]);
    assert_eq!(request, "PUT /v1/services/shop/pools/blue/upstreams/10.0.0.12:9000/state");
    assert_eq!((&body["state"], &body["force"]), (&json!("drain"), &json!(false)));
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    let mut known = sample::shop();
    let mut view = service();
    assert_eq!(refused(&mut view, &known, 't'), "a rollout is under way already");
    known.close.as_mut().unwrap().rollout = None;
    assert_eq!(refused(&mut view, &known, 'p'), "no rollout is under way");
    let several = "several pools share the traffic: shift all of it to one first";
    assert_eq!(refused(&mut view, &known, 't'), several);
    known.lost("refused".into(), sample::NOW);
    assert_eq!(
        refused(&mut view, &known, 's'),
        "there is no connection: nothing can be ordered now"
    );
    let (known, mut view) =
        (sample::overview(), View { chosen: Some("api".into()), ..View::default() });
    assert_eq!(refused(&mut view, &known, 's'), "api has only one pool");
    assert_eq!(refused(&mut view, &known, 'r'), "there is no earlier revision to go back to");
    assert!(refused(&mut view, &known, 'b').starts_with("choose a pool"));
}

#[test]
fn a_token_that_may_only_read_is_told_so() {
    let mut known = sample::shop();
    let me = json!({"name": "eve", "role": "read", "may": ["GET /v1/live"]});
    known.me = Some(serde_json::from_value(me).unwrap());
    let why = refused(&mut service(), &known, 'f');
    assert_eq!(why, "eve (role read) may not order this: POST /v1/services/{service}/flip");
}

#[test]
fn no_order_goes_without_a_reason_and_none_goes_twice() {
    let known = sample::shop();
    let mut view = service();
    press(&mut view, &known, &[KeyCode::Char('f')]);
    assert_eq!(press(&mut view, &known, &[KeyCode::Enter]), Effect::None);
    assert!(view.dialog.as_ref().unwrap().problem.starts_with("say why"));
    press(&mut view, &known, &typed("now"));
    assert!(matches!(press(&mut view, &known, &[KeyCode::Enter]), Effect::Give(_)));
    assert_eq!(press(&mut view, &known, &[KeyCode::Enter]), Effect::None, "it is on its way");
}

#[test]
fn what_is_refused_stays_and_may_be_forced() {
    let mut known = sample::shop();
    let mut view = service();
    ordered(&mut view, &known, 'f', &[]);
    let conflict = ApiError::Refused {
        status: http::StatusCode::CONFLICT,
        detail: "nobody of green takes requests".into(),
        problems: Vec::new(),
    };
    take(News::Given(Err(conflict)), &mut known, &mut view, sample::NOW);
    assert_eq!(view.dialog.as_ref().unwrap().problem, "nobody of green takes requests");
    view.press(KeyEvent::new(KeyCode::Char('f'), KeyModifiers::CONTROL), &known);
    let Effect::Give(request) = press(&mut view, &known, &[KeyCode::Enter]) else {
        panic!("{view:?}")
    };
    assert_eq!(request.body["force"], true);
    let made = json!({"revision": 13, "weights": {"blue": 0.0, "green": 100.0}});
    take(News::Given(Ok((made, None))), &mut known, &mut view, sample::NOW);
    assert_eq!(view.said.text, "shop is at revision 13: blue 0 %, green 100 %");
    assert!(view.dialog.is_none());
}

#[test]
fn a_service_is_found_opened_and_left() {
    let known = sample::overview();
    let mut view = View::default();
    press(&mut view, &known, &typed("/AP"));
    let names: Vec<&str> = view.list(&known).iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["api"]);
    press(&mut view, &known, &[KeyCode::Esc]);
    assert_eq!(view.list(&known)[0].name, "shop", "what is wrong first");
    assert_eq!(press(&mut view, &known, &[KeyCode::Down, KeyCode::Enter]), Effect::Watch);
    assert_eq!(view.watched(), Some("api"));
    press(&mut view, &known, &[KeyCode::Char('e')]);
    assert_eq!(
        (view.page.clone(), view.watched()),
        (Page::Events(Some("api".into())), Some("api"))
    );
    assert_eq!(press(&mut view, &known, &[KeyCode::Esc]), Effect::None);
    assert_eq!(press(&mut view, &known, &[KeyCode::Esc]), Effect::Watch);
    assert_eq!((view.watched(), view.chosen.as_deref()), (None, Some("api")));
    assert_eq!(press(&mut view, &known, &[KeyCode::Char('q')]), Effect::Quit);
}

#[test]
fn control_c_quits_from_everywhere() {
    let known = sample::shop();
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut asking = service();
    press(&mut asking, &known, &[KeyCode::Char('f')]);
    let helping = View { is_helping: true, ..service() };
    let finding = View { is_filtering: true, ..View::default() };
    for mut view in [service(), asking, helping, finding] {
        assert_eq!(view.press(control_c, &known), Effect::Quit);
    }
}

#[test]
fn lines_that_say_what_changed_are_put_in() {
    let mut known = sample::shop();
    let changed = json!({
        "tick": 2, "at": sample::NOW + 1.0, "generation": 8, "last_event": 3, "whole": false,
        "rows": {}, "gone": ["upstream/blue/10.0.0.12:9000", "rollout"],
        "events": [{"number": 3, "at": sample::NOW, "kind": "mode", "service": "shop", "pool": "",
            "upstream": "", "what": "held"}],
        "seconds": {"blue": [[sample::NOW, 1.0, 0.0, null, null, null],
            [sample::NOW + 1.0, 5.0, 0.0, null, null, null]]},
    });
    let before = known.close.as_ref().unwrap().seconds["blue"].len();
    known.take(Some("shop"), serde_json::from_value(changed.clone()).unwrap());
    let close = known.close.as_ref().unwrap();
    assert_eq!(close.upstreams("blue").count(), 1);
    assert!(close.rollout.is_none());
    assert_eq!(close.seconds["blue"].len(), before + 1, "the second that was known is there once");
    assert_eq!(known.events.back().unwrap().what, "held");
    // What comes late of what is not watched any more is nothing.
    known.watch(Some("api"));
    known.take(Some("shop"), serde_json::from_value(changed).unwrap());
    assert!(known.close("api").is_none() && known.close("shop").is_none());
}

#[test]
fn who_comes_back_is_live_again() {
    let mut known = sample::overview();
    let gone = ApiError::Unreachable { address: "a:1".into(), error: "refused".into() };
    let mut view = View::default();
    take(News::Lost(None, gone), &mut known, &mut view, sample::NOW + 3.0);
    let away = Link::Away { since: sample::NOW + 3.0, why: "refused".into() };
    assert_eq!(known.link, away);
    let line = json!({"tick": 1, "at": sample::NOW + 9.0, "generation": 1, "last_event": 0, "whole": true,
        "rows": {}});
    take(News::Line(None, serde_json::from_value(line).unwrap()), &mut known, &mut view, 0.0);
    assert_eq!(known.link, Link::Live);
}

#[test]
fn a_service_that_is_gone_is_left() {
    let (mut known, mut view) = (sample::shop(), service());
    let gone = ApiError::Refused {
        status: http::StatusCode::NOT_FOUND,
        detail: "no service is named `shop`".into(),
        problems: Vec::new(),
    };
    let effect = take(News::Lost(Some("shop".into()), gone), &mut known, &mut view, 0.0);
    assert_eq!((effect, view.watched()), (Effect::Watch, None));
    assert_eq!(view.said.text, "no service is named `shop`");
}

#[test]
fn one_picture_is_plain_text_or_json() {
    let text = super::once::text(&sample::shop(), &service(), 100, sample::NOW);
    assert!(text.contains("green") && !text.contains('\u{1b}') && !text.contains("esc"), "{text}");
    let json = super::once::json(&sample::shop(), &service());
    assert_eq!(json["pools"][0]["upstreams"].as_array().unwrap().len(), 2);
    assert_eq!(json["rollout"]["id"], 3);
    let all = super::once::json(&sample::overview(), &View::default());
    assert_eq!(all["services"][0]["name"], "shop");
}
