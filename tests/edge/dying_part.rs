//! A part of the process that dies: here the system's clock does not answer one thread, which panics.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::client::get;
use crate::harness::running::{file, preloaded, until_ready};
use crate::harness::until;

/// Put before the system's own call: in the thread of this name it fails while a file exists.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *file = getenv("NO_CLOCK_WHILE"), *thread = getenv("NO_CLOCK_IN");
    char name[16];
    int is_meant = file && thread && prctl(PR_GET_NAME, name) == 0 && strcmp(name, thread) == 0;
    return is_meant && access(file, F_OK) == 0 ? -1 : real(clock, now);
}
"#;

#[tokio::test]
async fn a_part_that_dies_ends_readiness_and_the_process() {
    for (thread, part) in [("probes", "the probes"), ("copies", "the copies")] {
        let folder = tempfile::TempDir::new().unwrap();
        // Time enough to see it; a signal ends the wait.
        let services = "[services.shop.pools]\nonly.upstreams = [\"127.0.0.1:9\"]\n";
        let (text, _, admin) = file("stop_delay = \"10m\"", services);
        let (path, sign) = (folder.path().join("p.toml"), folder.path().join("no-clock"));
        std::fs::write(&path, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("run")
            .arg(&path)
            .env("LD_PRELOAD", preloaded(folder.path(), LIBRARY).await)
            .envs([("NO_CLOCK_WHILE", sign.as_os_str()), ("NO_CLOCK_IN", thread.as_ref())])
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until_ready(admin).await;
        std::fs::write(&sign, "").unwrap();
        let status = async || get(admin, "localhost", "/readyz", &[]).await.status;
        until("it is not ready", async || status().await == 503).await;
        let said = format!("a part of the process has ended that must not ({part})");
        let events = async || get(admin, "localhost", "/v1/events", &[]).await.body;
        until("it is said", async || events().await.contains(&said)).await;
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let ended = child.wait_with_output().await.unwrap();
        let log = String::from_utf8_lossy(&ended.stderr);
        let last = format!("a part of the process has ended that must not: {part}\n");
        assert_eq!(ended.status.code(), Some(1), "{log}");
        assert!(log.ends_with(&last), "{log}");
    }
}
