//! A client and an origin that speak HTTP/2.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::until;

/// A client's connection.
#[derive(Clone)]
pub struct Client {
    send: SendRequest<Bytes>,
}

/// What a client got.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Got {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// The client of a connection that was made.
    pub async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Client {
        let mut builder = h2::client::Builder::new();
        // Room for one who does not read beside others.
        builder.initial_window_size(256 * 1024).initial_connection_window_size(16 * 1024 * 1024);
        let (send, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Client { send }
    }

    /// A request of this method for this path, with these fields.
    pub fn request(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Request<()> {
        let uri = format!("http://shop.test{path}");
        let request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
        fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(())
            .unwrap()
    }

    /// Sends a head; what is answered, and where the body goes.
    pub async fn begin(
        &self,
        request: Request<()>,
        is_end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = self.send.clone().ready().await.unwrap();
        send.send_request(request, is_end).unwrap()
    }

    pub async fn get(&self, path: &str) -> Got {
        let request = self.request(Method::GET, path, &[]);
        whole(self.begin(request, true).await.0).await.unwrap()
    }

    /// The same, unless the other end has said meanwhile that it takes no more.
    pub async fn try_get(&self, path: &str) -> Option<Got> {
        let mut send = self.send.clone().ready().await.ok()?;
        let request = self.request(Method::GET, path, &[]);
        let (response, _) = send.send_request(request, true).ok()?;
        match whole(response).await {
            Ok(got) => Some(got),
            // Behind the last that it has taken, so that it may be asked again elsewhere.
            Err(error) if error.is_go_away() => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Got {
        let request = self.request(Method::POST, path, fields);
        let (response, mut stream) = self.begin(request, false).await;
        send_all(&mut stream, body).await;
        stream.send_data(Bytes::new(), true).unwrap();
        whole(response).await.unwrap()
    }

    /// Waits until the other end has said that it takes WebSockets.
    pub async fn takes_websockets(&self) {
        until("WebSockets are taken", async || self.send.is_extended_connect_protocol_enabled())
            .await;
    }

    /// Whether another request could be sent.
    pub async fn takes_more(&self) -> bool {
        self.send.clone().ready().await.is_ok()
    }
}

/// These fields.
pub fn map_of(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
    };
    fields.iter().map(field).collect()
}

/// All of an answer.
pub async fn whole(response: ResponseFuture) -> Result<Got, h2::Error> {
    let (parts, mut body) = response.await?.into_parts();
    let bytes = read_all(&mut body).await?;
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(Got { status: parts.status.as_u16(), fields: parts.headers, body: bytes, trailers })
}

/// All of a body.
pub async fn read_all(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Sends all of it as there is room.
pub async fn send_all(stream: &mut SendStream<Bytes>, mut body: &[u8]) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        let (now, later) = body.split_at(room.min(body.len()));
        stream.send_data(Bytes::copy_from_slice(now), false).unwrap();
        body = later;
    }
}

/// Takes the requests of a connection.
async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    builder: &h2::server::Builder,
    take: impl Fn(Request<RecvStream>, SendResponse<Bytes>),
) {
    let Ok(mut connection) = builder.handshake(io).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        take(request, respond);
    }
}

/// An origin that speaks nothing but HTTP/2.
pub struct Origin {
    pub address: SocketAddr,
    /// The heads that it has got, in order.
    pub heads: Arc<Mutex<Vec<Request<()>>>>,
    /// Connections that it has accepted.
    pub connections: Arc<std::sync::atomic::AtomicUsize>,
}

/// How an origin takes connections.
#[derive(Clone, Default)]
pub struct How {
    /// Requests at once on each, if it bounds them.
    pub streams: Option<u32>,
    /// What it speaks TLS with, if it does.
    pub tls: Option<TlsAcceptor>,
}

impl Origin {
    /// Answers each request so.
    pub async fn new<F, A>(answer: F) -> Origin
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        Origin::start(How::default(), answer).await
    }

    /// Takes connections so, and answers each request so.
    pub async fn start<F, A>(how: How, answer: F) -> Origin
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<Request<()>>>> = Arc::default();
        let connections: Arc<std::sync::atomic::AtomicUsize> = Arc::default();
        let (seen, accepted) = (heads.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                accepted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let (seen, answer) = (seen.clone(), answer.clone());
                let mut builder = h2::server::Builder::new();
                if let Some(most) = how.streams {
                    builder.max_concurrent_streams(most);
                }
                let take = move |request: Request<RecvStream>, respond| {
                    let (parts, body) = request.into_parts();
                    seen.lock().unwrap().push(Request::from_parts(parts.clone(), ()));
                    tokio::spawn(answer(Request::from_parts(parts, body), respond));
                };
                let tls = how.tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, &builder, take).await,
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(tls) => serve(tls, &builder, take).await,
                            Err(error) => panic!("{error}"),
                        },
                    }
                });
            }
        });
        Origin { address, heads, connections }
    }

    /// Sends back what comes, with this as its trailers.
    pub async fn echo(trailers: &'static [(&'static str, &'static str)]) -> Origin {
        Origin::new(move |request, mut respond| async move {
            let mut body = request.into_body();
            let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                send_all(&mut stream, &piece).await;
            }
            let map = trailers.iter().map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
            });
            let _ = stream.send_trailers(map.collect());
        })
        .await
    }
}
