//! What reading an expression takes before anything is compiled: classes of characters are written out as ranges, and
//! where case does not count each of their characters is looked at.

use std::convert::Infallible;

use regex_syntax::ast::{Ast, ClassSetItem, Visitor, visit};

/// For each byte of the text.
const BYTE: usize = 16;
/// For `\w`, `\d` and the like: their ranges.
const CLASS: usize = 4 << 10;
/// Characters of `\w`, about.
const WORD: usize = 140_000;

/// So many bytes' worth.
pub(super) fn of(ast: &Ast, text: &str) -> usize {
    // Wherever a flag says so, it counts for all of it.
    let flags =
        |group: &str| group.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').any(|flag| flag == 'i');
    let any_case = text.split("(?").skip(1).any(flags);
    let Ok(classes) = visit(ast, Effort { any_case, bytes: 0 });
    text.len() * BYTE + classes
}

struct Effort {
    any_case: bool,
    bytes: usize,
}

impl Effort {
    fn class(&mut self, characters: usize) {
        self.bytes = self.bytes.saturating_add(CLASS + if self.any_case { characters / 2 } else { 0 });
    }
}

impl Visitor for Effort {
    type Output = usize;
    type Err = Infallible;

    fn finish(self) -> Result<usize, Infallible> {
        Ok(self.bytes)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        if let Ast::ClassPerl(_) | Ast::ClassUnicode(_) = ast {
            self.class(WORD);
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        match item {
            ClassSetItem::Perl(_) | ClassSetItem::Unicode(_) => self.class(WORD),
            ClassSetItem::Range(range) if self.any_case => {
                let (from, to) = (u32::from(range.start.c), u32::from(range.end.c));
                self.bytes = self.bytes.saturating_add(to.saturating_sub(from) as usize / 2);
            }
            _ => {}
        }
        Ok(())
    }
}
