//! A deploy script as people have it: it kills the process at an upstream's address and starts the
//! next version there.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Process;
use super::process::{ENTRY, ORDERS, READY};

/// The script with its folder. What it has started ends with this, however the test ends.
pub struct Deployer {
    folder: TempDir,
    /// The other end of what its processes read; they end when it is closed.
    _alive: File,
}

impl Deployer {
    /// A script that puts a version named `version` where these processes are.
    pub async fn of(version: &str, processes: &[Process]) -> Deployer {
        let folder = TempDir::new().unwrap();
        let of = |name: &str| folder.path().join(name);
        let made = tokio::process::Command::new("mkfifo").arg(of("alive")).status().await.unwrap();
        assert!(made.success());
        // For both, so that it opens though nobody has the other end yet.
        let alive = File::options().read(true).write(true).open(of("alive")).unwrap();
        for process in processes {
            std::fs::write(of(&format!("{}.pid", process.address)), process.id().to_string())
                .unwrap();
        }
        let binary = std::env::current_exe().unwrap();
        let script = SCRIPT
            .replace("{folder}", &folder.path().display().to_string())
            .replace("{binary}", &binary.display().to_string())
            .replace("{version}", version)
            .replace("{orders}", ORDERS)
            .replace("{entry}", ENTRY)
            .replace("{ready}", READY);
        std::fs::write(of("deploy"), script).unwrap();
        std::fs::set_permissions(of("deploy"), PermissionsExt::from_mode(0o755)).unwrap();
        Deployer { folder, _alive: alive }
    }

    /// The script.
    pub fn script(&self) -> PathBuf {
        self.folder.path().join("deploy")
    }

    /// The version at this address does not start, and the script does not notice.
    pub fn break_at(&self, address: SocketAddr) {
        std::fs::write(self.folder.path().join(format!("{address}.broken")), "").unwrap();
    }

    /// It starts again.
    pub fn mend_at(&self, address: SocketAddr) {
        std::fs::remove_file(self.folder.path().join(format!("{address}.broken"))).unwrap();
    }

    /// The addresses it was called with, in order.
    pub fn calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        log.lines().map(str::to_string).collect()
    }
}

/// The address may still be taken for a moment after the kill, so starting is tried again.
const SCRIPT: &str = r#"#!/bin/sh
cd "{folder}" || exit 1
at="$POINTSMAN_UPSTREAM"
echo "$at" >> calls
[ -e "$at.pid" ] && kill -9 "$(cat "$at.pid")" && rm "$at.pid"
[ -e "$at.broken" ] && exit 0
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    {orders}="$at {version}" "{binary}" --exact {entry} --nocapture --test-threads=1 \
        < alive > "$at.log" 2> "$at.errors" &
    process=$!
    while kill -0 "$process" 2> /dev/null; do
        if grep -q "{ready}" "$at.log"; then
            echo "$process" > "$at.pid"
            echo "{version} is at $at"
            exit 0
        fi
        sleep 0.02
    done
    sleep 0.1
done
echo "{version} does not start at $at" >&2
exit 1
"#;
