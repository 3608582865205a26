//! The figures, and whether they are what they have to be.

use comfy_table::{Table, presets};

use super::{Faults, LANES, Tally};

/// One chain.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is made of.
    pub chain: String,
    /// One for each of [`LANES`].
    pub lanes: Vec<Tally>,
    /// If instances were killed.
    pub faults: Option<Faults>,
    /// A control run: it must come out wrong.
    pub control: bool,
}

/// All chains.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Row {
    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        let faults = self.faults.iter().flat_map(|faults| [&faults.before, &faults.kill, &faults.stop, &faults.new]);
        self.lanes.iter().chain(faults)
    }

    /// Every lane right and every request answered; a control run: every request answered, and a lane wrong.
    pub fn is_as_expected(&self) -> bool {
        let wrong: usize = self.tallies().map(|tally| tally.wrong).sum();
        let failed: usize = self.lanes.iter().map(|tally| tally.failed).sum();
        failed == 0 && (wrong > 0) == self.control
    }

    /// What went wrong first, for the log.
    pub fn first(&self) -> Option<&str> {
        self.tallies().find_map(|tally| tally.first.as_deref())
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.chain.clone()];
        cells.extend(self.lanes.iter().map(|tally| show(tally, "wrong", tally.wrong)));
        let faults = self.faults.as_ref().map(|faults| [&faults.kill, &faults.stop, &faults.new]);
        cells.extend(
            (0..3).map(|at| faults.map_or_else(|| "–".to_owned(), |all| show(all[at], "failed", all[at].failed))),
        );
        cells
    }
}

/// `0 of 200`; what else happened is told as well.
fn show(tally: &Tally, what: &str, count: usize) -> String {
    let other = match what {
        "wrong" if tally.failed > 0 => format!(", {} failed", tally.failed),
        "failed" if tally.wrong > 0 => format!(", {} wrong", tally.wrong),
        _ => String::new(),
    };
    format!("{count} of {}{other}", tally.requests)
}

impl Report {
    /// Adds a chain.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether all are as expected.
    pub fn pass(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::is_as_expected)
    }

    /// The table of docs/interop.md: wrong versions by lane, failed requests by fault.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let lanes = LANES.iter().map(|lane| format!("{}: wrong", lane.name));
        let faults = ["SIGKILL: failed", "SIGTERM: failed", "new instance: failed"].map(str::to_owned);
        table.set_header(["gateway →".to_owned()].into_iter().chain(lanes).chain(faults));
        for row in &self.rows {
            table.add_row(row.cells());
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(wrong: usize, failed: usize, control: bool) -> Row {
        let tally = Tally { requests: 20, wrong, failed, first: None };
        Row {
            chain: "a → b".into(),
            lanes: vec![Tally { requests: 20, ..Tally::default() }, tally],
            faults: None,
            control,
        }
    }

    #[test]
    fn a_control_run_has_to_come_out_wrong() {
        for (wrong, failed, control, good) in [
            (0, 0, false, true),
            (1, 0, false, false),
            (0, 1, false, false),
            (0, 0, true, false),
            (1, 0, true, true),
            (1, 1, true, false),
        ] {
            let row = row(wrong, failed, control);
            assert_eq!(row.is_as_expected(), good, "{row:?}");
        }
        assert!(!Report::default().pass(), "nothing was tried");
    }

    #[test]
    fn what_a_cell_says() {
        assert_eq!(row(0, 0, false).cells()[2], "0 of 20");
        assert_eq!(row(3, 1, false).cells()[2], "3 of 20, 1 failed");
    }
}
