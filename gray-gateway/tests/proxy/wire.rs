//! HTTP/1 by hand: just enough to see every byte.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::support::Seen;

pub(crate) fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}

pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    fields(head).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Reads up to and with the empty line; `None` at the end of the stream.
pub(crate) async fn read_head(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if socket.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn fill(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>, len: usize) -> Option<Vec<u8>> {
    while buffer.len() < len {
        if socket.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(buffer.drain(..len).collect())
}

/// One chunk; empty at the last one, whose trailers are left in the buffer.
pub(crate) async fn read_chunk(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            break end;
        }
        if socket.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let line: Vec<u8> = buffer.drain(..end + 2).collect();
    let len = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
    if len == 0 {
        return Some(Vec::new());
    }
    let mut chunk = fill(socket, buffer, len + 2).await?;
    chunk.truncate(len);
    Some(chunk)
}

/// A body by its head: `None` when the stream ends before it.
pub(crate) async fn read_body(
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    head: &str,
) -> Option<Vec<u8>> {
    if field(head, "transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let chunk = read_chunk(socket, buffer).await?;
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        // Trailers are kept behind the body, so that tests can see them.
        buffer.splice(..0, *b"\r\n");
        let trailers = read_head(socket, buffer).await?;
        body.extend(trailers.trim().bytes());
        return Some(body);
    }
    let len = field(head, "content-length").map_or(Some(0), |len| len.parse().ok())?;
    fill(socket, buffer, len).await
}

pub(crate) async fn read_request(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Seen> {
    let head = read_head(socket, buffer).await?;
    let body = read_body(socket, buffer, &head).await?;
    Some(Seen { head, body })
}
