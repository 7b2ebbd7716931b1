//! An origin that does what the target of each request says, and tells the digest of what it got.

use std::net::SocketAddr;

use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::plan::{digest, in_chunks, text};
use super::stream::{Broken, Stream};
use crate::harness::client::fields;

/// Starts one of this pool; where it listens.
pub async fn start(pool: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, pool));
        }
    });
    address
}

async fn serve(socket: TcpStream, pool: &str) {
    let mut stream = Stream::of(socket);
    // A connection ends within a request when a client has left.
    while let Ok(true) = answer(&mut stream, pool).await {}
}

/// Answers one request; whether the connection goes on.
async fn answer(stream: &mut Stream, pool: &str) -> Result<bool, Broken> {
    let head = stream.head().await?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    if target == "/switch" {
        return switch(stream, pool).await;
    }
    let parts: Vec<&str> = target.split('/').collect();
    let [_, id, size, framed, interim, is_early, is_cut] = parts[..] else {
        panic!("no request of ours: {head}");
    };
    let (id, size): (u64, usize) = (id.parse().unwrap(), size.parse().unwrap());
    let is_head = head.starts_with("HEAD ");
    let mut rng = Rng::with_seed(id);
    let mut out = Vec::new();
    let (mut sum, is_early) = (0, is_early == "true");
    if !is_early {
        if !fields(&head, "expect").is_empty() {
            stream
                .socket
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .map_err(|_| Broken::Ended)?;
        }
        let (body, trailers) = stream.body(&head, false).await?;
        assert_eq!(trailers, "", "those that are not announced go no further");
        sum = digest(&body);
    }
    for _ in 0..interim.parse().unwrap() {
        out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
    let body = text(!id, size);
    let head = format!("HTTP/1.1 200 OK\r\nx-pool: {pool}\r\nx-digest: {sum:016x}\r\n");
    out.extend_from_slice(head.as_bytes());
    if is_early {
        out.extend_from_slice(b"connection: close\r\n");
    }
    let (line, mut framed) = match framed {
        "Length" => (format!("content-length: {size}\r\n\r\n"), body),
        "Chunks" => {
            let mut chunks = Vec::new();
            in_chunks(&body, &mut rng, &mut chunks);
            chunks.extend_from_slice(b"0\r\nx-sum: 1\r\nset-cookie: a=b\r\n\r\n");
            ("transfer-encoding: chunked\r\n\r\n".to_string(), chunks)
        }
        _ => ("\r\n".to_string(), body),
    };
    let until_end = line == "\r\n";
    out.extend_from_slice(line.as_bytes());
    if is_cut == "true" {
        framed.truncate(framed.len() / 2);
    }
    if !is_head {
        out.extend(framed);
    }
    stream.socket.write_all(&out).await.map_err(|_| Broken::Ended)?;
    if is_early {
        // What still comes would reset the connection, and the answer with it.
        let _ = stream.socket.shutdown().await;
        while stream.more().await.is_ok() {}
    }
    Ok(!is_early && is_cut == "false" && (is_head || !until_end))
}

/// Switches, and sends back what comes.
async fn switch(stream: &mut Stream, pool: &str) -> Result<bool, Broken> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-pool: {pool}\r\n\r\n"
    );
    stream.socket.write_all(head.as_bytes()).await.map_err(|_| Broken::Ended)?;
    assert!(stream.is_empty(), "nothing is said in a tunnel that is not there yet");
    let (mut read, mut write) = stream.socket.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
    Ok(false)
}
