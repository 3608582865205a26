//! `grayctl schema`: what editors need to know of rule documents.

use clap::Args;

use crate::print::say;

/// Print the JSON Schema of rule documents (gray-rules.yaml), for editors.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {}

pub(crate) fn run(_args: &SchemaArgs) -> anyhow::Result<()> {
    say(gray_rules::schema::json().trim_end());
    Ok(())
}
