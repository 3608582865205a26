//! The table of what was seen.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

use super::scenario::Row;

/// One entry per scenario, narrow enough for a terminal of 100 columns.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["Request", "Decision", "order-app → user-app"]);
    for row in rows {
        let request = match row.edit {
            None => row.request.to_owned(),
            Some((edit, None)) => format!("{}\n  with {edit}", row.request),
            Some((edit, Some(took))) => format!("{}\n  with {edit}, live in {} ms", row.request, took.as_millis()),
        };
        let mut seen = row.seen.to_string();
        if !row.as_expected() {
            seen.push_str("\nWRONG");
        }
        table.add_row([request, row.decision.to_owned(), seen]);
    }
    table.to_string()
}
