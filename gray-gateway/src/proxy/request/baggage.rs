//! The `baggage` of a request, as it is sent: with our member, without any that could pass for ours.

use gray_core::{
    lane::baggage::{Dropped, members, write_others},
    tag::BAGGAGE_HEADER,
};

use crate::proxy::http1::{Fields, Places};

/// The lines `baggage` of a request that may go on.
pub(super) struct Baggage<'h, 'b> {
    fields: Fields<'h, 'b>,
    lines: Places,
}

impl<'h, 'b> Baggage<'h, 'b> {
    /// `lines`: their places.
    pub(super) fn new(fields: Fields<'h, 'b>, lines: Places) -> Self {
        Self { fields, lines }
    }

    fn values(&self) -> impl Iterator<Item = &'b [u8]> {
        self.fields.iter().enumerate().filter(|(place, _)| self.lines.has(*place)).map(|(_, field)| field.value)
    }

    /// Whether the lines go on as they came: nothing is added to them, and nothing in them could pass for ours.
    pub(super) fn stays(&self, has_ours: bool) -> bool {
        self.lines == Places::default()
            || !(has_ours || self.values().flat_map(members).any(|member| member.is_spelling_of_ours()))
    }

    /// Leaves the lines out.
    pub(super) fn skip(&self, skipped: &mut Places) {
        (0..self.fields.iter().len()).filter(|place| self.lines.has(*place)).for_each(|place| skipped.add(place));
    }

    /// Writes one line of all, our member first if it is not empty.
    pub(super) fn write(&self, ours: &[u8], out: &mut Vec<u8>) -> Dropped {
        let from = out.len();
        out.extend_from_slice(BAGGAGE_HEADER.as_str().as_bytes());
        out.extend_from_slice(b": ");
        let begin = out.len();
        out.extend_from_slice(ours);
        let dropped = write_others(out, begin, self.values());
        if out.len() == begin {
            out.truncate(from);
        } else {
            out.extend_from_slice(b"\r\n");
        }
        dropped
    }
}
