//! What is written is what is read, however it is cut; what has no end is no message.

use bytes::Bytes;
use futures_util::{FutureExt, future::poll_fn, stream};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::proxy::http2::{
    reader::Reader,
    translate::Framing,
    writer::{Unwritten, Writer},
};

type Frames = Vec<Result<Frame<Bytes>, io::Error>>;

/// Both ends of a pipe, as the engine would not use it: what is written on one is read on the other.
fn joined() -> (Pipe, Pipe) {
    let (near, far) = duplex(CAPACITY);
    let pipe = |stream| Pipe { stream: Rc::new(RefCell::new(stream)), fault: PipeFault::default() };
    (pipe(near), pipe(far))
}

fn body(frames: Frames) -> impl Body<Data = Bytes, Error = io::Error> + Unpin {
    StreamBody::new(stream::iter(frames))
}

/// Writes a response with these frames, reads it, and says what arrived.
async fn passed(
    head: &str,
    framing: Framing,
    frames: Frames,
    is_strict: bool,
) -> io::Result<(Vec<u8>, Option<HeaderMap>)> {
    let (near, far) = joined();
    let head = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{head}\r\n");
    let mut writer = Writer::new(near.clone(), head.into(), framing, body(frames), is_strict);
    let writing = async {
        let written = poll_fn(|cx| writer.poll(cx)).await;
        if written.is_err() {
            writer.break_off();
        }
        written.map_err(io::Error::other)
    };
    let mut reader = Reader::new(far);
    let reading = async {
        poll_fn(|cx| reader.poll_answer(cx, false, |_, _| ())).await?;
        let (mut content, mut trailers) = (Vec::new(), None);
        while let Some(frame) = poll_fn(|cx| reader.poll_frame(cx)).await {
            match frame?.into_data() {
                Ok(data) => content.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        assert!(reader.is_done());
        Ok::<_, io::Error>((content, trailers))
    };
    let (written, read) = tokio::join!(writing, reading);
    written?;
    let read = read?;
    assert!(reader.into_pipe().is_some_and(|pipe| pipe.is_quiet()));
    Ok(read)
}

fn frame(data: &[u8]) -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::copy_from_slice(data)))
}

fn sum() -> HeaderMap {
    [(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("7"))].into_iter().collect()
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[tokio::test]
async fn a_body_is_as_long_as_it_says() {
    let length = |count: usize| format!("content-length: {count}\r\n");
    for (framing, says, frames, fits) in [
        (Framing::Length(5), 5, vec![frame(b"he"), frame(b""), frame(b"llo")], true),
        (Framing::Length(5), 5, vec![frame(b"hell")], false),
        (Framing::Length(5), 5, vec![frame(b"hello"), frame(b"!")], false),
        (Framing::Length(5), 5, vec![frame(b"hello!")], false),
        (Framing::Length(5), 5, vec![frame(b"hello"), Ok(Frame::trailers(sum()))], true),
        (Framing::Length(5), 5, vec![frame(b"hel"), Ok(Frame::trailers(sum()))], false),
        (Framing::EMPTY, 0, vec![], true),
        (Framing::EMPTY, 0, vec![frame(b"x")], false),
    ] {
        let passed = passed(&length(says), framing, frames, false).await;
        assert_eq!(passed.is_ok(), fits, "{framing:?} {passed:?}");
    }
}

#[tokio::test]
async fn a_reset_is_no_end_of_a_request() {
    // This body never says that it is whole, as one that was reset.
    for (is_strict, fits) in [(true, false), (false, true)] {
        assert_eq!(passed(CHUNKED, Framing::Chunked, vec![frame(b"hello")], is_strict).await.is_ok(), fits);
    }
    let broken = vec![frame(b"hello"), Err(io::ErrorKind::ConnectionReset.into())];
    assert!(passed(CHUNKED, Framing::Chunked, broken, false).await.is_err());
}

#[tokio::test]
async fn the_end_comes_with_the_last_data() {
    let (near, far) = joined();
    for (text, is_one) in [("2\r\nhi\r\n0\r\n\r\n", true), ("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n", false)] {
        let head = format!("HTTP/1.1 200 OK\r\n{CHUNKED}\r\n{text}");
        near.stream.borrow_mut().write_all(head.as_bytes()).now_or_never().expect("room").expect("open");
        let mut reader = Reader::new(far.clone());
        poll_fn(|cx| reader.poll_answer(cx, false, |_, _| ())).await.expect("a head");
        let first = poll_fn(|cx| reader.poll_frame(cx)).await.expect("a frame").expect("well");
        assert_eq!((first.into_data().expect("data").as_ref(), reader.is_done()), (&b"hi"[..], is_one));
        let next = poll_fn(|cx| reader.poll_frame(cx)).await;
        assert_eq!((next.is_none(), reader.is_done()), (is_one, true));
    }
}

#[tokio::test]
async fn a_writer_waits_for_its_reader() {
    let (near, far) = joined();
    let large = vec![b'x'; 3 * CAPACITY];
    let mut writer =
        Writer::new(near, Vec::new(), Framing::Length(large.len() as u64), body(vec![frame(&large)]), false);
    assert!(poll_fn(|cx| Poll::Ready(writer.poll(cx))).await.is_pending());
    drop(far);
    let outcome = poll_fn(|cx| writer.poll(cx)).await;
    assert!(matches!(outcome, Err(Unwritten::Sink(_))), "{outcome:?}");
}

#[tokio::test]
async fn the_engine_lets_go() {
    let (pipe, gone, socket) = Pipe::new(Rest::default());
    assert!(pipe.is_quiet());
    drop(socket);
    assert!(gone.await.is_err() && !pipe.is_quiet());
}

proptest! {
    #[test]
    fn however_it_is_cut(lengths in prop::collection::vec(0..40_000_usize, 0..8), in_chunks: bool, with_trailers: bool) {
        let content: Vec<u8> = (0..=u8::MAX).cycle().take(lengths.iter().sum()).collect();
        let (mut frames, mut rest) = (Frames::new(), &*content);
        for length in &lengths {
            let (now, later) = rest.split_at(*length);
            frames.push(frame(now));
            rest = later;
        }
        if with_trailers {
            frames.push(Ok(Frame::trailers(sum())));
        }
        let (head, framing) = match in_chunks {
            true => (CHUNKED.to_owned(), Framing::Chunked),
            false => (format!("content-length: {}\r\n", content.len()), Framing::Length(content.len() as u64)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (read, trailers) = runtime.block_on(passed(&head, framing, frames, false)).expect("whole");
        prop_assert!(read == content);
        prop_assert_eq!(trailers, (in_chunks && with_trailers).then(sum));
    }
}
