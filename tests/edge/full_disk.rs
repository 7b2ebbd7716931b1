//! A disk that is full: what takes a rollout back is in force all the same, and is noted where there was
//! room before, so that a process that is killed then does not come up as if it had not been ordered.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::harness::running::preloaded;
use crate::harness::{Origin, Proxy, until};

/// Put before the system's own calls, where no file system of our own can be mounted: while a file
/// exists, what is written to a store finds no room.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int is_full(int fd) {
    char link[64], name[4096];
    const char *file = getenv("FULL_WHILE");
    if (!file || access(file, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 5) return 0;
    name[length] = 0;
    return strcmp(name + length - 5, ".redb") == 0;
}
#define PWRITE(name, offset)                                                                     \
    ssize_t name(int fd, const void *bytes, size_t count, offset at) {                           \
        ssize_t (*real)(int, const void *, size_t, offset) =                                     \
            (ssize_t (*)(int, const void *, size_t, offset))dlsym(RTLD_NEXT, #name);             \
        if (is_full(fd)) { errno = ENOSPC; return -1; }                                          \
        return real(fd, bytes, count, at);                                                       \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
"#;

/// A folder whose disk can be filled.
enum Disk {
    /// A small one of its own.
    Mounted(PathBuf),
    /// The machine's, with a library before it that says so.
    Library { folder: PathBuf, made: PathBuf },
}

impl Disk {
    async fn begin(folder: &Path) -> Disk {
        let state = folder.join("state");
        std::fs::create_dir(&state).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"]).arg(&state);
        if mount.output().await.is_ok_and(|output| output.status.success()) {
            return Disk::Mounted(state);
        }
        Disk::Library { folder: state, made: preloaded(folder, LIBRARY).await }
    }

    fn state(&self) -> &Path {
        match self {
            Disk::Mounted(folder) | Disk::Library { folder, .. } => folder,
        }
    }

    fn filler(&self) -> PathBuf {
        self.state().join("filler")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Disk::Mounted(_) => Vec::new(),
            Disk::Library { made, .. } => vec![
                ("LD_PRELOAD", made.display().to_string()),
                ("FULL_WHILE", self.filler().display().to_string()),
            ],
        }
    }

    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.filler()).unwrap();
        // To the last byte; of the machine's own disk none.
        for chunk in [vec![1; 65_536], vec![1; 4_096], vec![1; 1]] {
            while matches!(self, Disk::Mounted(_)) && file.write_all(&chunk).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Disk::Mounted(folder) = self {
            let _ = std::process::Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

#[tokio::test]
async fn an_abort_on_a_full_disk_is_not_forgotten_by_a_kill() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let folder = tempfile::TempDir::new().unwrap();
    let disk = Disk::begin(folder.path()).await;
    let free = crate::harness::running::free;
    let admin = free().to_string();
    let text = format!(
        "[server]\nstate_dir = \"{}\"\n[[listeners]]\naddress = \"{}\"\n\
         [admin]\naddress = \"{admin}\"\n\
         [flags.beta]\npercent = 1\nservices = [\"shop\"]\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\n\
         [services.shop.rollout]\nsteps = [20, 100]\nhold = \"1h\"\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\"]\ngreen.upstreams = [\"{}\"]\n",
        disk.state().display(),
        free(),
        blue.address,
        green.address
    );
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, text).unwrap();
    let proxy = Proxy::run_in(file.to_str().unwrap(), &admin, disk.environment()).await;
    let started = proxy.json(&["rollout", "start", "shop", "--to", "green"]).await;
    assert_eq!(started["share"], 20.0, "{started}");
    disk.fill();
    // A store has some room of its own, until it has none.
    let percent = std::cell::Cell::new(1);
    until("nothing more is stored", async || {
        percent.set(1 + percent.get() % 90);
        let (code, said) = proxy.cli(&["flags", "beta", &percent.get().to_string()]).await;
        assert!(code == 0 || said.contains("nothing was changed"), "{code} {said}");
        code != 0
    })
    .await;
    let weight = async |proxy: &Proxy| {
        proxy.json(&["status"]).await["services"][0]["pools"][0]["weight"].clone()
    };
    let aborted = proxy.json(&["rollout", "abort", "shop"]).await;
    let told = (&aborted["state"], &aborted["stored"]);
    assert_eq!(told, (&"aborted".into(), &false.into()), "{aborted}");
    let note = aborted["note"].as_str().unwrap();
    // Whoever asks is not kept waiting for the note: on a busy machine the answer may come before it.
    let is_noted = note.contains("noted there") && note.contains("would be paused");
    assert!(is_noted || note.contains("would undo it"), "{note}");
    let page = disk.state().join("store.unstored");
    until("it is noted", async || {
        std::fs::read_to_string(&page).is_ok_and(|said| said.contains("aborted by"))
    })
    .await;
    assert_eq!(weight(&proxy).await, 100.0);
    // The disk is full still.
    let proxy = proxy.kill().await;
    let paused = proxy.json(&["rollout", "status", "shop"]).await;
    assert_eq!((&paused["state"], &paused["share"]), (&"paused".into(), &20.0.into()), "{paused}");
    let why = paused["status"].as_str().unwrap();
    assert!(why.contains("not stored") && why.contains("aborted by"), "{why}");
    until("it is told", async || {
        let events = proxy.cli(&["events"]).await.1;
        events.lines().any(|line| line.contains("critical") && line.contains("aborted by"))
    })
    .await;
    // Another kill changes nothing of that.
    let proxy = proxy.kill().await;
    assert_eq!(proxy.json(&["rollout", "status", "shop"]).await["state"], "paused");
    disk.make_room();
    until("it is stored", async || proxy.cli(&["events"]).await.1.contains("stored now")).await;
    let aborted = proxy.json(&["rollout", "abort", "shop"]).await;
    assert_eq!(
        (&aborted["state"], &aborted["stored"]),
        (&"aborted".into(), &serde_json::Value::Null)
    );
    let proxy = proxy.kill().await;
    assert_eq!(proxy.json(&["rollout", "status", "shop"]).await["state"], "aborted");
    assert_eq!(weight(&proxy).await, 100.0);
    drop(proxy);
}
