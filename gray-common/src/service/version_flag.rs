//! `-V` and `--version`: the version of the program. They once named the version to register, so a value after them is
//! an error: a script that still gives one would print a version, exit with 0, and look as if the service had run.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::TypedValueParser,
    error::{ErrorKind, Result},
};

use crate::release;

/// Stands for the flag without a value; no argument and no variable can hold a NUL.
const BARE: &str = "\0";

/// The flag. Its value is never there: whatever is given ends the parsing.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct VersionFlag {
    /// Print the program's version
    #[arg(
        short = 'V',
        long = "version",
        env = "GRAY_VERSION",
        // Help would show the value that must not be there; it names the flag at its end.
        hide = true,
        num_args = 0..=1,
        default_missing_value = BARE,
        value_parser = PrintsVersion
    )]
    version: Option<Never>,
}

#[derive(Clone, Copy, Debug)]
enum Never {}

#[derive(Clone, Copy, Debug)]
struct PrintsVersion;

impl TypedValueParser for PrintsVersion {
    type Value = Never;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Never> {
        if value == BARE {
            return Err(display(command));
        }
        let value = value.to_string_lossy();
        Err(command.clone().error(
            ErrorKind::ValueValidation,
            format!(
                "`{value}` is given to --version, or in GRAY_VERSION: neither names the version to register any more; \
                 write --service-version {value}, or GRAY_SERVICE_VERSION={value}"
            ),
        ))
    }
}

/// What clap itself makes of the flag: the version on standard output, exit code 0.
fn display(command: &Command) -> Error {
    let version = command.get_version().map_or_else(|| format!("(gray-chain {})", release::version()), str::to_owned);
    // clap wants texts that live for ever; the program ends here.
    let [name, version] = [command.get_name().to_owned(), version].map(|text| &*text.leak());
    Command::new(name)
        .version(version)
        .try_get_matches_from([name, "--version"])
        .expect_err("a version flag ends the parsing")
}
