//! The command line, as a program of its own.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::edge::{HEAD, shop};
use crate::harness::running::free;
use crate::harness::{Edge, Origin, Reply, until};

/// How the program has ended, and what it has printed.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the program.
pub async fn pointsman(args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(args)
        .env_remove("POINTSMAN_ADMIN")
        .env("USER", "ann")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn init_check_and_a_broken_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let file = file.to_str().unwrap();
    assert_eq!(pointsman(&["init", file]).await.code, 0);
    let again = pointsman(&["init", file]).await;
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is there already; --force overwrites it"), "{}", again.err);
    let fine = pointsman(&["check", file]).await;
    assert_eq!(fine.code, 0);
    assert_eq!(fine.out, format!("{file}: valid (1 listener, 1 route, 1 service; 0 warnings)\n"));
    let text = std::fs::read_to_string(file).unwrap();
    let broken = text.replace("service = \"shop\"", "servce = \"shop\"").replace("9001", "90011");
    std::fs::write(file, broken).unwrap();
    let refused = pointsman(&["check", file]).await;
    assert_eq!((refused.code, &*refused.out), (1, &*format!("{file}: 3 errors, 0 warnings\n")));
    for part in [
        "error: unknown key `servce` in `routes`",
        &format!("--> {file}:7:1"),
        "did you mean `service`?",
        "`90011` is not a port; ports go from 1 to 65535",
    ] {
        assert!(refused.err.contains(part), "{part}\n{}", refused.err);
    }
    assert_eq!(pointsman(&["init", file, "--force"]).await.code, 0);
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
    std::fs::write(file, text.replace("service = \"shop\"", "servce = \"shop\"")).unwrap();
    let run = pointsman(&["run", file]).await;
    assert_eq!(run.code, 1);
    assert!(run.err.contains("did you mean `service`?") && run.err.contains("cannot be used"));
}

#[tokio::test]
async fn what_a_command_writes_goes_where_it_is_told_and_not_where_a_link_leads() {
    let folder = tempfile::TempDir::new().unwrap();
    let (precious, link) = (folder.path().join("precious"), folder.path().join("link"));
    std::fs::write(&precious, "mine").unwrap();
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    let link = link.to_str().unwrap();
    for args in [
        &["init", "--force", link][..],
        &["rehearse", "--seeds", "1", "--steps", "100", "--svg", link],
    ] {
        let refused = pointsman(args).await;
        let said = refused.err.contains("cannot write") && refused.err.contains("it is a link");
        assert!(refused.code == 1 && said, "{}", refused.err);
    }
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn orders_and_answers() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    // Not watched: an edit that is in force before `diff` asks differs in nothing.
    let text = format!("{HEAD}{}", shop(&[("blue", &blue), ("green", &green)], ""));
    let edge = Edge::start_file(&text, false).await;
    let admin = edge.admin.to_string();
    let order = async |args: &[&str]| pointsman(&[args, &["--admin", &admin]].concat()).await;

    let shifted = order(&["shift", "shop", "blue=87.5", "green=12.5", "--reason", "try"]).await;
    assert_eq!(
        (shifted.code, &*shifted.out),
        (0, "shop is at revision 2: blue=87.5 % green=12.5 %\n")
    );
    let (_, revisions) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    assert_eq!(
        (&revisions[0]["author"], &revisions[0]["reason"]),
        (&"cli:ann".into(), &"try".into())
    );

    let lost = order(&["shift", "shop", "blue=100", "--if-revision", "1"]).await;
    assert_eq!(lost.code, 5);
    assert!(lost.err.contains("it is at revision 2 by now, not at 1"), "{}", lost.err);
    let sum = order(&["shift", "shop", "blue=50"]).await;
    assert_eq!(sum.code, 2);
    assert!(sum.err.contains("the weights sum to 50 %, not to 100 %"), "{}", sum.err);
    assert_eq!(order(&["shift", "shop", "blue"]).await.code, 2);

    let only = green.address.to_string();
    let last = order(&["drain", "shop/green", &only]).await;
    assert!(last.code == 5 && last.err.contains("--force"), "{}", last.err);
    let drained = order(&["drain", "shop/green", &only, "--force"]).await;
    assert_eq!(drained.code, 0, "{}", drained.err);
    let refused = order(&["flip", "shop", "green"]).await;
    assert_eq!(refused.code, 5);
    assert!(
        refused.err.contains("pool `green` has no upstream that takes requests"),
        "{}",
        refused.err
    );
    assert_eq!(order(&["drain", "shop/green", &green.address.to_string(), "--undo"]).await.code, 0);
    assert_eq!(order(&["flip", "shop", "green"]).await.out, "shop is at revision 3: green=100 %\n");
    assert_eq!(edge.get(&[]).await.body, "green");
    let back = order(&["rollback", "shop"]).await.out;
    assert_eq!(back, "shop is at revision 4: blue=87.5 % green=12.5 %\n");
    let again = order(&["rollback", "shop"]).await;
    assert!(again.code == 0 && again.out.contains("shop is already rolled back"), "{}", again.out);
    let further = order(&["rollback", "shop", "3"]).await.out;
    assert_eq!(further, "shop is at revision 5: green=100 %\n");

    let status = order(&["status", "shop"]).await;
    for part in ["SERVICE", "shop", "blue", "green", "100 %", "UPSTREAM", "active"] {
        assert!(status.out.contains(part), "{part}\n{}", status.out);
    }
    let json = order(&["status", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["services"][0]["revision"], 5);

    assert_eq!(order(&["diff"]).await.out, "no difference\n");
    let text = std::fs::read_to_string(edge.file()).unwrap();
    std::fs::write(edge.file(), text.replace("blue = 100, green = 0", "blue = 60, green = 40"))
        .unwrap();
    let moves = "service shop: split green=100 → blue=60 green=40, 60 % of its traffic moves\n";
    assert_eq!(order(&["diff"]).await.out, moves);
    std::fs::write(edge.file(), text.replace("split", "splitt")).unwrap();
    let bad = order(&["reload"]).await;
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("error: unknown key `splitt`"), "{}", bad.err);
    assert!(bad.err.contains("nothing has changed"), "{}", bad.err);
}

#[tokio::test]
async fn a_flip_waits_for_what_the_old_pool_still_holds() {
    let blue = Origin::always(Reply::Nothing).await;
    let green = Origin::named("green").await;
    // Long enough for the command to start on a busy machine and find the request there.
    let service = "timeouts.response = \"5s\"";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], service).await;
    let mut held = edge.client().await;
    held.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("blue holds a request", async || blue.received().len() == 1).await;
    let flipped = pointsman(&["flip", "shop", "green", "--admin", &edge.admin.to_string()]).await;
    assert_eq!(flipped.code, 0, "{}", flipped.err);
    assert!(flipped.err.contains("waiting for 1 in flight\ndrained\n"), "{}", flipped.err);
    assert_eq!(held.response().await.status, 504);
}

#[tokio::test]
async fn a_build_says_what_it_is_and_needs_no_more_than_every_system_has() {
    let ran = pointsman(&["--version", "--verbose"]).await;
    assert_eq!(ran.code, 0);
    let version = concat!("pointsman ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(ran.out.starts_with(version) && ran.out.contains("cryptography: "), "{}", ran.out);
    assert_eq!(pointsman(&["--version"]).await.out, version);
    // What a package has to ask for, and an image has to bring.
    let ldd = tokio::process::Command::new("ldd").arg(env!("CARGO_BIN_EXE_pointsman")).output();
    let listed = String::from_utf8(ldd.await.unwrap().stdout).unwrap();
    let needs: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let known = ["linux-vdso.", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-"];
    let is_known = |name: &&str| known.iter().any(|known| name.contains(known));
    assert!(needs.len() > 2 && needs.iter().all(is_known), "{listed}");
}

#[tokio::test]
async fn nobody_there_is_69() {
    let closed = free();
    let ran = pointsman(&["status", "--admin", &closed.to_string()]).await;
    assert_eq!(ran.code, 69);
    assert!(ran.err.contains("cannot reach the admin API at"), "{}", ran.err);
    // Who goes away while it is asked is not there either; who says something else is somebody else.
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
    for (reply, code) in [
        (Reply::Close, 69),
        (Reply::BytesThenReset(Vec::new()), 69),
        (Reply::BytesThenClose(half.clone()), 69),
        (Reply::BytesThenReset(half), 69),
        (Reply::BytesThenClose(b"SSH-2.0-x\r\n\r\n".to_vec()), 1),
        (Reply::ok("hello"), 1),
    ] {
        let other = Origin::always(reply).await;
        let ran = pointsman(&["status", "--admin", &other.address.to_string()]).await;
        assert_eq!(ran.code, code, "{}", ran.err);
    }
}

#[tokio::test]
async fn run_reloads_on_sighup_and_stops_on_sigterm() {
    let origin = Origin::named("a").await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let (listen, admin) = (free(), free());
    let text = format!(
        "[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n\
         [services.a.retries]\ntry = \"5s\"\n\
         [services.a.pools]\np.upstreams = [\"{}\"]\n",
        origin.address
    );
    std::fs::write(&file, &text).unwrap();
    let log = folder.path().join("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["run", "--no-watch", file.to_str().unwrap()])
        .stderr(std::fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let admin = admin.to_string();
    let status = async || {
        let ran = pointsman(&["status", "--json", "--admin", &admin]).await;
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap_or_default()
    };
    until("it is ready", async || status().await["ready"] == true).await;
    assert_eq!(crate::harness::client::get(listen, "a", "/", &[]).await.body, "a");
    let signal = async |name: &str, pid: u32| {
        let sent = Command::new("kill").args([name, &pid.to_string()]).status().await.unwrap();
        assert!(sent.success());
    };
    let pid = child.id().unwrap();
    signal("-HUP", pid).await;
    until("it has reloaded", async || status().await["config"]["reloads"] == 1).await;
    let log = std::fs::read_to_string(&log).unwrap();
    let odd = "p.toml:6:1: `try` is called `attempt_timeout` now; write `attempt_timeout = \"5s\"`";
    assert_eq!(log.matches(odd).count(), 2, "at the start and at the reload: {log}");
    signal("-TERM", pid).await;
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn proxy_runs_without_a_file() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let (listen, admin) = (free(), free().to_string());
    let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["proxy", "--listen", &listen.to_string(), "--admin", &admin])
        .args(["--to", &format!("{}=0", a.address), "--to", &format!("{}=100", b.address)])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("it is ready", async || pointsman(&["status", "--admin", &admin]).await.code == 0).await;
    assert_eq!(crate::harness::client::get(listen, "x", "/", &[]).await.body, "b");
    assert_eq!(pointsman(&["shift", "app", "blue=100", "--admin", &admin]).await.code, 0);
    assert_eq!(crate::harness::client::get(listen, "x", "/", &[]).await.body, "a");
    assert_eq!(pointsman(&["reload", "--admin", &admin]).await.code, 5);
    child.kill().await.unwrap();
}

#[tokio::test]
async fn the_demo_shows_traffic_and_ends_by_itself() {
    let ran = pointsman(&[
        "demo",
        "--for",
        "2500ms",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ])
    .await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    for part in ["shift shop blue=90 green=10", "flip shop green", "status", "0 errors"] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    assert!(pointsman(&["completions", "bash"]).await.out.contains("_pointsman"));
}

#[tokio::test]
async fn an_admin_address_for_others_needs_a_token_also_from_the_command_line() {
    let args = ["proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--admin", "0.0.0.0:0"];
    let ran = pointsman(&args).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("other machines can reach the admin address"), "{}", ran.err);
}

#[tokio::test]
async fn breakers_holds_and_maintenance_are_one_line_each() {
    let origin = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    let admin = edge.admin.to_string();
    let run = async |args: &[&str]| pointsman(&[args, &["--admin", &admin]].concat()).await;

    let open = run(&["breaker", "shop/blue", "open", "--reason", "restoring"]).await;
    assert_eq!(
        (open.code, &*open.out),
        (0, "the breaker of shop/blue is open: nothing is let through\n")
    );
    assert_eq!(edge.get(&[]).await.status, 503);
    assert!(run(&["status"]).await.out.contains("breaker open"));
    assert_eq!(run(&["breaker", "shop/blue", "auto"]).await.code, 0);
    assert_eq!(edge.get(&[]).await.status, 200);
    let none = run(&["breaker", "shop/bleu", "open"]).await;
    assert_eq!(none.code, 1);
    let near = "service `shop` has no pool named `bleu`; there is `blue`; did you mean `blue`?";
    assert!(none.err.contains(near), "{}", none.err);
    let none = run(&["status", "shp"]).await;
    let near = "no service is named `shp`; there is `shop`; did you mean `shop`?";
    assert!(none.err.contains(near), "{}", none.err);
    let bare = run(&["hold", "shop", "--for", "5"]).await;
    assert_eq!(bare.code, 2);
    assert!(bare.err.contains("a duration needs a unit, such as 5s"), "{}", bare.err);

    assert_eq!(run(&["hold", "shop", "--for", "20s"]).await.code, 0);
    assert!(run(&["status"]).await.out.contains("held, 0 wait"));
    assert_eq!(run(&["hold", "shop", "--release"]).await.out, "shop serves again\n");
    assert_eq!(run(&["hold", "shop", "--for", "6m"]).await.code, 2, "longer than anybody waits");

    let early = run(&["hold", "shop", "--release"]).await;
    assert_eq!(early.code, 5);
    assert!(early.err.contains("service `shop` is serving"), "{}", early.err);
    assert_eq!(run(&["maintenance", "shop", "--message", "back soon"]).await.code, 0);
    assert_eq!(run(&["hold", "shop"]).await.code, 5, "a hold that ends must not end maintenance");
    assert!(edge.get(&[]).await.body.contains("back soon"));
    assert_eq!(run(&["maintenance", "shop", "--end"]).await.code, 0);

    assert_eq!(
        run(&["upstream", "add", "shop/blue", "127.0.0.1:9", "--weight", "3"]).await.code,
        0
    );
    let again = run(&["upstream", "add", "shop/blue", "127.0.0.1:9", "--weight", "3"]).await;
    assert_eq!(again.code, 5, "{}", again.err);
    assert_eq!(run(&["upstream", "remove", "shop/blue", "127.0.0.1:9"]).await.code, 0);

    let unresolved = run(&["upstream", "add", "shop/blue", "nowhere.invalid:9"]).await;
    assert_eq!(
        unresolved.out,
        "nowhere.invalid:9 is in shop/blue; its name has not resolved yet; it joins when it does\n"
    );
    let resolved = run(&["upstream", "add", "shop/blue", "localhost:9"]).await;
    assert_eq!(resolved.out, "localhost:9 is in shop/blue\n");

    // What a slow disk has said of itself is no service's.
    let all = run(&["events"]).await.out;
    let all: String =
        all.split_inclusive('\n').filter(|line| !line.contains(" the disk ")).collect();
    let lately = ["events", "--service", "shop", "--since", "10m"];
    assert_eq!(run(&lately).await.out, all);
    assert_eq!(run(&["events", "--service", "api"]).await.out, "");
    assert_eq!(run(&["events", "--since", "1ms"]).await.out, "");
    assert_eq!(all.matches("shop/blue: breaker").count(), 2, "one for each order\n{all}");

    let events = run(&["events"]).await.out;
    for part in [
        "shop/blue: breaker opened by order (by cli:ann: restoring)",
        "shop: in maintenance",
        "127.0.0.1:9: removed",
    ] {
        assert!(events.contains(part), "{part}\n{events}");
    }
    let json = run(&["events", "--json"]).await.out;
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["kind"], &first["reason"]), (&"breaker".into(), &"restoring".into()));
}

#[tokio::test]
async fn events_are_followed_over_a_restart() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let origin = Origin::named("a").await;
    let admin = free().to_string();
    let start = async || {
        let proxy = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["proxy", "--listen", "127.0.0.1:0", "--admin", &admin])
            .args(["--to", &origin.address.to_string()])
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let is_ready = async || pointsman(&["status", "--admin", &admin]).await.code == 0;
        until("it is ready", is_ready).await;
        proxy
    };
    let maintain = async |reason: &str| {
        let args = ["maintenance", "app", "--reason", reason, "--admin", &admin];
        assert_eq!(pointsman(&args).await.code, 0);
    };
    let mut proxy = start().await;
    maintain("first").await;
    maintain("second").await;
    let mut follower = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["events", "--follow", "--json", "--admin", &admin])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut events = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(follower.stderr.take().unwrap()).lines();
    let mut next = async || {
        loop {
            let line = events.next_line().await.unwrap().expect("it follows");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            // Who asked for it is told beside it.
            if event["kind"] != "audit" {
                return event["reason"].as_str().unwrap_or_default().to_string();
            }
        }
    };
    assert_eq!((next().await, next().await), ("first".into(), "second".into()));
    proxy.kill().await.unwrap();
    let line = said.next_line().await.unwrap().unwrap();
    assert_eq!(line, format!("{admin} cannot be reached; trying again"));
    let _proxy = start().await;
    maintain("third").await;
    assert_eq!(next().await, "third");
    assert_eq!(said.next_line().await.unwrap().unwrap(), format!("{admin} is there again"));
    let line = said.next_line().await.unwrap().unwrap();
    assert_eq!(line, "the proxy was started again: its events begin anew");
}

#[tokio::test]
async fn what_came_of_copies_is_shown() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let service = "split = { blue = 100, green = 0 }\n[services.shop.mirror]\nto = \"green\"\n\
                   percent = 100\ncompare = {}\n";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], service).await;
    let admin = edge.admin.to_string();
    edge.get(&["x-request-id: abc"]).await;
    let shown = async || pointsman(&["mirror", "shop", "--admin", &admin]).await;
    until("the answers are compared", async || shown().await.out.contains("abc")).await;
    let shown = shown().await;
    assert_eq!(shown.code, 0);
    for part in [
        "shop mirrors 100 % of its requests to green\nsince 20",
        "SENT  FAILED  DROPPED  WAITING  SAME  OTHER STATUS  OTHER HEADERS  OTHER BODY",
        "the last 1 of 1 differences kept",
        "GET /    abc  body  4 bytes, hash ",
    ] {
        assert!(shown.out.contains(part), "{part}\n{}", shown.out);
    }
    let none = pointsman(&["mirror", "other", "--admin", &admin]).await;
    assert_eq!(
        (none.code, &*none.err),
        (1, "pointsman: no service is named `other`; there is `shop`\n")
    );
}

#[tokio::test]
async fn check_refuses_what_run_refuses_in_words_that_help() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let file = file.to_str().unwrap();
    let good = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                [services.a.pools.b]\nupstreams = [\"127.0.0.1:9\"]\n";
    let more = "[services.c.pools.b]\nupstreams = [\"127.0.0.1:9\"]\n";
    let admin = "address = \"127.0.0.1:0\"\n[services";
    let cases = [
        (
            good.replace(admin, "address = \"127.0.0.1:9\"\n[services").replacen(":0", ":9", 1),
            "the admin API is on",
        ),
        (
            good.replacen(":0\"", ":9\"\n[[listeners]]\naddress = \"0.0.0.0:9\"", 1),
            "take the same connections",
        ),
        (format!("{good}{more}"), "no route: of several services"),
        (
            good.replace("[services", "token_file = \"none.token\"\n[services"),
            "cannot read the admin token file",
        ),
        (
            format!("{good}[[notify]]\nurl = \"http://a/\"\nsecret_file = \"none.key\"\n"),
            "cannot read the secret file",
        ),
        (
            format!("[[routes]]\npath_prefix = \"/api/*\"\nservice = \"a\"\n{good}"),
            "leave out the `*`",
        ),
        (format!("[[routes]]\nhosts = []\nservice = \"a\"\n{good}"), "`hosts` is empty"),
        (good.replace("127.0.0.1:9", "http://127.0.0.1:9/app"), "without a path: `127.0.0.1:9`"),
        (
            good.replace("[services.a", "[services.a.health]\nhttp.statuses = []\n[services.a"),
            "no answer would be a success",
        ),
        (good.replace("[\"127.0.0.1:9\"]", "[\"127.0.0.1:9]"), "this quote is not closed"),
    ];
    std::fs::write(file, good).unwrap();
    assert_eq!(pointsman(&["check", file]).await.code, 0);
    for (text, words) in cases {
        std::fs::write(file, &text).unwrap();
        let checked = pointsman(&["check", file]).await;
        assert!(checked.code == 1 && checked.err.contains(words), "{words}: {}", checked.err);
        let ran = pointsman(&["run", file]).await;
        assert!(ran.code == 1 && ran.err.contains(words), "{words}: {}", ran.err);
    }
    std::fs::write(file, [b"# caf\xe9\n", good.as_bytes()].concat()).unwrap();
    let checked = pointsman(&["check", file]).await;
    let place = format!("--> {file}:1:6");
    for part in ["not UTF-8", "the byte 0xe9 is no text", &place] {
        assert!(checked.code == 1 && checked.err.contains(part), "{part}: {}", checked.err);
    }
}

#[tokio::test]
async fn check_reads_standard_input_and_knows_the_file_that_run_takes() {
    let folder = tempfile::TempDir::new().unwrap();
    let text = "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    let check = async |args: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("check")
            .args(args)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let valid = "(standard input): valid (1 listener, 1 route, 1 service; 0 warnings)\n";
    assert_eq!(check(&["-"], text).await, (0, valid.into(), String::new()));
    let (code, _, wrong) = check(&["-"], &text.replace(":80", ":x")).await;
    assert!(code == 1 && wrong.contains("(standard input):2:11"), "{wrong}");
    std::fs::write(folder.path().join("pointsman.toml"), text).unwrap();
    let (code, said, _) = check(&[], "").await;
    assert!(code == 0 && said.starts_with("pointsman.toml: valid"), "{said}");
}

#[tokio::test]
async fn a_text_sent_to_the_api_learns_nothing_of_other_files() {
    let origin = Origin::named("a").await;
    let edge = Edge::start_file(&format!("{HEAD}{}", shop(&[("only", &origin)], "")), false).await;
    let admin = edge.admin.to_string();
    let next = edge.folder.path().join("next.toml");
    let diff = async |answer: &str| {
        let fallback = format!("fallback.answer.file = \"{answer}\"\n");
        std::fs::write(&next, format!("{HEAD}{}", shop(&[("only", &origin)], &fallback))).unwrap();
        let said = pointsman(&["diff", next.to_str().unwrap(), "--admin", &admin]).await;
        (said.code, said.err.replace(answer, "FILE"))
    };
    // There or not, readable or not: the answer is the same.
    let passwd = diff("/etc/passwd").await;
    assert_eq!(passwd.0, 1);
    let named = format!("{}:9:24: error: a text that comes over the API", next.display());
    assert!(passwd.1.starts_with(&named), "the file is named: {}", passwd.1);
    for other in ["/etc/shadow", "/no/such/file", "/dev/zero", "../../etc/passwd", "a/../../b"] {
        assert_eq!(diff(other).await, passwd, "{other}");
    }
    std::fs::write(edge.folder.path().join("sorry.html"), "sorry").unwrap();
    assert_eq!(diff("sorry.html").await.0, 0, "it lies beside the config");
}

#[tokio::test]
async fn no_more_problems_are_shown_than_anybody_reads() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let keys: String = (0..4_000).map(|n| format!("unknown_{n} = 1\n")).collect();
    let text = format!(
        "[server]\n{keys}{}",
        "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = []\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let shown = pointsman(&["check", file]).await;
    assert_eq!(shown.out, format!("{file}: 4000 errors, 0 warnings\n"));
    assert_eq!(shown.err.matches("error: ").count(), 20);
    assert!(shown.err.contains("… and 3980 more"), "{}", shown.err);
    let json: serde_json::Value =
        serde_json::from_str(&pointsman(&["check", "--json", file]).await.out).unwrap();
    assert_eq!(json["problems"].as_array().unwrap().len(), 20);
}
