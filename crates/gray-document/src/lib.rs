//! Spring-style documents (YAML, `.properties`, JSON): merged, placeholders resolved, every value with document and line.
//!
//! Spring's rules: relaxed names (`prodVersion`, `prod-version`, `PROD_VERSION` are one key), flat keys
//! (`kerwin.tool.gray.load: true`, `routes[0].id: a`), `${key:default}` placeholders (looked up in the documents, then in the
//! environment), a comma-separated text where a list is expected, parts for [`Profiles`], and later parts and documents
//! winning over earlier ones key by key (lists are replaced whole).
//!
//! It knows nothing of gray release, and never depends on a crate of ours, on an engine for expressions, on a runtime or
//! on I/O: who has a text gives it ([`check`]), and who compiles parts of it says how ([`Compile`]).
//!
//! A document is input from outside: its size, depth and alias expansion are bounded, what is made of it goes to the account
//! of all documents together ([`Budget`]), and nothing in it can panic.

mod assembly;
mod budget;
mod candidate;
mod encoding;
mod encrypted;
mod item;
mod json;
mod key;
pub mod lasting;
mod listing;
mod masked;
mod outline;
mod parse;
mod placeholder;
mod places;
mod problem;
mod profile;
mod properties;
mod reading;
mod scalar;
mod section;
mod size;
mod slip;
mod trail;
mod tree;
mod unknown;
mod yaml;

pub use budget::{Budget, Compile, TooMuch};
pub use encoding::decode;
pub use encrypted::encrypted;
pub use item::Item;
pub use lasting::Lasting;
pub use listing::Setting;
pub use masked::{is_secret_name, masked};
pub use outline::Outline;
pub use problem::{Problem, Problems, Severity};
pub use profile::Profiles;
pub use reading::{Purpose, Reading};
pub use section::{Section, duration};
pub use tree::{Documents, Origin};

/// Reads documents (name, text) once, offline, with no profile active. Placeholders see the environment of the process.
///
/// # Errors
/// All problems, when one of them is an error; otherwise the warnings come with the value.
pub fn check<T>(sources: &[(&str, &str)], read: impl Fn(&Documents) -> T) -> Result<(T, Problems), Problems> {
    check_for(sources, &Reading::default(), read)
}

/// The same, for some profiles and with documents that are lists.
///
/// # Errors
/// As [`check`] has them.
pub fn check_for<T>(
    sources: &[(&str, &str)],
    reading: &Reading,
    read: impl Fn(&Documents) -> T,
) -> Result<(T, Problems), Problems> {
    let documents = Documents::parse_for(sources, reading, &|name| std::env::var(name).ok())?;
    let value = read(&documents);
    documents.take_problems().into_result().map(|warnings| (value, warnings))
}

/// Whether two names are one key: they differ in case, `-` and `_` only.
pub fn is_same_name(one: &str, other: &str) -> bool {
    tree::relaxed(one) == tree::relaxed(other)
}

/// A truth value as Spring's `StringToBooleanConverter` reads it: `true`, `on`, `yes`, `1`; `false`, `off`, `no`, `0`; in
/// any case.
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
