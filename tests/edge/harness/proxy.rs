//! A proxy that is a process of its own, on an admin address that stays the same, so that it can be
//! killed as a power cut would.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::until;

/// The process; killed at the end of the test, however that comes.
pub struct Proxy {
    file: String,
    admin: String,
    /// What it finds in its environment.
    environment: Vec<(&'static str, String)>,
    _child: Child,
}

impl Proxy {
    pub async fn run(file: &str, admin: &str) -> Proxy {
        Proxy::run_in(file, admin, Vec::new()).await
    }

    pub async fn run_in(
        file: &str,
        admin: &str,
        environment: Vec<(&'static str, String)>,
    ) -> Proxy {
        let child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["run", file])
            .envs(environment.iter().cloned())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (file, admin) = (file.into(), admin.into());
        let proxy = Proxy { file, admin, environment, _child: child };
        until("it is ready", async || proxy.cli(&["status"]).await.0 == 0).await;
        proxy
    }

    /// Kills it as a power cut would, and starts it again.
    pub async fn kill(self) -> Proxy {
        self.kill_and(|| ()).await
    }

    /// As [`Proxy::kill`], with something done while it is dead.
    pub async fn kill_and(mut self, between: impl FnOnce()) -> Proxy {
        self._child.kill().await.unwrap();
        between();
        Proxy::run_in(&self.file, &self.admin, self.environment).await
    }

    /// From now on it opens no more than this many files and sockets.
    pub async fn bound_descriptors(&self, most: usize) {
        let id = self._child.id().unwrap().to_string();
        let mut command = Command::new("prlimit");
        let bound = command.args(["--pid", &id, &format!("--nofile={most}:")]);
        assert!(bound.status().await.unwrap().success());
    }

    pub async fn cli(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(args)
            .args(["--admin", &self.admin, "--json"])
            .output()
            .await
            .unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
    }

    pub async fn json(&self, args: &[&str]) -> Value {
        let (code, text) = self.cli(args).await;
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}
