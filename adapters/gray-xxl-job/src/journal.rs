//! The logs of runs, in memory and bounded. Pure.

use std::collections::{HashMap, VecDeque};

use crate::wire::{LogPage, RunKey, shortened};

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Runs, those that run included.
    pub(crate) runs: usize,
    /// Lines of one run; later ones are counted only.
    pub(crate) lines: usize,
    /// Bytes of one line.
    pub(crate) line_bytes: usize,
    /// Bytes of all, with what each line takes beside its text.
    pub(crate) bytes: usize,
    /// Bytes of one answer.
    pub(crate) page_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { runs: 1024, lines: 2000, line_bytes: 2048, bytes: 16 << 20, page_bytes: 64 << 10 }
    }
}

/// What a line takes beside its text: its place in the list, and the allocator's share. Without it, empty lines would cost nothing.
const LINE_BYTES: usize = 40;

/// The logs of the last runs, by number of run.
#[derive(Debug)]
pub(crate) struct Journal {
    runs: HashMap<i64, Pages>,
    /// Oldest first.
    order: VecDeque<i64>,
    bytes: usize,
    limits: Limits,
}

#[derive(Debug)]
struct Pages {
    run: RunKey,
    lines: Vec<Box<str>>,
    bytes: usize,
    dropped: usize,
    is_closed: bool,
}

impl Journal {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { runs: HashMap::new(), order: VecDeque::new(), bytes: 0, limits }
    }

    /// Begins the log of a run. One that is tried again goes on where it was; that of another run with its number goes.
    pub(crate) fn open(&mut self, run: RunKey) {
        let log = run.log;
        match self.runs.get_mut(&log) {
            Some(pages) if pages.run == run => {
                pages.is_closed = false;
                return;
            }
            Some(_) => self.forget(log),
            None => {}
        }
        while self.runs.len() >= self.limits.runs && self.forget_one(log) {}
        self.runs.insert(log, Pages { run, lines: Vec::new(), bytes: 0, dropped: 0, is_closed: false });
        self.order.push_back(log);
    }

    /// Adds what a run says, line by line.
    pub(crate) fn write(&mut self, log: i64, text: &str) {
        for line in text.lines() {
            let line: String = shortened(line, self.limits.line_bytes)
                .chars()
                .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
                .collect();
            let Some(pages) = self.runs.get_mut(&log) else { return };
            if pages.lines.len() >= self.limits.lines {
                pages.dropped += 1;
                continue;
            }
            let bytes = line.len() + LINE_BYTES;
            self.bytes += bytes;
            pages.bytes += bytes;
            pages.lines.push(line.into());
            while self.bytes > self.limits.bytes && self.forget_one(log) {}
        }
    }

    /// Ends the log of a run.
    pub(crate) fn close(&mut self, log: i64) {
        if let Some(pages) = self.runs.get_mut(&log) {
            let dropped = std::mem::take(&mut pages.dropped);
            if dropped > 0 {
                let told = format!("({dropped} more lines were not kept)");
                pages.lines.push(told.into());
            }
            pages.is_closed = true;
        }
    }

    /// Lines from `from` on, the first of which is 1.
    pub(crate) fn page(&self, log: i64, from: i64) -> LogPage {
        let Some(pages) = self.runs.get(&log) else {
            let log_content =
                format!("This executor has no log of run {log}: it has restarted, or had many runs since.\n");
            return LogPage { from_line_num: from, to_line_num: 0, log_content, is_end: true };
        };
        let first = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX).min(pages.lines.len());
        let mut log_content = String::new();
        let mut end = first;
        for line in &pages.lines[first..] {
            if end > first && log_content.len() + line.len() > self.limits.page_bytes {
                break;
            }
            log_content.push_str(line);
            log_content.push('\n');
            end += 1;
        }
        let is_end = pages.is_closed && end == pages.lines.len();
        LogPage { from_line_num: from, to_line_num: i64::try_from(end).unwrap_or(i64::MAX), log_content, is_end }
    }

    /// Forgets the oldest log, one that is complete before others; never that of `but`. Whether there was one.
    fn forget_one(&mut self, but: i64) -> bool {
        let is_closed = |log: &i64| self.runs.get(log).is_none_or(|pages| pages.is_closed);
        let oldest = self.order.iter().position(is_closed).or_else(|| self.order.iter().position(|log| *log != but));
        let Some(log) = oldest.and_then(|place| self.order.get(place)).copied() else { return false };
        self.forget(log);
        true
    }

    fn forget(&mut self, log: i64) {
        self.order.retain(|kept| *kept != log);
        self.bytes -= self.runs.remove(&log).map_or(0, |pages| pages.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(runs: usize, lines: usize, bytes: usize, page_bytes: usize) -> Journal {
        Journal::new(Limits { runs, lines, line_bytes: 10, bytes, page_bytes })
    }

    fn run(log: i64, date: i64) -> RunKey {
        RunKey { job: 1, log, date }
    }

    #[test]
    fn pages() {
        let mut journal = journal(9, 9, 1000, 8);
        journal.open(run(1, 0));
        journal.write(1, "one\ntwo\n");
        journal.write(1, "three and more");
        for (from, to, content, is_end) in [
            (1, 2, "one\ntwo\n", false),
            (0, 2, "one\ntwo\n", false),
            (i64::MIN, 2, "one\ntwo\n", false),
            (2, 2, "two\n", false),
            // Longer than a page, and shortened.
            (3, 3, "three and \n", true),
            (4, 3, "", true),
            (i64::MAX, 3, "", true),
        ] {
            let page = LogPage { from_line_num: from, to_line_num: to, log_content: content.into(), is_end: false };
            assert_eq!(journal.page(1, from), page, "while it runs, from {from}");
            journal.close(1);
            assert_eq!(journal.page(1, from), LogPage { is_end, ..page }, "from {from}");
            journal.open(run(1, 0));
        }
        assert!(journal.page(2, 1).is_end, "unknown");
    }

    #[test]
    fn bounds() {
        let mut journal = journal(2, 3, 20 + 2 * LINE_BYTES, 1000);
        journal.open(run(1, 0));
        journal.write(1, "a\nb\nc\nd\ne");
        journal.close(1);
        assert_eq!(journal.page(1, 1).log_content, "a\nb\nc\n(2 more lines were not kept)\n");
        journal.open(run(2, 0));
        journal.open(run(3, 0));
        assert_eq!(journal.page(1, 1).to_line_num, 0, "two runs are kept");
        journal.close(3);
        journal.open(run(4, 0));
        assert_eq!((journal.page(3, 1).is_end, journal.page(2, 1).is_end), (true, false), "one that ended goes first");
        journal.write(4, "0123456789\n0123456789\n0123456789");
        assert_eq!((journal.page(4, 1).to_line_num, journal.runs.len()), (3, 1), "the own log is never forgotten");
        journal.open(run(5, 0));
        journal.write(5, "x");
        assert_eq!((journal.bytes, journal.runs.len(), journal.order.len()), (1 + LINE_BYTES, 1, 1));
    }

    #[test]
    fn empty_lines_are_not_free() {
        let mut journal = journal(100, 50, 1000, 1000);
        for log in 0..100 {
            journal.open(run(log, 0));
            journal.write(log, &"\n".repeat(50));
            journal.close(log);
            let lines: usize = journal.runs.values().map(|pages| pages.lines.len()).sum();
            assert!(lines <= 50, "{lines} lines");
        }
    }

    #[test]
    fn another_run_with_the_number_has_a_log_of_its_own() {
        let mut journal = journal(9, 9, 100, 100);
        for (date, expect) in [(1, "x\n"), (1, "x\nx\n"), (2, "x\n")] {
            journal.open(run(7, date));
            journal.write(7, "x");
            journal.close(7);
            assert_eq!(journal.page(7, 1).log_content, expect);
        }
        assert_eq!((journal.bytes, journal.order.len()), (1 + LINE_BYTES, 1));
    }

    #[test]
    fn control_characters_do_not_get_through() {
        let mut journal = journal(1, 9, 100, 100);
        journal.open(run(1, 0));
        journal.write(1, "a\u{1b}[2Jb\rc\td");
        assert_eq!(journal.page(1, 1).log_content, "a\u{fffd}[2Jb\u{fffd}c\td\n");
    }
}
