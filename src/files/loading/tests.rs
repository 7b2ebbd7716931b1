//! Configs whose files are there, missing, not to be read, or open to all.

use super::*;
use crate::config::{Level, Live, diff};

type Told = Vec<(Level, Option<(usize, usize)>)>;

#[test]
fn keys_are_read_beside_the_config_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("keys")).unwrap();
    std::fs::write(at("keys/x"), "s3cret-x\n").unwrap();
    std::fs::write(at("y"), "s3cret-y").unwrap();
    let target = |name, file: &str| {
        format!("[[notify]]\nname = \"{name}\"\nurl = \"http://a/\"\nsecret_file = \"{file}\"\n")
    };
    let rest = "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    let whole = at("y").display().to_string();
    let text = [target("x", "keys/x"), target("y", &whole), rest.into()].concat();
    let text = Written::plain(&at("pointsman.toml"), text);
    let config = text.parse().unwrap().0;
    let files = config.notify.iter().map(|target| target.secret_file.clone().unwrap());
    let keys: Vec<_> = files.map(|file| config.keys.of(&file).unwrap().bytes()).collect();
    assert_eq!(keys, [b"s3cret-x", b"s3cret-y"]);
    let shown = format!("{config:?}");
    assert!(shown.contains("keys/x") && !shown.contains("s3cret"), "{shown}");
    std::fs::write(at("y"), "another").unwrap();
    let other = text.parse().unwrap().0;
    assert_ne!(config, other, "another key is another config");
    assert_eq!(diff(&config, &other, &Live::default()), [], "of which nothing is told");
}

#[test]
fn a_file_that_is_missing_is_told_where_it_is_named() {
    let text = "[[listeners]]\naddress = \":80\"\n[admin]\ntoken_file = \"admin.token\"\n\
        [services.a]\nfallback.answer.file = \"sorry.html\"\n[services.a.pools.b]\n\
        upstreams = [\"a:1\"]\n[[notify]]\nurl = \"http://a/\"\nsecret_file = \"alerts.key\"\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    let text = Written::plain(&path, text);
    let told = |text: &Written| -> Told {
        let problems = text.check(0).1.0;
        let place = |problem: &Problem| problem.position(&text.texts.main.text);
        problems.iter().map(|problem| (problem.level, place(problem))).collect()
    };
    let token = |level| (level, Some((4, 14)));
    let secret = |level| (level, Some((11, 15)));
    let answer = (Level::Error, Some((6, 24)));
    assert_eq!(told(&text), [token(Level::Error), answer, secret(Level::Error)]);
    let with_mode = |name, mode| {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path().join(name), mode).unwrap();
    };
    let write = |name, what| {
        std::fs::write(folder.path().join(name), what).unwrap();
        with_mode(name, 0o640);
    };
    write("sorry.html", "sorry");
    assert_eq!(told(&text), [token(Level::Error), secret(Level::Error)]);
    let refused = || match text.parse() {
        Err(FileError::Problems(rejected)) => rejected.problems.0.len(),
        other => panic!("who serves needs them: {other:?}"),
    };
    assert_eq!(refused(), 2);
    write("alerts.key", " \n");
    assert_eq!(told(&text), [token(Level::Error), secret(Level::Error)]);
    write("alerts.key", "key");
    assert_eq!(refused(), 1);
    write("admin.token", "ci: short");
    assert_eq!(told(&text), [token(Level::Error)]);
    write("admin.token", "ci: 0123456789abcdef");
    assert!(text.parse().unwrap().0.admin.tokens.is_some());
    with_mode("admin.token", 0o644);
    assert_eq!(told(&text), [token(Level::Warning)], "everybody can read it");
    with_mode("admin.token", 0o640);
    assert_eq!(told(&text), []);
}

#[test]
fn a_key_of_two_certificates_is_told_of_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = "[[listeners]]\naddress = \":443\"\ntls.certificates = [\
        { certificate = \"a.pem\", key = \"k\" }, { certificate = \"b.pem\", key = \"k\" }]\n\
        [services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    let text = Written::plain(&at("p.toml"), text);
    let told = || -> Vec<(Level, String)> {
        let problems = text.check(0).1.0.into_iter();
        let folder = format!("{}/", folder.path().display());
        problems.map(|told| (told.level, told.message.replace(&folder, ""))).collect()
    };
    for name in ["a.pem", "b.pem"] {
        std::fs::write(at(name), include_str!("../../outgoing/dial/test_server.pem")).unwrap();
    }
    let missing = "cannot read k: No such file or directory (os error 2)";
    assert_eq!(told(), [(Level::Error, missing.into())]);
    let write = |what: &str, mode| {
        std::fs::write(at("k"), what).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(at("k"), mode).unwrap();
    };
    write("no key", 0o640);
    assert_eq!(told(), [(Level::Error, "k holds no private key in PEM form".into())]);
    write(include_str!("../../outgoing/dial/test_server.key"), 0o644);
    let open = "everybody on this machine can read the private key k";
    let told = told().into_iter().filter(|(_, message)| !message.contains("is good from"));
    assert_eq!(told.collect::<Vec<_>>(), [(Level::Warning, open.to_string())]);
}

#[test]
fn the_state_folder_is_beside_the_config_as_a_whole_path() {
    let placed = |path: &str, folder: &str| {
        let text = format!(
            "[server]\nstate_dir = \"{folder}\"\n[[listeners]]\naddress = \":80\"\n\
             [services.a.pools.b]\nupstreams = [\"a:1\"]\n"
        );
        let text = Written::plain(Path::new(path), text);
        text.parse().unwrap().0.server.state_dir.clone().unwrap()
    };
    assert_eq!(placed("/nowhere/pointsman.toml", "state"), Path::new("/nowhere/state"));
    let usual = "/var/lib/pointsman";
    assert_eq!(placed("/nowhere/pointsman.toml", usual), Path::new(usual));
    let here = std::env::current_dir().unwrap();
    assert_eq!(placed("conf/pointsman.toml", "state"), here.join("conf/state"));
    assert_eq!(placed("pointsman.toml", "state"), here.join("state"));
}

#[test]
fn the_secrets_of_every_hook_are_beside_the_config_too() {
    let points = [
        "before_start",
        "expand",
        "before_step",
        "before_promote",
        "after_promote",
        "after_rollback",
        "contract",
        "deploy",
    ];
    let hook = |point| format!("{point} = {{ url = \"http://a/\", secret_file = \"k\" }}\n");
    let hooks: String = points.map(hook).concat();
    let text = format!(
        "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n\
         [services.a.rollout.hooks]\n{hooks}"
    );
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("pointsman.toml"), folder.path().join("k"));
    let text = Written::plain(&path, text);
    assert_eq!(text.check(0).1.0.len(), 1, "a file is told of once");
    std::fs::write(&key, "s3cret").unwrap();
    let config = text.parse().unwrap().0;
    assert_eq!(config.keys.of(&key).unwrap().bytes(), b"s3cret");
    let mut hooks = config.services[0].rollout.hooks.clone();
    let files: Vec<_> = hooks.secret_files_mut().map(|file| file.clone()).collect();
    assert_eq!(files, [&*key; 8]);
}
