//! The table of what was seen.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

use super::scenario::Row;

/// One line per scenario.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header([
        "",
        "Request",
        "Live edit before it",
        "Decision",
        "order-app → user-app",
    ]);
    for row in rows {
        let edit = row.edit.map(|(edit, took)| format!("{edit}  ({} ms)", took.as_millis())).unwrap_or_default();
        let mark = if row.as_expected() { "ok" } else { "WRONG" };
        table.add_row([mark, row.request, &edit, row.decision, &row.seen.to_string()]);
    }
    table.to_string()
}
