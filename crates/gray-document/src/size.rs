//! How much documents come to as they are read, what anchors and aliases copy included.

/// Most nodes of one document, those that anchors and aliases copy included.
const MAX_NODES: usize = 100_000;
/// Most nodes of all documents together.
const MAX_ALL_NODES: usize = 150_000;
/// Text of all documents together, in bytes, likewise.
pub(super) const MAX_ALL_TEXT: usize = 4 << 20;
/// Most commas in the texts of all documents together: a text may stand for a list.
pub(super) const MAX_COMMAS: usize = 250_000;

/// What all documents together have come to so far.
#[derive(Default)]
pub(super) struct Total {
    nodes: usize,
    text: usize,
    commas: usize,
}

impl Total {
    /// More of a document that comes to `size` with it.
    pub(super) fn add(&mut self, size: Size, more: Size) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(more.nodes);
        self.text = self.text.saturating_add(more.text);
        self.commas = self.commas.saturating_add(more.commas);
        let copies = "counting what anchors and aliases copy";
        if size.nodes > MAX_NODES {
            Err(format!("more than {MAX_NODES} values, {copies}"))
        } else if self.nodes > MAX_ALL_NODES {
            Err(format!("more than {MAX_ALL_NODES} values in all documents together, {copies}"))
        } else if self.text > MAX_ALL_TEXT {
            Err(format!("more than {} MiB of text in all documents together, {copies}", MAX_ALL_TEXT >> 20))
        } else if self.commas > MAX_COMMAS {
            Err(format!("more than {MAX_COMMAS} commas in all documents together, {copies}"))
        } else {
            Ok(())
        }
    }
}

/// What a node, or what is below it, comes to.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    nodes: usize,
    text: usize,
    commas: usize,
}

impl Size {
    pub(super) const NODE: Self = Self { nodes: 1, text: 0, commas: 0 };

    pub(super) fn nodes(nodes: usize) -> Self {
        Self { nodes, ..Self::default() }
    }

    pub(super) fn of(text: &str) -> Self {
        Self { text: text.len(), commas: text.bytes().filter(|byte| *byte == b',').count(), ..Self::NODE }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let sum = usize::saturating_add;
        Self {
            nodes: sum(self.nodes, other.nodes),
            text: sum(self.text, other.text),
            commas: sum(self.commas, other.commas),
        }
    }

    /// What has come since it was less.
    pub(super) fn since(self, before: Self) -> Self {
        let less = usize::saturating_sub;
        Self {
            nodes: less(self.nodes, before.nodes),
            text: less(self.text, before.text),
            commas: less(self.commas, before.commas),
        }
    }
}
