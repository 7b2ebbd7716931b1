//! The sites of docs/sites.md, set up as it says: its files and its scripts, with the places of this machine in
//! them (and in the third with a step that lasts a second), a process of its own and real clients.

mod canary;
mod two_hosts;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cli::pointsman;
use crate::documented::{blocks_of, root};
use crate::harness::running::{free, until_ready};

/// The one block of the chapter that has this in it.
pub fn block(has: &str) -> String {
    let all = blocks_of(&root().join("docs/sites.md")).into_iter().map(|block| block.text);
    let mut found: Vec<String> = all.filter(|text| text.contains(has)).collect();
    assert_eq!(found.len(), 1, "blocks with `{has}`");
    found.remove(0)
}

/// A text with each of these in the place of what it names, which has to be in it.
pub fn with(text: &str, places: &[(&str, &str)]) -> String {
    let mut text = text.to_string();
    for (from, to) in places {
        assert!(text.contains(from), "`{from}` is not in the chapter");
        text = text.replace(from, to);
    }
    text
}

/// A site that runs.
struct Site {
    folder: TempDir,
    admin: SocketAddr,
    _child: Child,
}

impl Site {
    /// Checks the file that lies in this folder and runs it.
    async fn start(folder: TempDir, text: &str) -> Site {
        let admin = free();
        let file = folder.path().join("pointsman.toml");
        let text = with(text, &[("127.0.0.1:9900", &admin.to_string())]);
        std::fs::write(&file, text).unwrap();
        let checked = pointsman(&["check", file.to_str().unwrap()]).await;
        assert_eq!(checked.code, 0, "{}", checked.err);
        assert!(checked.out.contains("0 warnings"), "{} {}", checked.out, checked.err);
        let child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("run")
            .arg(&file)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until_ready(admin).await;
        Site { folder, admin, _child: child }
    }

    /// A file of the site's folder.
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script of the chapter in the site's folder: how it ended, and all that it said.
    async fn script(&self, name: &str, text: &str, arguments: &[&str]) -> (i32, String) {
        std::fs::write(self.at(name), text).unwrap();
        std::fs::set_permissions(self.at(name), PermissionsExt::from_mode(0o755)).unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_pointsman"));
        let path = std::env::var("PATH").unwrap();
        // Ended with the test, should that give it up.
        let output = Command::new(self.at(name))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
            .env("POINTSMAN_ADMIN", self.admin.to_string())
            .env("USER", "ann")
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8(said).unwrap())
    }
}
