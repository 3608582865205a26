//! The head of a response: awaited, read, and written for the client.

use gray_core::tag::PATH_HEADER;

use super::{
    head::Framing,
    transfer::{Broken, Transfer},
};
use crate::{
    name::Name,
    proxy::{
        exchange::Exchange,
        http1::{ParseError, Places, ResponseHead, read_response, room, status_line},
        upstream::{callee::Callee, dial::Upstream, send_error::SendError},
    },
};

/// Interim responses before one that counts.
const MAX_INTERIMS: usize = 32;

/// What a response's bytes are.
enum ResponsePart {
    Partial,
    /// 1xx, of this length, and what the client gets to see of it.
    Interim(usize, Option<Vec<u8>>),
    /// The response itself, its head of this length; its status.
    Final(usize, u16, Framing),
}

/// A response whose head is there, and what the client gets of it.
pub(in crate::proxy) struct Answer<'s> {
    pub(in crate::proxy) status: u16,
    pub(in crate::proxy) framing: Framing,
    pub(in crate::proxy) download: Transfer<'s>,
}

impl<'s> Exchange<'_, 's> {
    /// Waits for the whole head of the response, and writes what the client gets of it.
    pub(in crate::proxy) async fn read_head(
        &mut self,
        upstream: &mut Upstream,
        callee: &Callee<'s>,
    ) -> Result<Answer<'s>, SendError> {
        let version = callee.chosen.and_then(|chosen| chosen.endpoint.version());
        let mut out = self.worker.buffers.lend_out();
        let mut interims = 0;
        loop {
            match self.part(upstream, version, &mut out)? {
                ResponsePart::Partial => self.await_bytes(upstream).await?,
                ResponsePart::Interim(length, shown) => {
                    interims += 1;
                    if interims > MAX_INTERIMS {
                        return Err(SendError::Unusable("there are too many interim responses"));
                    }
                    upstream.received.consume(length);
                    if let Some(shown) = shown {
                        self.client.write(&shown).await.map_err(|_| SendError::ClientGone)?;
                    }
                    if upstream.received.is_empty() {
                        self.await_bytes(upstream).await?;
                    }
                }
                ResponsePart::Final(length, status, framing) => {
                    self.client.state.busy();
                    upstream.received.consume(length);
                    let mut download = Transfer::new(out, framing.body, framing.in_chunks);
                    if !framing.switched {
                        let gathered = download.gather(&mut upstream.received);
                        gathered.map_err(|error| match error {
                            Broken::Framing(error) => SendError::Unusable(error.0),
                            _ => SendError::Unusable("its body cannot be read"),
                        })?;
                    }
                    return Ok(Answer { status, framing, download });
                }
            }
        }
    }

    /// What of a response is there.
    fn part(&self, upstream: &Upstream, version: Option<&str>, out: &mut Vec<u8>) -> Result<ResponsePart, SendError> {
        let mut room = room();
        let response = match read_response(upstream.received.bytes(), &mut room) {
            Ok(response) => response,
            Err(ParseError::Partial) => return Ok(ResponsePart::Partial),
            Err(ParseError::TooMany) => return Err(SendError::Unusable("it has too many header lines")),
            Err(ParseError::Version) => return Err(SendError::Unusable("it is not HTTP/1")),
            Err(ParseError::Malformed(reason)) => return Err(SendError::Unusable(reason)),
        };
        let length = response.head.bytes.len();
        match response.status {
            // Said already, to whom it may concern.
            100 => Ok(ResponsePart::Interim(length, None)),
            102..=199 => Ok(ResponsePart::Interim(length, self.envelope.is_11.then(|| interim(&response)))),
            _ => {
                let framing = self.respond(&response, version, out);
                let framing = framing.map_err(SendError::Unusable)?;
                Ok(ResponsePart::Final(length, response.status, framing))
            }
        }
    }
}

/// What the client gets of an interim response.
fn interim(response: &ResponseHead<'_, '_>) -> Vec<u8> {
    let (mut out, mut skipped) = (Vec::new(), Places::default());
    for (place, field) in response.head.fields.iter().enumerate() {
        if Name::of(field.name) != Name::Other || field.name.eq_ignore_ascii_case(PATH_HEADER.as_str()) {
            skipped.add(place);
        }
    }
    response.head.skip_named(&mut skipped);
    status_line(&mut out, response.status, response.reason);
    response.head.copy_lines(skipped, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}
