//! The head that is sent to an instance: what of the client's is passed on, what the route and the gateway add.

use std::{io::Write as _, ops::Range};

use gray_core::GrayStatus;
use gray_rules::{Decision, Facts};
use gray_settings::TrustedHeaders;

use super::{baggage::Baggage, edited::Edited, forwarded, last_hop::MAX_FORWARDS, view::RequestView};
use crate::{
    egress::{Carried, Telling},
    header::write_field,
    name::Name,
    proxy::{
        http1::Places,
        upstream::cause::Told,
        worker::{held::Held, stats::WorkerStats},
    },
    route::{EditError, Route},
};

/// Asks for a websocket, or confirms it, on a message whose hop-by-hop fields are off.
pub(in crate::proxy) const UPGRADE: &[u8] = b"connection: Upgrade\r\nupgrade: websocket\r\n";

/// What a head says of the lane.
pub(super) enum Mark<'m> {
    /// What was decided here, with this tag.
    Decided {
        tag: GrayStatus,
        /// Whether it goes to a service of the registry: only those get the lane as baggage.
        is_for_service: bool,
    },
    /// What the request carries, as it is told to a service.
    Carried { carried: &'m Carried, told: Telling<'m> },
    /// Nothing: it leaves the registry.
    Nothing,
}

impl Mark<'_> {
    /// Whether the lane is written as baggage as well.
    fn has_baggage(&self) -> bool {
        match self {
            Self::Decided { is_for_service, .. } => *is_for_service,
            Self::Carried { carried, .. } => carried.has_tag(),
            Self::Nothing => false,
        }
    }
}

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
    /// What is said of the lane.
    pub(super) mark: Mark<'w>,
    /// What has failed, when it comes to a fallback.
    pub(super) failed: Option<&'w Told>,
    pub(super) stats: &'w WorkerStats,
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
        let Self { view, route, edited, authority, passed, mark, failed, .. } = self;
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
        let (mut skipped, baggage) = self.skipped(keeps_host);
        let has_ours = snapshot.baggage && mark.has_baggage();
        let stays = baggage.stays(has_ours);
        if !stays {
            baggage.skip(&mut skipped);
        }
        request.head.copy_lines(skipped, out);
        // Which names they may write was checked when they were read.
        route.filters.write_fields(*view, edited.variables, |name, value| write_field(out, name.as_str(), value))?;
        if let (Some(failed), Some(headers)) = (failed, &route.filters.fallback_headers) {
            failed.write(headers, out);
        }
        if matches!(mark, Mark::Decided { .. }) {
            let prefix = edited.path.prefix(view.checked.path);
            forwarded.write(
                out,
                asked,
                prefix.as_deref(),
                trusted.map(|family| (request.head.fields, family, view.client_ip)),
                snapshot.routes.forwarded_fields(),
            );
        }
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
        // Last, so that no filter and no header of the client's can have the final word.
        if !matches!(mark, Mark::Nothing) {
            snapshot.hops.write(*passed, out);
        }
        let mut show = |lines: &[u8], member: &[u8]| {
            out.extend_from_slice(lines);
            if has_ours || !stays {
                let ours = if has_ours { member } else { &[] };
                self.stats.baggage(baggage.write(ours, out), has_ours && ours.is_empty());
            }
        };
        match mark {
            Mark::Decided { tag, .. } => snapshot.marked(decision, *tag, |mark| show(&mark.lines, &mark.member)),
            Mark::Carried { carried, told } => carried.written(*told, |written| show(&written.lines, &written.member)),
            Mark::Nothing => show(&[], &[]),
        }
        out.extend_from_slice(b"\r\n");
        // What the client asked for stays, whichever instance is asked.
        Ok(host_at.filter(|_| !preserves))
    }

    /// What of the client's lines is not passed on, and its baggage, of which that is decided later.
    fn skipped(&self, keeps_host: bool) -> (Places, Baggage<'_, '_>) {
        let Self { view: RequestView { request, checked, trusted, .. }, route, mark, .. } = self;
        let trusts_x_forwarded = *trusted == Some(TrustedHeaders::XForwarded);
        let (mut skipped, mut baggage) = (Places::default(), Places::default());
        for (place, field) in request.head.fields.iter().enumerate() {
            // Looked up before, for most.
            let is_other = place < 64 && checked.known & (1 << place) == 0;
            let name = if is_other { Name::Other } else { Name::of(field.name) };
            let skip = match name {
                Name::Other => checked.max_forwards.is_some() && field.name.eq_ignore_ascii_case(MAX_FORWARDS),
                Name::ContentLength | Name::TransferEncoding => false,
                Name::Baggage => {
                    baggage.add(place);
                    false
                }
                Name::Host => !keeps_host,
                // The service's own requests: what it says there is its business.
                Name::Origin | Name::OriginSpelling if !matches!(mark, Mark::Decided { .. }) => false,
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
        (skipped, Baggage::new(request.head.fields, baggage.without(skipped)))
    }
}
