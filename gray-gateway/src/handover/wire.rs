//! What two gateways say to each other, with sockets beside the words.
//!
//! A message is its length (four bytes, most significant first) and JSON. Descriptors travel with the first byte, so they
//! are never read without the message that says what they are.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::{io::Interest, net::UnixStream};

/// Changes whenever an older gateway would misunderstand.
pub(super) const PROTOCOL: u32 = 1;
/// Sockets in one message; the kernel takes 253.
pub(super) const MAX_SOCKETS: usize = 64;
const MAX_BYTES: usize = 64 * 1024;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Plain,
    Tls,
    Admin,
}

/// Who is speaking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Speaker {
    pub(super) protocol: u32,
    /// Of the program.
    pub(super) version: String,
    /// Process ID.
    pub(super) process: u32,
}

impl Speaker {
    pub(super) fn own() -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), process: std::process::id() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// The new one asks for the sockets.
    Ask(Speaker),
    /// The old one passes some, in the order of their roles, and goes on.
    Sockets { roles: Vec<Role>, more: bool, from: Speaker },
    /// The old one passes nothing, for this reason.
    Refused(String),
    /// The new one accepts, and is known to callers by this address.
    Ready { address: String },
    /// The old one accepts no more.
    Closed,
}

/// Sends a message and duplicates of these descriptors.
pub(super) async fn send(stream: &UnixStream, message: &Message, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let bytes = [&length.to_be_bytes()[..], &json].concat();
    let mut sent = 0;
    while sent < bytes.len() {
        let attempt = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !sockets.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::Error::other("more sockets than fit into a message"));
            }
            Ok(sendmsg(stream, &[IoSlice::new(&bytes[sent..])], &mut beside, SendFlags::NOSIGNAL)?)
        };
        sent += stream.async_io(Interest::WRITABLE, attempt).await?;
    }
    Ok(())
}

/// Waits for a message; `None` when the other side has closed instead. Not cancel safe.
pub(super) async fn receive(stream: &UnixStream) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
    let (mut length, mut sockets) = ([0; 4], Vec::new());
    if !fill(stream, &mut length, &mut sockets).await? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_BYTES {
        return Err(invalid(format!("a message of {length} bytes, longer than {MAX_BYTES}")));
    }
    let mut json = vec![0; length];
    if !fill(stream, &mut json, &mut sockets).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let message = serde_json::from_slice(&json).map_err(|error| invalid(error.to_string()))?;
    Ok(Some((message, sockets)))
}

/// Reads until the buffer is full, no byte more; false when there was not even the first one.
async fn fill(stream: &UnixStream, buffer: &mut [u8], sockets: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let read = stream.async_io(Interest::READABLE, || take(stream, &mut buffer[filled..], sockets)).await?;
        match (read, filled) {
            (0, 0) => return Ok(false),
            (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => filled += read,
        }
    }
    Ok(true)
}

fn take(stream: &UnixStream, buffer: &mut [u8], sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(buffer)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(invalid("more sockets than announced, or no free file descriptors".to_owned()));
    }
    Ok(received.bytes)
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn sockets_arrive_with_their_message() {
        let (old, new) = UnixStream::pair().expect("a pair");
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("bound")).collect();
        let roles = vec![Role::Plain, Role::Tls, Role::Admin];
        let first = Message::Sockets { roles, more: false, from: Speaker::own() };
        let borrowed: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        send(&old, &first, &borrowed).await.expect("sent");
        send(&old, &Message::Closed, &[]).await.expect("sent");
        drop(old);
        let (message, sockets) = receive(&new).await.expect("received").expect("a message");
        assert_eq!(message, first);
        let addresses = |sockets: Vec<TcpListener>| sockets.iter().map(|one| one.local_addr().ok()).collect::<Vec<_>>();
        let passed = addresses(sockets.into_iter().map(TcpListener::from).collect());
        assert_eq!(passed, addresses(listeners));
        let (message, sockets) = receive(&new).await.expect("received").expect("a message");
        assert_eq!((message, sockets.len()), (Message::Closed, 0));
        assert!(receive(&new).await.expect("the end").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn whatever_arrives_is_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            runtime.block_on(async {
                let (mut from, to) = UnixStream::pair().expect("a pair");
                from.write_all(&bytes).await.expect("sent");
                drop(from);
                while let Ok(Some(_)) = receive(&to).await {}
            });
        }
    }
}
