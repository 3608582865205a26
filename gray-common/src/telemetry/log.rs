//! The log: filters, and lines that have an end.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Sends logs to standard error, filtered as `RUST_LOG` does it: `info`, `info,gray_common=debug`.
///
/// The Nacos client is silent unless the filter names it (`nacos_sdk=warn`): what it reports as errors at every start
/// and reconnect is none, and we log the state of the connection ourselves. Below `warn` it never logs, whatever the
/// filter says: its debug logs contain passwords.
pub fn init(filter: &str) -> Result<(), TelemetryError> {
    let filter = parse(filter)?;
    let lines = fmt::layer()
        .with_writer(|| Bounded(io::stderr()))
        .with_ansi(io::stderr().is_terminal())
        .with_filter(filter_fn(|metadata| may_log(metadata.target(), *metadata.level())));
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| TelemetryError::AlreadySet)
}

/// Cuts lines that are too long: what comes from outside is bounded where it comes in, this is for the rest.
struct Bounded<W>(W);

/// Longest line of the log, in bytes.
const MAX_LINE: usize = 32 * 1024;
const CUT: &[u8] = b"...\n";

impl<W: Write> Write for Bounded<W> {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(kept) = line.get(..MAX_LINE - CUT.len()).filter(|_| line.len() > MAX_LINE) else {
            return self.0.write_all(line).map(|()| line.len());
        };
        // Not in the middle of a character.
        let text = kept.utf8_chunks().next().map_or(kept, |chunk| chunk.valid().as_bytes());
        self.0.write_all(&[text, CUT].concat()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What is logged where the filter does not say.
const DEFAULT: &str = "info";

/// A filter with a default: one that only names modules, rightly or not, would otherwise silence everything else.
fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let wrong = |reason: String| TelemetryError::Filter { filter: filter.to_owned(), reason };
    let parts: Vec<_> = filter.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        if part.split('[').next().unwrap_or_default().contains(char::is_whitespace) {
            return Err(wrong(format!("`{part}` contains a space; separate parts by commas")));
        }
        // A lone word that is not a level is taken for a module, of which everything is logged, and of others nothing.
        if !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err() {
            return Err(wrong(format!(
                "`{part}` is not a level: off, error, warn, info, debug or trace; for a module write `{part}=debug`"
            )));
        }
    }
    let has_default = parts.iter().any(|part| part.parse::<LevelFilter>().is_ok());
    let default = if has_default { None } else { Some(DEFAULT) };
    let quiet = (!filter.contains("nacos_sdk")).then_some("nacos_sdk=off");
    let whole = default.into_iter().chain(parts).chain(quiet).collect::<Vec<_>>().join(",");
    EnvFilter::builder().parse(whole).map_err(|source| wrong(source.to_string()))
}

fn may_log(target: &str, level: tracing::Level) -> bool {
    !target.starts_with("nacos_sdk") || level <= tracing::Level::WARN
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// Not a filter.
    #[error("not a log filter: `{filter}` ({reason}); write for example `info` or `info,gray_common=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another logger was installed before.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_line_has_an_end() {
        let written = |text: &str| {
            let mut out = Bounded(Vec::new());
            out.write_all(text.as_bytes()).expect("written");
            String::from_utf8(out.0).expect("text")
        };
        let fits = format!("{}\n", "x".repeat(MAX_LINE - 1));
        assert_eq!(written(&fits), fits);
        for filler in ["x", "州"] {
            let long = written(&format!("{}\n", filler.repeat(MAX_LINE)));
            assert!(long.len() <= MAX_LINE && long.len() > MAX_LINE - 16 && long.ends_with("...\n"), "{}", long.len());
        }
    }

    #[test]
    fn filters_are_checked() {
        for filter in
            ["info", "", "warn,gray_common=trace", "off", "INFO", " info , gray_common=debug ", "gray[x]=debug"]
        {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        let error = parse("info,gray_common=loud").expect_err("not a level").to_string();
        assert!(error.contains("info,gray_common=loud") && error.contains("write for example"), "{error}");
        for filter in ["inof", "info,gray_common", "warning"] {
            let error = parse(filter).expect_err(filter).to_string();
            assert!(error.contains("is not a level: off, error, warn, info, debug or trace"), "{error}");
        }
        let error = parse("info gray_common=debug").expect_err("two parts").to_string();
        assert!(error.contains("separate parts by commas"), "{error}");
    }

    #[test]
    fn what_a_filter_does_not_name_is_logged_at_info() {
        for (filter, expect) in [
            ("", LevelFilter::INFO),
            ("grey_comon=error", LevelFilter::INFO),
            ("error,gray_common=error", LevelFilter::ERROR),
            ("off", LevelFilter::OFF),
        ] {
            let most = parse(filter).expect(filter).max_level_hint();
            assert_eq!(most, Some(expect), "{filter}");
        }
    }

    #[test]
    fn the_nacos_client_stays_at_warn() {
        for (target, level, expect) in [
            ("nacos_sdk::common", Level::DEBUG, false),
            ("nacos_sdk", Level::INFO, false),
            ("nacos_sdk::naming", Level::WARN, true),
            ("gray_common::registry", Level::TRACE, true),
        ] {
            assert_eq!(may_log(target, level), expect, "{target} {level}");
        }
    }
}
