//! What the backends wrote down.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// All requests that reached a backend, by id.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<Box<str>, Vec<Entry>>);

/// One arrival.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The version that got it.
    pub version: Box<str>,
    /// Head and body are of two requests.
    pub mixed: bool,
}

impl Ledger {
    /// Reads all ledgers of a directory.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut ledger = Self::default();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            for line in text.lines() {
                ledger.add(line).with_context(|| format!("no entry in {}: {line:?}", path.display()))?;
            }
        }
        Ok(ledger)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split(' ');
        let (id, _method, version) = (fields.next()?, fields.next()?, fields.next()?);
        let entry = Entry { version: version.into(), mixed: fields.next().is_some() };
        self.0.entry(id.into()).or_default().push(entry);
        Some(())
    }

    /// Where a request arrived.
    pub fn of(&self, id: &str) -> &[Entry] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    /// Arrivals, all told.
    pub fn arrivals(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}
