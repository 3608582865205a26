//! A client that sends raw bytes.

use std::net::{IpAddr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;
use crate::wire::{field, read_body, read_head};

/// A raw client connection.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) socket: S,
    pub(crate) buffer: Vec<u8>,
}

/// A response as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = soon(TcpStream::connect(address)).await.expect("connected");
        Self { socket, buffer: Vec::new() }
    }

    /// From another loopback address, so that the gateway sees another peer.
    pub(crate) async fn connect_from(ip: IpAddr, address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        socket.bind(SocketAddr::new(ip, 0)).expect("bound");
        Self { socket: soon(socket.connect(address)).await.expect("connected"), buffer: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: &str) {
        soon(self.socket.write_all(bytes.as_bytes())).await.expect("sent");
        soon(self.socket.flush()).await.expect("sent");
    }

    pub(crate) async fn head(&mut self) -> Option<Response> {
        let head = soon(read_head(&mut self.socket, &mut self.buffer)).await?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("status");
        Some(Response { status, head, body: String::new() })
    }

    pub(crate) async fn response(&mut self) -> Response {
        let mut response = self.head().await.expect("a response");
        let body = soon(read_body(&mut self.socket, &mut self.buffer, &response.head)).await.expect("its body");
        response.body = String::from_utf8_lossy(&body).into_owned();
        response
    }

    /// Whether the gateway has closed the connection, with nothing more to say.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ended = soon(self.socket.read_to_end(&mut rest)).await;
        self.buffer.is_empty() && rest.is_empty()
    }
}
