//! Who is called in tests: somebody who keeps what comes, and nobody.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Somebody who is called: keeps what it is sent.
pub struct Receiver {
    pub address: SocketAddr,
    calls: watch::Receiver<Vec<Arc<(Parts, Bytes)>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Answers the first call with `reply(0)`, and so on; none for never.
    pub async fn start<R: IntoResponse>(
        reply: impl Fn(usize) -> Option<R> + Clone + Send + Sync + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let handle = move |request: Request| {
            let (sender, reply) = (sender.clone(), reply.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let mut number = 0;
                sender.send_modify(|calls: &mut Vec<_>| {
                    number = calls.len();
                    calls.push(Arc::new((head, body)));
                });
                match reply(number).map(IntoResponse::into_response) {
                    Some(response) => response,
                    None => std::future::pending::<Response>().await,
                }
            }
        };
        let app = Router::new().fallback(handle);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Receiver { address, calls, task }
    }

    /// What came, once so many calls have come.
    pub async fn after(&self, count: usize) -> Vec<Arc<(Parts, Bytes)>> {
        self.calls.clone().wait_for(|calls| calls.len() >= count).await.unwrap().clone()
    }

    /// What came so far.
    pub fn calls(&self) -> Vec<Arc<(Parts, Bytes)>> {
        self.calls.borrow().clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address where nobody listens, as long as the socket is kept: nobody else can come to answer.
pub fn deaf() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
