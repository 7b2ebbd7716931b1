//! `doctor`, of running proxies and of files: what is missing, what mends it, and exit codes.

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::pointsman;
use crate::harness::{Edge, Origin, client, until};

/// All that a file can say.
const GOOD: &str = "limits.upstream_in_flight = 100\nhealth.tcp = true\nslo.availability = \"99.9%\"\n\
                    body_limit = \"10MiB\"\n";

fn state_of<'d>(diagnosis: &'d Value, check: &str) -> (&'d str, &'d str) {
    let findings = diagnosis["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no `{check}`: {diagnosis}"));
    (found["state"].as_str().unwrap(), found["what"].as_str().unwrap())
}

#[tokio::test]
async fn a_running_proxy_tells_what_is_missing_until_it_is_mended() {
    let origins = (Origin::named("blue").await, Origin::named("green").await);
    let taker = Origin::named("taken").await;
    let pools = [("blue", &origins.0), ("green", &origins.1)];
    let edge = Edge::before(&pools, "rollout.hold = \"1m\"\n").await;
    let at = edge.admin.to_string();
    let json = async || {
        let ran = pointsman(&["doctor", "--json", "--admin", &at]).await;
        (ran.code, serde_json::from_str::<Value>(&ran.out).unwrap())
    };
    let (code, told) = json().await;
    assert_eq!(code, 1, "{told}");
    for missing in ["limits", "body-limit", "health", "two-upstreams", "slo", "alerts", "rollback"]
    {
        assert_eq!(state_of(&told, missing).0, "missing", "{missing}: {told}");
    }
    for well in ["reload", "retries", "admin", "trusted-proxies", "drain", "store", "certificates"]
    {
        assert_eq!(state_of(&told, well).0, "well", "{well}: {told}");
    }
    assert_eq!(state_of(&told, "alerts-arrive").0, "skipped");
    assert!(["well", "missing"].contains(&state_of(&told, "disk").0), "{told}");
    assert!(["well", "missing"].contains(&state_of(&told, "descriptors").0), "{told}");
    assert_eq!(state_of(&told, "hardening").0, "missing", "a test is no unit: {told}");

    let shown = pointsman(&["doctor", "--admin", &at]).await;
    assert_eq!(shown.code, 1, "{}", shown.err);
    let mend = "  In the file:\n    [services.shop.health]\n    http = { path = \"/healthz\" }\n";
    assert!(shown.out.contains(mend), "{}", shown.out);
    assert!(!shown.out.contains('\x1b'), "a pipe has no colours: {}", shown.out);
    assert!(shown.out.lines().all(|line| line.chars().count() <= 80), "{}", shown.out);

    // Lines that mend something do.
    let text = std::fs::read_to_string(edge.file()).unwrap();
    let text = text.replace("[services.shop]\n", &format!("[services.shop]\n{GOOD}"));
    let second = format!("\"{}\", \"127.0.0.1:9\"]", origins.0.address);
    let text = text.replace(&format!("\"{}\"]", origins.0.address), &second);
    let target = format!("[[notify]]\nurl = \"http://{}/n\"\nname = \"ops\"\n", taker.address);
    std::fs::write(edge.file(), format!("{text}\n{target}")).unwrap();
    let reloaded = pointsman(&["reload", "--admin", &at]).await;
    assert_eq!(reloaded.code, 0, "{}", reloaded.err);
    for line in ["shift shop blue=90 green=10 --force", "rollback shop"] {
        let ran =
            pointsman(&[&line.split(' ').collect::<Vec<_>>()[..], &["--admin", &at]].concat())
                .await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    }
    let (_, told) = json().await;
    for well in ["limits", "body-limit", "health", "two-upstreams", "slo", "alerts", "rollback"] {
        assert_eq!(state_of(&told, well).0, "well", "{well}: {told}");
    }
    // The second upstream is nobody, which is worth a notice, and somebody takes it.
    until("a notice has arrived", async || {
        let told = client::get(edge.admin, "localhost", "/v1/doctor", &[]).await.body;
        state_of(&serde_json::from_str(&told).unwrap(), "alerts-arrive").0 == "well"
    })
    .await;
}

#[tokio::test]
async fn a_file_is_looked_at_without_a_proxy() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let file = file.to_str().unwrap();
    let shop = |service: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[notify]]\nurl = \"http://127.0.0.1:9/n\"\n[[routes]]\n\
             path_prefix = \"/\"\nservice = \"shop\"\n[services.shop]\n{service}\
             pools.blue.upstreams = [\"10.0.0.11:9000\", \"10.0.0.12:9000\"]\n"
        )
    };
    let doctor =
        async |more: &[&str]| pointsman(&[&["doctor", "--config", file], more].concat()).await;
    std::fs::write(file, shop("")).unwrap();
    let bare = doctor(&["--json"]).await;
    assert_eq!(bare.code, 1, "{}", bare.err);
    let told: Value = serde_json::from_str(&bare.out).unwrap();
    assert_eq!(state_of(&told, "health"), ("missing", "no health check: shop"));
    assert_eq!(state_of(&told, "store"), ("skipped", "only a running proxy knows"));
    std::fs::write(file, shop(GOOD)).unwrap();
    let good = doctor(&["--all"]).await;
    assert_eq!(good.code, 0, "whatever the machine of the test is: {}", good.out);
    for here in ["runbooks", "clock", "stop-timeout", "descriptors", "hardening"] {
        assert_eq!(state_of(&told, here).0, "skipped", "{here}: {told}");
    }
    assert!(good.out.contains("WELL\n") && good.out.contains("NOT LOOKED AT\n"), "{}", good.out);
    std::fs::write(file, "[services.shop]\n").unwrap();
    let broken = doctor(&[]).await;
    assert_eq!(broken.code, 1);
    assert!(broken.err.contains("cannot be used"), "{}", broken.err);
    let nobody = pointsman(&["doctor", "--admin", "127.0.0.1:1"]).await;
    assert_eq!(nobody.code, 69, "{}", nobody.err);
}
