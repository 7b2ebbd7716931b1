//! Files that the config's file includes: they come, change and go while the process watches them.

use crate::cli::pointsman;
use crate::harness::edge::{HEAD, shop};
use crate::harness::running::{file, until_ready};
use crate::harness::{Edge, Origin, client, until};

/// A service in a file of its own.
fn web(origin: &Origin) -> String {
    format!(
        "[[routes]]\nhosts = [\"web.test\"]\nservice = \"web\"\n\
         [services.web.pools.only]\nupstreams = [\"{}\"]\n",
        origin.address
    )
}

fn main_file(origin: &Origin) -> String {
    let route = "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n";
    format!("include = [\"conf.d/*.toml\"]\n{HEAD}{route}{}", shop(&[("only", origin)], ""))
}

async fn body(edge: &Edge, host: &str) -> String {
    client::get(edge.address, host, "/", &[]).await.body
}

#[tokio::test]
async fn a_new_file_of_the_folder_takes_effect_and_so_do_its_changes_and_its_end() {
    let (shop, first, second) =
        (Origin::named("shop").await, Origin::named("first").await, Origin::named("second").await);
    let main = main_file(&shop);
    // The folder comes later, too.
    let edge = Edge::start_folder(&[("pointsman.toml", &main)], &[], true).await;
    let file = edge.folder.path().join("conf.d/web.toml");
    let before = edge.generation();
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, web(&first)).unwrap();
    edge.until_after(before).await;
    assert_eq!(
        (body(&edge, "web.test").await, body(&edge, "shop.test").await),
        ("first".into(), "shop".into())
    );
    let before = edge.generation();
    std::fs::write(&file, web(&second)).unwrap();
    edge.until_after(before).await;
    assert_eq!(body(&edge, "web.test").await, "second");
    // What an editor leaves there is nothing.
    std::fs::write(edge.folder.path().join("conf.d/.web.toml.swp"), "x = [").unwrap();
    std::fs::write(edge.folder.path().join("conf.d/web.toml~"), "x = [").unwrap();
    // It is in use: its end waits for somebody's word, as if it had been cut out of the file.
    let process = edge.server.process();
    std::fs::remove_file(&file).unwrap();
    until("it waits", async || process.gauges().waits_for_reload).await;
    assert_eq!(body(&edge, "web.test").await, "second");
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    assert_eq!(client::get(edge.address, "web.test", "/", &[]).await.status, 404);
}

#[tokio::test]
async fn a_mistake_in_an_included_file_is_told_with_its_place_and_changes_nothing() {
    let (shop, other) = (Origin::named("shop").await, Origin::named("web").await);
    let (main, part) = (main_file(&shop), web(&other));
    let files = [("pointsman.toml", &*main), ("conf.d/web.toml", &*part)];
    let edge = Edge::start_folder(&files, &[], true).await;
    let at = edge.folder.path().join("conf.d/web.toml");
    let process = edge.server.process();
    std::fs::write(&at, part.replace("upstreams", "upstreems")).unwrap();
    until("it is refused", async || process.gauges().refused_reloads > 0).await;
    assert_eq!(body(&edge, "web.test").await, "web");
    let (status, problem) = edge.admin("POST", "/v1/config/reload", "").await;
    let told = &problem["problems"][1];
    assert_eq!((status, &told["line"], &told["column"]), (422, &5.into(), &1.into()), "{problem}");
    assert_eq!(told["file"], at.display().to_string());
    let shown = pointsman(&["reload", "--admin", &edge.admin.to_string()]).await;
    assert!(
        shown.err.contains(&format!("{}:5:1: error: unknown key", at.display())),
        "{}",
        shown.err
    );
    let file = edge.file().display().to_string();
    let checked = pointsman(&["check", &file]).await;
    assert_eq!(checked.code, 1);
    assert!(checked.err.contains(&format!("--> {}:5:1", at.display())), "{}", checked.err);
    assert!(checked.out.contains("and 1 file that it includes: 2 errors"), "{}", checked.out);
    std::fs::write(&at, &part).unwrap();
    until("it is forgiven", async || process.gauges().last_reload_successful).await;
    let (_, shown) = edge.admin("GET", "/v1/config", "").await;
    assert_eq!((&shown["text"], &shown["included"][0]["text"]), (&main.into(), &part.into()));
}

#[tokio::test]
async fn a_file_is_compared_with_what_it_includes() {
    let (shop, other) = (Origin::named("shop").await, Origin::named("web").await);
    let (main, part) = (main_file(&shop), web(&other));
    let files = [("pointsman.toml", &*main), ("conf.d/web.toml", &*part)];
    let edge = Edge::start_folder(&files, &[], false).await;
    let admin = edge.admin.to_string();
    let diff = async |file: &str| pointsman(&["diff", "--admin", &admin, file]).await;
    let file = edge.file().display().to_string();
    assert_eq!(diff(&file).await.out, "no difference\n");
    // Another checkout, with a folder of its own.
    let next = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(next.path().join("conf.d")).unwrap();
    std::fs::write(next.path().join("next.toml"), &main).unwrap();
    std::fs::write(next.path().join("conf.d/web.toml"), part.replace("web.test", "www.test"))
        .unwrap();
    let file = next.path().join("next.toml").display().to_string();
    let compared = diff(&file).await;
    assert!(compared.out.contains("route www.test"), "{} {}", compared.out, compared.err);
    let (status, problem) = edge.admin("POST", "/v1/config/diff", &main).await;
    assert_eq!(status, 422);
    assert_eq!(problem["problems"][0]["message"], "what it includes has not come with it");
    // Nobody is told of a file by including it.
    for include in ["admin.token", "/etc/passwd", "../x.toml"] {
        let text = main.replace("[\"conf.d/*.toml\"]", &format!("\"{include}\""));
        let (_, checked) = edge.admin("POST", "/v1/config/check", &text).await;
        assert_eq!(checked["valid"], false, "{checked}");
        assert!(!checked.to_string().contains("root:"), "{checked}");
    }
}

#[tokio::test]
async fn what_cannot_be_included_is_told_where_it_is_asked_for() {
    let origin = Origin::named("a").await;
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("conf.d")).unwrap();
    let file = at("p.toml");
    let main = main_file(&origin);
    let check = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        pointsman(&["check", file.to_str().unwrap()]).await
    };
    let empty = check(&main).await;
    assert_eq!(empty.code, 0, "nobody has put anything there yet");
    let told = "warning: `conf.d/*.toml` includes nothing: there is no such file";
    assert!(empty.err.contains(told) && empty.err.contains("p.toml:1:12"), "{}", empty.err);
    assert!(empty.out.contains("1 warning"), "{}", empty.out);
    let with = |include: &str| main.replace("\"conf.d/*.toml\"", include);
    // What is there and cannot be read is not taken for empty.
    std::fs::write(at("odd.d"), "").unwrap();
    let odd = check(&with("\"odd.d/*.toml\"")).await;
    assert!(
        odd.err.contains("cannot read the folder ") && odd.err.contains("p.toml:1:12"),
        "{}",
        odd.err
    );
    let missing = check(&with("\"conf.d/x.toml\"")).await;
    assert!(
        missing.err.contains("p.toml:1:12") && missing.err.contains("No such file"),
        "{}",
        missing.err
    );
    let above = check(&with("\"../x.toml\"")).await;
    assert!(above.err.contains("p.toml:1:12") && above.err.contains("no `..`"), "{}", above.err);
    // The file itself is none of those that it includes, and a file is read once.
    assert_eq!(check(&with("\"*.toml\", \"p.toml\"")).await.code, 0);
    for nth in 0..257 {
        std::fs::write(at(&format!("conf.d/{nth}.toml")), "").unwrap();
    }
    let many = check(&main).await;
    assert_eq!(many.code, 1);
    assert!(many.err.contains("more than 256 files are included"), "{}", many.err);
    std::fs::remove_file(at("conf.d/0.toml")).unwrap();
    assert_eq!(check(&main).await.code, 0);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_told_of_at_every_reading() {
    let origin = Origin::named("shop").await;
    let services = format!(
        "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n{}",
        shop(&[("only", &origin)], "")
    );
    let (text, _, admin) = file("workers = 2", &services);
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let main = at("p.toml");
    std::fs::write(&main, format!("include = \"conf.d/*.toml\"\n{text}")).unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let _child = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["run", main.to_str().unwrap()])
        .env_remove("POINTSMAN_LOG")
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until_ready(admin).await;
    let told = format!(
        "{}:1:11: `conf.d/*.toml` includes nothing: there is no folder {}",
        main.display(),
        at("conf.d").display()
    );
    let times = || std::fs::read_to_string(at("log")).unwrap().matches(&told).count();
    until("the start is told", async || times() == 1).await;
    let admin = admin.to_string();
    assert_eq!(pointsman(&["reload", "--admin", &admin]).await.code, 0);
    until("the reload is told", async || times() == 2).await;
    // It is there again, with something in it.
    std::fs::create_dir(at("conf.d")).unwrap();
    std::fs::write(at("conf.d/web.toml"), web(&origin)).unwrap();
    assert_eq!(pointsman(&["reload", "--admin", &admin]).await.code, 0);
    assert_eq!(times(), 2);
    let checked = pointsman(&["check", main.to_str().unwrap()]).await;
    assert!(checked.out.contains("0 warnings"), "{} {}", checked.out, checked.err);
    // It goes while it is in use: who asks for it gets what is left, and is told.
    std::fs::rename(at("conf.d"), at("other.d")).unwrap();
    assert_eq!(pointsman(&["reload", "--admin", &admin]).await.code, 0);
    until("its end is told", async || times() >= 3).await;
    let checked = pointsman(&["check", main.to_str().unwrap()]).await;
    assert!(checked.err.contains("there is no folder"), "{}", checked.err);
}
