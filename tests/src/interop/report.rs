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
    /// What it has to come out like.
    pub kind: Kind,
}

/// What a chain is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every lane right, every request of a lane answered.
    Ours,
    /// Without a part that it needs: wrong.
    Control,
    /// Behind a gateway that knows nothing of lanes: nothing is expected of it but answers before the first fault.
    Peer,
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

    /// Whether it came out like its [`Kind`] has to.
    pub fn is_as_expected(&self) -> bool {
        let wrong: usize = self.tallies().map(|tally| tally.wrong).sum();
        let failed: usize = self.lanes.iter().map(|tally| tally.failed).sum();
        match self.kind {
            Kind::Ours => failed == 0 && wrong == 0,
            Kind::Control => failed == 0 && wrong > 0,
            Kind::Peer => self.faults.as_ref().is_some_and(|faults| faults.before.requests > faults.before.failed),
        }
    }

    /// What went wrong first, for the log.
    pub fn first(&self) -> Option<&str> {
        self.tallies().find_map(|tally| tally.first.as_deref())
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.chain.clone()];
        cells.extend(self.lanes.iter().map(|tally| show(tally, "wrong", tally.wrong)));
        // Without lanes there is no wrong version.
        cells.resize(1 + LANES.len(), "–".to_owned());
        let judged = |tally: &Tally| match self.kind {
            Kind::Peer => Tally { wrong: 0, ..tally.clone() },
            Kind::Ours | Kind::Control => tally.clone(),
        };
        let faults = self.faults.as_ref().map(|faults| [&faults.kill, &faults.stop, &faults.new].map(judged));
        cells.extend((0..3).map(|at| {
            { faults.as_ref() }.map_or_else(|| "–".to_owned(), |all| show(&all[at], "failed", all[at].failed))
        }));
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

    fn row(wrong: usize, failed: usize, kind: Kind) -> Row {
        let tally = Tally { requests: 20, wrong, failed, first: None };
        Row {
            chain: "a → b".into(),
            lanes: vec![Tally { requests: 20, ..Tally::default() }, tally],
            faults: None,
            kind,
        }
    }

    #[test]
    fn a_control_run_has_to_come_out_wrong() {
        for (wrong, failed, kind, good) in [
            (0, 0, Kind::Ours, true),
            (1, 0, Kind::Ours, false),
            (0, 1, Kind::Ours, false),
            (0, 0, Kind::Control, false),
            (1, 0, Kind::Control, true),
            (1, 1, Kind::Control, false),
            (0, 0, Kind::Peer, false),
        ] {
            let row = row(wrong, failed, kind);
            assert_eq!(row.is_as_expected(), good, "{row:?}");
        }
        assert!(!Report::default().pass(), "nothing was tried");
    }

    #[test]
    fn what_a_cell_says() {
        assert_eq!(row(0, 0, Kind::Ours).cells()[2], "0 of 20");
        assert_eq!(row(3, 1, Kind::Ours).cells()[2], "3 of 20, 1 failed");
        let tally = Tally { requests: 9, wrong: 5, failed: 2, first: None };
        let faults = Faults { before: tally.clone(), kill: tally, ..Faults::default() };
        let peer = Row { lanes: Vec::new(), faults: Some(faults), ..row(0, 0, Kind::Peer) };
        assert_eq!(peer.cells(), ["a → b", "–", "–", "–", "–", "2 of 9", "0 of 0", "0 of 0"]);
        assert!(peer.is_as_expected(), "its versions are nobody's business");
    }
}
