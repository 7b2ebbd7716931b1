use std::time::Duration;

use http::Version;

use super::*;
use crate::clock::WallTime;
use crate::config::LogFormat;
use crate::record::{Kept, KeptAttempt};
use crate::snapshot::By;

/// At ten and a quarter of a second past noon on the 29th of November 2026.
fn entry(target: &str) -> Entry {
    let attempt = KeptAttempt {
        pool: "blue".into(),
        upstream: "10.0.0.1:80".into(),
        chosen: Duration::ZERO,
        began: Duration::ZERO,
        connected: None,
        is_reused: true,
        sent: None,
        head: None,
        done: Duration::from_micros(1_500),
        status: Some(200),
        cause: String::new(),
        to_upstream: 0,
        from_upstream: 5,
    };
    let kept = Kept {
        at: WallTime::from_millis(1_795_953_610_250),
        request_id: "mine".into(),
        method: "GET".into(),
        host: "shop.test".into(),
        path: "/a".into(),
        version: Version::HTTP_11,
        client: Some([192, 0, 2, 9].into()),
        status: Some(200),
        cause: String::new(),
        duration: Duration::from_micros(2_250),
        waited: Duration::ZERO,
        connection_age: Duration::ZERO,
        service: "shop".into(),
        route: Some(0),
        pool: "blue".into(),
        revision: 3,
        by: Some(By::Draw),
        trace: ("a".repeat(32), "b".repeat(16)),
        is_sampled: false,
        from_client: 0,
        to_client: 5,
        attempts: vec![attempt],
        not_taken: Vec::new(),
    };
    let request = vec![
        ("referer".into(), b"https://a.test/\"x".to_vec()),
        ("user-agent".into(), b"curl\\8 \xe9\n".to_vec()),
    ];
    Entry { log: 0, kept, target: target.into(), request, response: Vec::new() }
}

fn written(target: &str, format: LogFormat, mask: &[&str]) -> String {
    let mask: Vec<String> = mask.iter().map(ToString::to_string).collect();
    let mut line = Vec::new();
    write(&entry(target), format, &mask, &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn a_line_of_json_says_what_the_api_says() {
    let line = written("/a?b=\"1\"", LogFormat::Json, &[]);
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "time": "2026-11-29T12:00:10.250Z",
        "client": "192.0.2.9",
        "method": "GET",
        "host": "shop.test",
        "target": "/a?b=\"1\"",
        "version": "HTTP/1.1",
        "status": 200,
        "took_ms": 2.25,
        "request_bytes": 0,
        "response_bytes": 5,
        "service": "shop",
        "pool": "blue",
        "by": "draw",
        "upstream": "10.0.0.1:80",
        "upstream_ms": 1.5,
        "attempts": 1,
        "request_id": "mine",
        "trace_id": "a".repeat(32),
        "request": { "referer": "https://a.test/\"x", "user-agent": "curl\\8 \u{fffd}\n" },
    });
    assert_eq!(said, expected);
}

#[test]
fn a_combined_line_is_what_nginx_writes() {
    assert_eq!(
        written("/a\"<\u{7f}", LogFormat::Combined, &[]),
        "192.0.2.9 - - [29/Nov/2026:12:00:10 +0000] \"GET /a\\x22<\\x7F HTTP/1.1\" 200 5 \
         \"https://a.test/\\x22x\" \"curl\\x5C8 \\xE9\\x0A\"\n"
    );
}

#[test]
fn values_that_nobody_is_to_read_are_not_written_however_their_name_is_spelled() {
    let told = |target| {
        let line = written(target, LogFormat::Json, &["token", "a b"]);
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        said["target"].as_str().unwrap().to_string()
    };
    assert_eq!(told("/a?token=x&c=1"), "/a?token=***&c=1");
    assert_eq!(told("/token=x?Token=x&&to%6ben=y=z"), "/token=x?Token=***&&to%6ben=***");
    assert_eq!(told("/a?a%20b=x&a+b=x&tokens=1&token"), "/a?a%20b=***&a+b=***&tokens=1&token");
    assert_eq!(told("/a?c=1;token=x"), "/a?c=1;token=***");
    let mut entry = entry("/a");
    entry.request = vec![("referer".into(), b"https://a.test/b?token=x#c&token=y".to_vec())];
    for format in [LogFormat::Json, LogFormat::Combined] {
        let mut line = Vec::new();
        write(&entry, format, &["token".into()], &mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains("https://a.test/b?token=***#c&token=***"), "{line}");
    }
}
