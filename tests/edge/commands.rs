//! What commands say of orders whose answer was lost, of output that could not be written, and of tokens
//! that cannot be sent.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::cli::{Ran, pointsman};
use crate::harness::{Edge, Origin};

/// Runs the program with these variables set.
async fn with(variables: &[(&str, &str)], args: &[&str], out: Stdio) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(args).env_remove("POINTSMAN_ADMIN").envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    let output = output.spawn().unwrap().wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Somebody who reads each request, answers with this, and closes; with what was read of the last.
async fn closing(answer: &'static str) -> (SocketAddr, tokio::sync::watch::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (said, read) = tokio::sync::watch::channel(String::new());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 65_536];
            let mut count = 0;
            while !bytes[..count].windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut bytes[count..]).await {
                    Ok(more) if more > 0 => count += more,
                    _ => break,
                }
            }
            said.send_replace(String::from_utf8_lossy(&bytes[..count]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, read)
}

const ORDERS: [(&[&str], &str); 11] = [
    (&["deploy", "shop", "--to", "127.0.0.1:9"], "nothing was deployed"),
    (&["shift", "shop", "blue=100"], "was not shifted"),
    (&["flip", "shop", "blue"], "was not flipped"),
    (&["rollback", "shop"], "was not rolled back"),
    (&["rollout", "start", "shop"], "was started"),
    (&["rollout", "abort", "shop"], "nothing"),
    (&["hold", "shop"], "was not changed"),
    (&["drain", "shop/blue", "127.0.0.1:9"], "was not changed"),
    (&["breaker", "shop/blue", "open"], "was not changed"),
    (&["freeze", "shop", "--reason", "a sale"], "was not changed"),
    (&["upstream", "add", "shop/blue", "127.0.0.1:9"], "was not changed"),
];

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_not_called_undone() {
    let proxied =
        "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlate";
    let odd = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhat";
    for answer in ["", proxied, odd] {
        let (address, _) = closing(answer).await;
        let admin = address.to_string();
        for (order, undone) in ORDERS {
            let args = [&["--admin", &admin][..], order].concat();
            let ran = pointsman(&args).await;
            let err = &ran.err;
            assert_eq!((ran.code, &*ran.out), (6, ""), "{order:?} {err}");
            assert!(!err.contains(undone), "{order:?} {err}");
            let look = "it may be in force; look with `pointsman status shop`";
            assert!(err.contains("no answer came") && err.contains(look), "{order:?} {err}");
        }
        let ran = pointsman(&["--admin", &admin, "reload"]).await;
        assert!(ran.code == 6 && ran.err.contains("`pointsman status`"), "{}", ran.err);
        // A question has done nothing.
        let ran = pointsman(&["--admin", &admin, "status"]).await;
        assert!(ran.code != 6 && !ran.err.contains("in force"), "{} {}", ran.code, ran.err);
    }
}

#[tokio::test]
async fn an_order_that_was_never_sent_is_called_undone() {
    let admin = crate::harness::running::free().to_string();
    for (order, undone) in ORDERS {
        let args = [&["--admin", &admin][..], order].concat();
        let ran = pointsman(&args).await;
        assert_eq!(ran.code, 69, "{order:?} {}", ran.err);
        let is_said = ran.err.contains(undone) || undone == "nothing";
        assert!(is_said && ran.err.contains("cannot reach"), "{order:?} {}", ran.err);
    }
}

#[tokio::test]
async fn what_cannot_be_printed_is_said_and_is_no_success() {
    for args in [
        &["schema"][..],
        &["--help"],
        &["shift", "--help"],
        &["--version"],
        &["--version", "--verbose"],
        &["completions", "bash"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = with(&[], args, full.into()).await;
        assert_eq!(ran.code, 1, "{args:?} {}", ran.err);
        assert!(ran.err.contains("cannot write to standard output"), "{args:?} {}", ran.err);
    }
    // Who reads no more has seen enough.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = with(&[], &["schema"], writer.into()).await;
    assert_eq!((ran.code, &*ran.err), (0, ""));
}

#[tokio::test]
async fn a_backup_takes_the_place_of_the_one_before() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let admin = edge.admin.to_string();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("state.json");
    let export = async |to: &str| pointsman(&["--admin", &admin, "store", "export", to]).await;
    for day in 1..=2 {
        let ran = export(file.to_str().unwrap()).await;
        assert_eq!(ran.code, 0, "day {day}: {}", ran.err);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "day {day}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    std::fs::write(&file, "[[listeners]]\n").unwrap();
    let ran = export(file.to_str().unwrap()).await;
    assert!(ran.code == 1 && ran.err.contains("no export"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[[listeners]]\n");
    let printed = export("-").await;
    assert_eq!(printed.code, 0, "{}", printed.err);
    assert!(serde_json::from_str::<serde_json::Value>(&printed.out).is_ok());
}

#[tokio::test]
async fn a_token_is_sent_without_the_line_end_that_it_was_kept_with() {
    let (address, read) = closing("").await;
    let args = ["--admin", &address.to_string(), "status"];
    for token in ["0123456789abcdef\n", "0123456789abcdef\r\n", " 0123456789abcdef "] {
        with(&[("POINTSMAN_TOKEN", token)], &args, Stdio::piped()).await;
        let request = read.borrow().clone();
        assert!(request.contains("authorization: Bearer 0123456789abcdef\r\n"), "{request}");
    }
    let ran = with(&[("POINTSMAN_TOKEN", "0123\n4567")], &args, Stdio::piped()).await;
    assert!(ran.code == 2 && ran.err.contains("POINTSMAN_TOKEN holds a line break"), "{}", ran.err);
    let ran = pointsman(&["--token", "one two", "status"]).await;
    assert!(ran.code == 2 && ran.err.contains("--token holds a blank"), "{}", ran.err);
}

#[tokio::test]
async fn what_the_environment_says_is_not_asked_for_in_a_usage() {
    let set = [("POINTSMAN_ADMIN", "127.0.0.1:9"), ("POINTSMAN_TOKEN", "0123456789abcdef")];
    let ran = with(&set, &["shift"], Stdio::piped()).await;
    let bare = pointsman(&["shift"]).await;
    assert_eq!((ran.code, ran.err), (2, bare.err));
    // What is wrong with the environment itself is said still.
    let ran = with(&[("POINTSMAN_ADMIN", "nonsense")], &["status"], Stdio::piped()).await;
    assert!(ran.code == 2 && ran.err.contains("nonsense"), "{}", ran.err);
}
