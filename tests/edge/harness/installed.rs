//! A proxy that is installed in a folder of its own, so that another program can be put in its place, and all
//! the processes that come of it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Client;
use super::running::until_ready;

/// The program, its file and its processes; those end with this.
pub struct Installed {
    pub folder: TempDir,
    pub admin: SocketAddr,
    /// The one that was started; the others come of it.
    pub first: Child,
    successors: Vec<u32>,
}

impl Installed {
    /// Installs the program with this file and starts it; it serves its admin API there.
    pub async fn start(text: &str, admin: SocketAddr) -> Installed {
        Installed::with(text, admin, &[]).await
    }

    /// As [`Installed::start`], with these variables, which go on to all that comes of it.
    pub async fn with(text: &str, admin: SocketAddr, variables: &[(&str, &Path)]) -> Installed {
        Installed::holding(&[("p.toml", text)], admin, variables).await
    }

    /// As [`Installed::with`], with these files in its folder.
    pub async fn holding(
        files: &[(&str, &str)],
        admin: SocketAddr,
        variables: &[(&str, &Path)],
    ) -> Installed {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        install_real(folder.path());
        let first = Command::new(program(folder.path()))
            .arg("run")
            .arg(folder.path().join("p.toml"))
            .envs(variables.iter().copied())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until_ready(admin).await;
        Installed { folder, admin, first, successors: Vec::new() }
    }

    pub fn program(&self) -> PathBuf {
        program(self.folder.path())
    }

    /// Puts the program itself there.
    pub fn install_real(&self) {
        install_real(self.folder.path());
    }

    /// Puts a shell script in the place of the program. What is said between the two comes and goes by its
    /// descriptor 3.
    pub fn install(&self, script: &str) {
        let next = self.folder.path().join("bin/next");
        let _ = std::fs::remove_file(&next);
        std::fs::write(&next, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&next, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(next, self.program()).unwrap();
    }

    /// Asks the admin API of whoever serves it.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let mut client = Client::connect(self.admin).await;
        client
            .send(format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
                 application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        let response = client.response().await;
        (response.status, serde_json::from_str(&response.body).unwrap_or(Value::Null))
    }

    /// Orders an upgrade, and answers with what is said of it.
    pub async fn upgrade(&mut self) -> (u16, Value) {
        let (status, said) = self.ask("POST", "/v1/upgrade", "").await;
        let process = said["process"].as_u64().map(|process| u32::try_from(process).unwrap());
        self.successors.extend(process);
        (status, said)
    }

    /// The process that serves now.
    pub fn last(&self) -> u32 {
        self.successors.last().copied().unwrap_or_else(|| self.first.id().unwrap())
    }

    /// Takes note of a process that came of a signal.
    pub fn note(&mut self, process: u32) {
        self.successors.push(process);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        for process in &self.successors {
            // Most have ended by themselves; of those that have not, the number is still theirs.
            let is_ours = std::fs::read_link(format!("/proc/{process}/exe"))
                .is_ok_and(|program| program.starts_with(self.folder.path()));
            if is_ours {
                let mut kill = std::process::Command::new("kill");
                let _ = kill.args(["-KILL", &process.to_string()]).status();
            }
        }
    }
}

fn program(folder: &Path) -> PathBuf {
    folder.join("bin/pointsman")
}

fn install_real(folder: &Path) {
    let (real, next) = (env!("CARGO_BIN_EXE_pointsman"), folder.join("bin/next"));
    // A link to what is there already is not moved there, and what is linked is not written to.
    let _ = std::fs::remove_file(&next);
    if std::fs::hard_link(real, &next).is_err() {
        std::fs::copy(real, &next).unwrap();
    }
    std::fs::rename(next, program(folder)).unwrap();
}
