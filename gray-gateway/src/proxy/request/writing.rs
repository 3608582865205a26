//! The head that is sent to an instance: what of the client's is passed on, what the route and the gateway add.

use std::{io::Write as _, ops::Range};

use gray_rules::{Decision, Facts};
use gray_settings::TrustedHeaders;

use super::{forwarded, last_hop::MAX_FORWARDS, view::RequestView};
use crate::{
    header::write_line,
    name::Name,
    proxy::{http1::Skipped, worker::held::Held},
    route::Route,
};

/// Asks for a websocket, or confirms it, on a message whose hop-by-hop fields are off.
pub(in crate::proxy) const UPGRADE: &[u8] = b"connection: Upgrade\r\nupgrade: websocket\r\n";

/// What a head is written from: the request, and what was made of it.
pub(super) struct Writing<'w, 'r, 'b> {
    pub(super) view: &'w RequestView<'r, 'b>,
    pub(super) route: &'w Route,
    /// The path that is sent.
    pub(super) path: &'w str,
    /// Who it is sent to.
    pub(super) authority: &'w str,
    /// Gateways before this one.
    pub(super) passed: usize,
}

impl Writing<'_, '_, '_> {
    /// Writes the head that is sent; returns where the value of `Host` is, if it is ours.
    pub(super) fn write_head(
        &self,
        snapshot: &Held,
        decision: &Decision<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let Self { view, route, path, authority, passed } = self;
        let RequestView { request, checked, asked, forwarded, trusted, .. } = view;
        for part in [view.method(), " ", path] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(query) = view.query() {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let preserves = route.filters.preserve_host && checked.host.is_some();
        let keeps_host = preserves && !checked.is_absolute;
        let host_at = (!keeps_host).then(|| {
            out.extend_from_slice(b"host: ");
            let from = out.len();
            out.extend_from_slice(if preserves { asked.host().unwrap_or(authority) } else { authority }.as_bytes());
            let range = from..out.len();
            out.extend_from_slice(b"\r\n");
            range
        });
        request.head.copy_lines(self.skipped(keeps_host), out);
        for (name, value) in route.filters.added() {
            if Name::of(name.as_str()) != Name::Ours && !forwarded::is_set(name.as_str()) {
                write_line(out, name, value);
            }
        }
        let prefix = route.filters.stripped_prefix(view.path());
        forwarded.write(out, asked, prefix, trusted.map(|family| (request.head.fields, family)));
        if checked.trailers {
            out.extend_from_slice(b"te: trailers\r\n");
        }
        if checked.upgrade {
            out.extend_from_slice(UPGRADE);
        }
        if let Some(left) = checked.max_forwards {
            // Writing to a vector does not fail.
            let _written = write!(out, "{}: {}\r\n", MAX_FORWARDS, left.saturating_sub(1));
        }
        snapshot.hops.write(*passed, out);
        // Last, so that no filter and no header of the client's can have the final word.
        snapshot.write_mark(decision, out);
        out.extend_from_slice(b"\r\n");
        // What the client asked for stays, whichever instance is asked.
        host_at.filter(|_| !preserves)
    }

    /// What of the client's lines is not passed on.
    fn skipped(&self, keeps_host: bool) -> Skipped {
        let Self { view: RequestView { request, checked, trusted, .. }, route, .. } = self;
        let trusts_x_forwarded = *trusted == Some(TrustedHeaders::XForwarded);
        let mut skipped = Skipped::default();
        for (place, field) in request.head.fields.iter().enumerate() {
            let skip = match Name::of(field.name) {
                Name::Other => checked.max_forwards.is_some() && field.name.eq_ignore_ascii_case(MAX_FORWARDS),
                Name::ContentLength | Name::TransferEncoding => false,
                Name::Host => !keeps_host,
                Name::Origin => !trusts_x_forwarded || forwarded::is_set(field.name),
                // It can only be 100-continue, and that is between the client and us.
                Name::Expect
                | Name::Connection
                | Name::Te
                | Name::Upgrade
                | Name::Hop
                | Name::Ours
                | Name::OriginSpelling => true,
            };
            if skip || route.filters.removes(field.name) {
                skipped.add(place);
            }
        }
        if checked.names_fields {
            request.head.skip_named(&mut skipped);
        }
        skipped
    }
}
