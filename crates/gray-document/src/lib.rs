//! Spring-style YAML documents: merged, placeholders resolved, and every value knows document and line.
//!
//! Spring's rules, as far as the demo's documents use them: relaxed names (`prodVersion`, `prod-version`,
//! `PROD_VERSION` are one key), dotted keys (`kerwin.tool.gray.load: true`), `${key:default}` placeholders (looked up in
//! the documents, then in the environment), a comma-separated text where a list is expected, and later documents
//! winning over earlier ones key by key (lists are replaced whole).
//!
//! It knows nothing of gray release, and never depends on a crate of ours, on an engine for expressions, on a runtime or
//! on I/O: who has a text gives it ([`check`]), and who compiles parts of it says how ([`Compile`]).
//!
//! A document is input from outside: its size, depth and alias expansion are bounded, what is made of it goes to the account
//! of all documents together ([`Budget`]), and nothing in it can panic.

mod budget;
mod candidate;
mod encoding;
mod encrypted;
mod item;
pub mod lasting;
mod listing;
mod masked;
mod outline;
mod parse;
mod placeholder;
mod problem;
mod section;
mod size;
mod slip;
mod trail;
mod tree;

pub use budget::{Budget, Compile, TooMuch};
pub use encoding::decode;
pub use encrypted::encrypted;
pub use item::Item;
pub use lasting::Lasting;
pub use listing::Setting;
pub use masked::{is_secret_name, masked};
pub use outline::Outline;
pub use problem::{Problem, Problems, Severity};
pub use section::{Section, duration};
pub use tree::{Documents, Origin};

/// Reads documents (name, text) once, offline. Placeholders see the environment of the process.
///
/// # Errors
/// All problems, when one of them is an error; otherwise the warnings come with the value.
pub fn check<T>(sources: &[(&str, &str)], read: impl Fn(&Documents) -> T) -> Result<(T, Problems), Problems> {
    let documents = Documents::parse(sources, &|name| std::env::var(name).ok())?;
    let value = read(&documents);
    documents.take_problems().into_result().map(|warnings| (value, warnings))
}

#[cfg(test)]
mod tests;
