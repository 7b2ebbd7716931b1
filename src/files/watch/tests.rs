use std::fs::write;

use super::*;
use crate::files::resting::UNREPORTED;
use crate::files::{FileError, Source};
use crate::server::clock::system;

const CONFIG: &str = "[[listeners]]\naddress = \":80\"\n[services.a]\n\
    fallback.answer.file = \"sorry/down.html\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n\
    [[notify]]\nurl = \"http://a/\"\nsecret_file = \"alerts.key\"\n";

/// A config with two files that it names, on time of its own.
struct Folder {
    folder: tempfile::TempDir,
    files: Files,
    looks: Looks,
    now: Instant,
}

impl Folder {
    async fn of(text: &str) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let files =
            Files::of(Source::file(folder.path().join("c.toml"), Default::default()), system());
        std::fs::create_dir(folder.path().join("sorry")).unwrap();
        let folder = Folder { folder, files, looks: Looks::default(), now: system().now() };
        folder.write("c.toml", text);
        folder.write("sorry/down.html", "down");
        folder.write("alerts.key", "key");
        folder.files.load().await.unwrap();
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        write(self.folder.path().join(name), content).unwrap();
    }

    /// Whether files that nobody touches any more hold something else than was read last.
    fn is_changed(&mut self) -> bool {
        let known = self.files.tried.borrow().clone();
        self.looks.look(&known, &Reports::default(), self.now);
        self.now += UNTOUCHED;
        let found = self.looks.look(&known, &Reports::default(), self.now);
        assert_eq!(found.left, None);
        found.is_changed
    }
}

const UNTOUCHED: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_change_of_a_file_that_the_config_names_is_a_change_of_the_config() {
    let mut folder = Folder::of(CONFIG).await;
    assert!(!folder.is_changed(), "all is as it was");
    for (name, content) in [("sorry/down.html", "back at noon"), ("alerts.key", "another")] {
        folder.write(name, content);
        assert!(folder.is_changed(), "{name}");
        assert!(folder.is_changed(), "until somebody has read it");
        folder.files.load().await.unwrap();
        assert!(!folder.is_changed());
        folder.write(name, content);
        assert!(!folder.is_changed(), "the content decides, not the time stamp");
    }
    folder.write("c.toml", CONFIG.replace("sorry/", ""));
    folder.write("down.html", "down");
    assert!(folder.is_changed());
    folder.files.load().await.unwrap();
    folder.write("sorry/down.html", "nobody names it any more");
    assert!(!folder.is_changed());
    folder.write("down.html", "back at one");
    assert!(folder.is_changed());
}

#[tokio::test]
async fn what_changes_between_the_start_and_the_first_look_is_found() {
    for (name, content) in [("c.toml", "# nothing"), ("alerts.key", "x"), ("sorry/down.html", "")] {
        let mut folder = Folder::of(CONFIG).await;
        folder.write(name, content);
        assert!(folder.is_changed(), "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_change_and_so_is_what_was_there_before() {
    let mut folder = Folder::of(CONFIG).await;
    let path = folder.folder.path().join("c.toml");
    let wide: Vec<u8> = CONFIG.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let broken: [(&str, Option<Vec<u8>>); 4] = [
        ("not UTF-8", Some([b"# caf\xe9\n", CONFIG.as_bytes()].concat())),
        ("UTF-16", Some([&[0xff, 0xfe][..], &wide].concat())),
        ("it is a folder", None),
        ("No such file", None),
    ];
    for (words, content) in broken {
        std::fs::remove_file(&path).unwrap();
        match &content {
            Some(content) => folder.write("c.toml", content),
            None if words.contains("folder") => std::fs::create_dir(&path).unwrap(),
            None => {}
        }
        assert!(folder.is_changed(), "{words}");
        let refused = folder.files.load().await.unwrap_err();
        let said = match &refused {
            FileError::Problems(rejected) => rejected.render(false),
            error => error.to_string(),
        };
        assert!(said.contains(words), "{said}");
        assert!(!folder.is_changed(), "{words}: it was refused once");
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        }
        folder.write("c.toml", CONFIG);
        assert!(folder.is_changed(), "after {words}: the same text as before is news");
        folder.files.load().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_read_while_one_of_the_files_is_being_written() {
    let mut folder = Folder::of(CONFIG).await;
    assert!(!folder.is_changed());
    folder.write("alerts.key", "another");
    let known = folder.files.tried.borrow().clone();
    let left = |looks: &mut Looks, now| looks.look(&known, &Reports::default(), now).left;
    let now = folder.now;
    assert_eq!(left(&mut folder.looks, now), Some(UNREPORTED));
    assert_eq!(left(&mut folder.looks, now + UNREPORTED / 2), Some(UNREPORTED / 2));
    folder.write("alerts.key", "another one");
    assert_eq!(left(&mut folder.looks, now + UNREPORTED), Some(UNREPORTED), "it rests anew");
    assert_eq!(left(&mut folder.looks, now + 2 * UNREPORTED), None);
}
