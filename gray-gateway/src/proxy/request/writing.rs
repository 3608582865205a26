//! The head that is sent to an instance: what of the client's is passed on, what the route and the gateway add.

use std::{io::Write as _, ops::Range};

use gray_core::GrayStatus;
use gray_rules::{Decision, Facts};
use gray_settings::TrustedHeaders;

use super::{edited::Edited, forwarded, last_hop::MAX_FORWARDS, view::RequestView};
use crate::{
    header::write_field,
    name::Name,
    proxy::{http1::Skipped, upstream::cause::Told, worker::held::Held},
    route::{EditError, Route},
};

/// Asks for a websocket, or confirms it, on a message whose hop-by-hop fields are off.
pub(in crate::proxy) const UPGRADE: &[u8] = b"connection: Upgrade\r\nupgrade: websocket\r\n";

/// What a head is written from: the request, and what was made of it.
pub(super) struct Writing<'w, 'r, 'b> {
    pub(super) view: &'w RequestView<'r, 'b>,
    pub(super) route: &'w Route,
    /// What the route's filters made of it.
    pub(super) edited: &'w Edited<'w, 'w>,
    /// Who it is sent to.
    pub(super) authority: &'w str,
    /// Gateways before this one.
    pub(super) passed: usize,
    /// What the header `gray` says.
    pub(super) tag: GrayStatus,
    /// What has failed, when it comes to a fallback.
    pub(super) failed: Option<&'w Told>,
}

impl Writing<'_, '_, '_> {
    /// Writes the head that is sent; returns where the value of `Host` is, if it is the instance's.
    ///
    /// # Errors
    /// The route's filters make fields that cannot be sent.
    pub(super) fn write_head(
        &self,
        snapshot: &Held,
        decision: &Decision<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Range<usize>>, EditError> {
        let Self { view, route, edited, authority, passed, tag, failed } = self;
        let RequestView { request, checked, asked, forwarded, trusted, .. } = view;
        for part in [view.method(), " ", &edited.path.path] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(query) = &edited.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let preserves = edited.host.is_some() || (route.filters.preserve_host && checked.host.is_some());
        let keeps_host = preserves && edited.host.is_none() && !checked.is_absolute;
        let host_at = (!keeps_host).then(|| {
            out.extend_from_slice(b"host: ");
            let from = out.len();
            out.extend_from_slice(match &edited.host {
                Some(host) => host,
                None if preserves => asked.host().unwrap_or(authority).as_bytes(),
                None => authority.as_bytes(),
            });
            let range = from..out.len();
            out.extend_from_slice(b"\r\n");
            range
        });
        request.head.copy_lines(self.skipped(keeps_host), out);
        // Which names they may write was checked when they were read.
        route.filters.write_fields(*view, edited.variables, |name, value| write_field(out, name.as_str(), value))?;
        if let (Some(failed), Some(headers)) = (failed, &route.filters.fallback_headers) {
            failed.write(headers, out);
        }
        let prefix = edited.path.prefix(view.checked.path);
        forwarded.write(
            out,
            asked,
            prefix.as_deref(),
            trusted.map(|family| (request.head.fields, family, view.client_ip)),
        );
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
        snapshot.write_mark(decision, *tag, out);
        out.extend_from_slice(b"\r\n");
        // What the client asked for stays, whichever instance is asked.
        Ok(host_at.filter(|_| !preserves))
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
