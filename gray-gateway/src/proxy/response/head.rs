//! A response on its way back: what is kept of its head, and how its body is framed for the client.

use std::borrow::Cow;

use gray_core::tag::PATH_HEADER;
use http::{HeaderValue, StatusCode, header};

use crate::{
    header::{write_field, write_line},
    name::Name,
    proxy::{
        exchange::Exchange,
        http1::{Decoder, Head, Places, ResponseHead, is_always_bodiless, is_bodiless, status_line},
        request::{envelope::Envelope, steps::Request, writing::UPGRADE},
        response::cross_origin::CrossOrigin,
    },
    route::{EditError, Line},
};

/// Beside what the instance says of caches: of several words the strictest counts (RFC 9111, 4.2.1).
const PRIVATE: HeaderValue = HeaderValue::from_static("private");

/// How a response goes on behind its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Framing {
    /// The body as it arrives.
    pub(in crate::proxy) body: Decoder,
    /// Whether the client gets it in chunks.
    pub(in crate::proxy) in_chunks: bool,
    /// Whether the instance's connection can be used again.
    pub(in crate::proxy) reusable: bool,
    /// Whether the client's can.
    pub(in crate::proxy) keep_alive: bool,
    /// Whether both have become a websocket.
    pub(in crate::proxy) switched: bool,
}

impl Exchange<'_, '_> {
    /// Writes the head that the client gets; `version` is that of the instance that answered.
    pub(super) fn respond(
        &self,
        response: &ResponseHead<'_, '_>,
        version: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<Framing, &'static str> {
        let Self { worker, snapshot, envelope, request, .. } = self;
        let head = &response.head;
        let (mut seen, mut skipped) = Seen::of(head, request.decision.traced, self.cross_origin.as_ref());
        let (status, original) = request.route.filters.status(response.status);
        // The body belongs to the status that the instance answered with, and one of the two has none.
        let ends = status != response.status && (is_bodiless(status) || is_bodiless(response.status));
        let mut framing = framing(envelope, request, response, (&seen, ends))?;
        framing.keep_alive &= !worker.is_leaving();
        let announces = envelope.is_head && envelope.is_11 && !is_always_bodiless(response.status) && !ends;
        if seen.codings > 0 && !framing.in_chunks && !announces {
            skipped.add(seen.coding_at);
        }
        if seen.has_length && (framing.in_chunks || is_always_bodiless(response.status) || ends) {
            skipped.add(seen.length_at);
        }
        if seen.names_fields() {
            head.skip_named(&mut skipped);
        }

        let reason = if status == response.status { response.reason } else { canonical_reason(status) };
        status_line(out, status, reason);
        seen.dated = self.write_fields(head, skipped, seen.dated, out)?;
        if !seen.dated {
            worker.write_date(out);
        }
        if let Some(cross_origin) = self.cross_origin {
            cross_origin.each(|name, value| write_line(out, name, value));
        }
        if request.route.metadata.vary_by_lane && request.route.depends_on_lane() {
            let vary = snapshot.rules.vary();
            if let Some(names) = vary.names() {
                write_line(out, &header::VARY, names);
            }
            if !vary.is_complete() {
                write_line(out, &header::CACHE_CONTROL, &PRIVATE);
            }
        }
        if ends && !is_bodiless(status) && !envelope.is_head {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        if let Some(name) = original.filter(|_| status != response.status) {
            write_field(out, name.as_str(), format!("[{}]", response.status).as_bytes());
        }
        if framing.in_chunks && framing.body == Decoder::UntilClose {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if request.decision.traced && !seen.traced {
            for part in [PATH_HEADER.as_str(), ": ", self.service_name(), "@", version.unwrap_or("-"), "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        if let Some(cookie) = request.cookie(snapshot) {
            write_line(out, &header::SET_COOKIE, &cookie);
        }
        if framing.switched {
            out.extend_from_slice(UPGRADE);
        } else {
            connection_line(out, envelope, framing.keep_alive);
        }
        out.extend_from_slice(b"\r\n");
        Ok(framing)
    }
}

impl Exchange<'_, '_> {
    /// Writes the fields of the answer that the client gets, as the route's filters leave them, and what it is told of its rate;
    /// returns whether there is a date among them.
    fn write_fields(
        &self,
        head: &Head<'_, '_>,
        skipped: Places,
        dated: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, &'static str> {
        let Request { route, remembered, .. } = &self.request;
        let rated = self.request.rated().map(|rated| rated.fields());
        let rated = rated.as_ref().map(|fields| fields.as_slice()).unwrap_or_default();
        let cross_origin = self.cross_origin.as_ref();
        // What the settings say to pages of other origins is not said twice.
        let stays = |name: &str| cross_origin.is_none_or(|cross_origin| !cross_origin.replaces(name));
        if let Some(added) = route.filters.response.added() {
            head.copy_lines(skipped, out);
            rated.iter().for_each(|(name, value)| write_line(out, name, &(*value).into()));
            added.filter(|(name, _)| stays(name.as_str())).for_each(|(name, value)| write_line(out, name, value));
            return Ok(dated);
        }
        let came = head.fields.iter().enumerate().filter(|(place, _)| !skipped.has(*place));
        let came = came.map(|(_, field)| Line { name: field.name, value: Cow::Borrowed(field.value) });
        let rated = rated
            .iter()
            .map(|(name, value)| Line { name: name.as_str(), value: Cow::Owned(value.to_string().into_bytes()) });
        let mut lines: Vec<_> = came.chain(rated).collect();
        let edited = route.filters.response.apply(&mut lines, remembered);
        edited.map_err(|error| match error {
            EditError::StepLimit(_) => {
                "a regular expression of the route's filters would take too many steps for its head"
            }
            _ => "the route's filters make its head too long",
        })?;
        lines.iter().filter(|line| stays(line.name)).for_each(|line| write_field(out, line.name, &line.value));
        Ok(lines.iter().any(|line| line.name.eq_ignore_ascii_case("date")))
    }
}

fn canonical_reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// Says what becomes of the connection where that goes without saying no more.
pub(super) fn connection_line(out: &mut Vec<u8>, envelope: &Envelope, keep_alive: bool) {
    match (keep_alive, envelope.is_11) {
        (true, true) => {}
        (true, false) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
    }
}

/// What one look at a response's fields finds.
#[derive(Default)]
struct Seen<'b> {
    coding: Option<&'b [u8]>,
    codings: usize,
    coding_at: usize,
    has_length: bool,
    length_at: usize,
    /// The first `Connection`.
    connection: Option<&'b [u8]>,
    connections: usize,
    dated: bool,
    traced: bool,
}

impl<'b> Seen<'b> {
    /// What there is, and which lines are not passed on whatever the rest is; `traced`: the client gets to see the path.
    fn of(head: &Head<'_, 'b>, traced: bool, cross_origin: Option<&CrossOrigin>) -> (Self, Places) {
        let (mut seen, mut skipped) = (Self::default(), Places::default());
        for (place, field) in head.fields.iter().enumerate() {
            let skip = match Name::of(field.name) {
                Name::Connection => {
                    seen.connection.get_or_insert(field.value);
                    seen.connections += 1;
                    true
                }
                // A tag and its signature are not for clients.
                Name::Hop | Name::Upgrade | Name::Ours | Name::Baggage => true,
                Name::TransferEncoding => {
                    seen.coding = Some(field.value);
                    seen.codings += 1;
                    seen.coding_at = place;
                    false
                }
                Name::ContentLength => {
                    seen.has_length = true;
                    seen.length_at = place;
                    false
                }
                Name::Other if field.name.len() == 4 && field.name.eq_ignore_ascii_case("date") => {
                    seen.dated = true;
                    false
                }
                Name::Other if field.name.eq_ignore_ascii_case(PATH_HEADER.as_str()) => {
                    seen.traced = true;
                    !traced
                }
                Name::Other => cross_origin.is_some_and(|cross_origin| cross_origin.replaces(field.name)),
                _ => false,
            };
            if skip {
                skipped.add(place);
            }
        }
        (seen, skipped)
    }

    /// Whether `Connection` is the only one, and says this and nothing else.
    fn says(&self, token: &str) -> bool {
        self.connections == 1 && self.connection.is_some_and(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn names_fields(&self) -> bool {
        self.connections > 0 && !self.says("keep-alive") && !self.says("close")
    }
}

/// Whether the instance has switched to what was asked for, and to nothing else.
fn is_websocket(head: &Head<'_, '_>) -> bool {
    let mut protocols = head.fields.all("upgrade");
    let (protocol, more) = (protocols.next(), protocols.next());
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) && more.is_none()
}

/// RFC 9112, 6.3, from the client's point of view; the error says why it is not clear where the response ends, or what it is.
fn framing(
    envelope: &Envelope,
    request: &Request<'_>,
    response: &ResponseHead<'_, '_>,
    (seen, ends): (&Seen<'_>, bool),
) -> Result<Framing, &'static str> {
    let head = &response.head;
    let length = if seen.has_length { head.content_length()? } else { None };
    let in_coding = match (seen.codings, seen.coding) {
        (0, _) => false,
        (1, Some(_)) if !head.is_11 => return Err("there is a Transfer-Encoding in HTTP/1.0"),
        (1, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => true,
        (1, _) => return Err("its Transfer-Encoding is not chunked"),
        _ => return Err("there is more than one Transfer-Encoding"),
    };
    let switched = response.status == 101;
    if switched && !(request.upgrade && is_websocket(head)) {
        return Err("it switches to a protocol (101) that was not asked for");
    }
    let says = |token: &str| seen.says(token) || (seen.names_fields() && head.mentions("connection", token));
    let mut reusable = !switched && if head.is_11 { !says("close") } else { says("keep-alive") && !says("close") };
    // What it says of a body is not passed on; whether one comes all the same is unknown.
    reusable &= !(is_always_bodiless(response.status) && (in_coding || length.is_some_and(|length| length > 0)));
    let body = if envelope.is_head || switched || is_bodiless(response.status) {
        Decoder::EMPTY
    } else if ends {
        // What comes is not passed on, so it is not awaited.
        reusable &= length == Some(0);
        Decoder::EMPTY
    } else if in_coding {
        // Two lengths: the coding counts, and the connection is not to be trusted any further.
        reusable &= length.is_none();
        Decoder::CHUNKED
    } else {
        length.map_or(Decoder::UntilClose, Decoder::Length)
    };
    let open_ended = !matches!(body, Decoder::Length(_));
    reusable &= body != Decoder::UntilClose;
    let in_chunks = open_ended && envelope.is_11;
    let keep_alive = envelope.keep_alive && (in_chunks || !open_ended);
    Ok(Framing { body, in_chunks, reusable, keep_alive, switched })
}
