//! What grayctl says. A reader who has gone (`grayctl demo | head`) is no reason to stop.

use std::{
    fmt,
    io::{self, Write as _},
};

/// One line (or several) on standard output, at once.
pub(crate) fn say(line: impl fmt::Display) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// The same on standard error.
pub(crate) fn complain(line: impl fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
