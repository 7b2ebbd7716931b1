//! The rules of `conf/prometheus`: Prometheus's own tool reads and tries them, each alert has a case in which it
//! fires and a runbook of the one form, and whatever they ask for a running edge has.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::documented::root;
use crate::harness::edge::HEAD;
use crate::harness::{Edge, Origin, until};
use crate::tls::certificates::{Authority, Files};

/// What a runbook says, in this order.
const SECTIONS: [&str; 5] = ["Trigger", "Impact", "Diagnosis", "Remediation", "Escalation"];

const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];

fn folder() -> PathBuf {
    root().join("conf/prometheus")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// An alert of the rules.
struct Alert {
    name: String,
    severity: String,
    runbook: String,
}

/// The alerts, by the lines of their file.
fn alerts() -> Vec<Alert> {
    let text = read("alerts.yml");
    let said = |rule: &str, before: &str, behind: &str| {
        let (_, rest) = rule.split_once(before).unwrap_or_else(|| panic!("{before}: {rule}"));
        rest.split_once(behind).unwrap().0.to_string()
    };
    let rules: Vec<_> = text.split("- alert: ").skip(1).collect();
    let alert = |rule: &&str| Alert {
        name: said(&format!("alert: {rule}"), "alert: ", "\n"),
        severity: said(rule, "severity: ", " }"),
        runbook: said(rule, "runbook: ", "\n"),
    };
    rules.iter().map(alert).collect()
}

fn promtool(words: &[&str]) {
    let output = Command::new("promtool").args(words).current_dir(folder()).output();
    let output = output.expect("promtool is installed (Debian package `prometheus`)");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("SUCCESS"), "{words:?}: {said}");
}

#[test]
fn promtool_takes_the_config_and_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "--lint-fatal", "recording.yml", "alerts.yml"]);
}

#[test]
fn each_alert_fires_for_its_symptom_and_for_no_other() {
    promtool(&["test", "rules", "tests.yml", "days.yml"]);
    // Each case says all that fires, so that an alert without a case of its own has never fired.
    let cases = read("tests.yml") + &read("days.yml");
    for Alert { name, .. } in alerts() {
        assert!(cases.contains(&format!("alertname=\"{name}\"")), "{name} fires in no case");
    }
}

#[test]
fn each_alert_has_a_severity_and_a_runbook_of_the_one_form() {
    let alerts = alerts();
    let index = fs::read_to_string(root().join("docs/runbooks/README.md")).unwrap();
    let mut linked = BTreeSet::new();
    for Alert { name, severity, runbook } in &alerts {
        assert!(SEVERITIES.contains(&severity.as_str()), "{name}: {severity}");
        let text = fs::read_to_string(root().join(runbook));
        let text = text.unwrap_or_else(|error| panic!("{name}: {runbook}: {error}"));
        let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{runbook}");
        let trigger = text.split("## Impact").next().unwrap();
        assert!(
            trigger.contains(&format!("`{name}`")),
            "{runbook} is for {name} and does not say so"
        );
        let file = runbook.rsplit('/').next().unwrap();
        let row = format!("| `{name}` | {severity} | [{file}]({file}) |");
        assert!(index.contains(&row), "docs/runbooks/README.md lacks {row}");
        linked.insert(file.to_string());
    }
    for entry in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" || linked.contains(&name) {
            continue;
        }
        // Of an operation, or of an event without an alert.
        assert!(index.contains(&format!(" | [{name}]({name}) |")), "nothing leads to {name}");
        let text = fs::read_to_string(root().join("docs/runbooks").join(&name)).unwrap();
        let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{name}");
    }
}

/// The metrics that these rules ask for; what they record themselves has colons.
fn asked_for(rules: &str) -> BTreeSet<&str> {
    let is_of_name = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(move |letter| !is_of_name(letter)));
    let ours = words.filter(|word| word.starts_with("pointsman_") || word.starts_with("process_"));
    ours.filter(|word| !word.contains(':')).collect()
}

/// An edge that uses whatever alerts and metrics look at, after a request.
pub async fn in_full_use(blue: &Origin, green: &Origin) -> Edge {
    let files = Files::new();
    let shop = files.issue("shop", &Authority::new("authority"), &["shop.test"]);
    let by_name = format!("localhost:{}", blue.address.port());
    // Nobody listens at the authority's address: the order fails.
    let lines = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[listeners.tls]\ncertificates = [{{ {shop}, default = true }}]\n\
         [listeners.tls.acme]\nemail = \"a@example.com\"\nnames = [\"other.test\"]\n\
         directory = \"https://127.0.0.1:9/directory\"\nchallenge = \"tls-alpn-01\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n\
         [[notify]]\nurl = \"http://127.0.0.1:9/\"\n\
         [automation.tell]\nservice = \"shop\"\nwhen = {{ down = 1 }}\nthen = \"notify\"\n\
         [flags.new_cart]\nservices = [\"shop\"]\npercent = 10\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\n\
         slo = {{ availability = \"99.9%\", latency = {{ p99 = \"500ms\" }} }}\n\
         limits = {{ in_flight = 100, queue = 10, adaptive = true }}\n\
         health = {{ tcp = true }}\nrate_limit = {{ requests = 1000 }}\n\
         mirror = {{ to = \"green\", compare = {{ }} }}\n\
         fallback = {{ answer = {{ status = 503, body = \"later\" }}, stale = {{ }} }}\n\
         [services.shop.pools]\nblue.upstreams = [{{ address = \"{by_name}\", labels = {{ zone = \"a\" }} }}]\n\
         green.upstreams = [\"{}\"]\n",
        green.address
    );
    let (before_admin, _) = HEAD.split_once("[admin]").unwrap();
    let log = files.at("access.log");
    let server = format!(
        "[server]\nmetric_labels = [\"zone\"]\nmemory = {{ limit = \"4GiB\" }}\naccess_log = {{ to = \"{}\" }}\n",
        log.display()
    );
    let text = format!("{}{lines}", before_admin.replacen("[server]\n", &server, 1));
    let edge = Edge::start_file(&text, false).await;
    until("it serves", async || edge.get(&[]).await.status == 200).await;
    edge
}

#[tokio::test]
async fn whatever_rules_ask_for_an_edge_has() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = in_full_use(&blue, &green).await;
    let rules = ["recording.yml", "alerts.yml"].map(read).join("\n");
    let asked = asked_for(&rules);
    assert!(asked.len() >= 30, "{asked:?}");
    let started = edge.admin("POST", "/v1/services/shop/rollout", r#"{"to": "green"}"#).await;
    assert!(started.0 < 300, "{started:?}");
    for name in asked {
        until(&format!("an edge has {name}"), async || {
            let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
            let mut series = metrics.lines().filter_map(|line| line.strip_prefix(name));
            series.any(|rest| rest.starts_with(['{', ' ']))
        })
        .await;
    }
}
