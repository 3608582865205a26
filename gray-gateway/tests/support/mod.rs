//! What the tests of a whole gateway share.

use std::path::Path;

use clap::Parser;
use gray_gateway::args::GatewayArgs;

/// The flags of a gateway on free ports of loopback, with one worker, the documents of this directory, and more flags.
pub(crate) fn args(documents: &Path, more: &[&str]) -> GatewayArgs {
    let at = documents.to_str().expect("UTF-8");
    let line = "gray-gateway --bind 127.0.0.1 --port 0 --admin-port 0 --workers 1 --config-dir".split(' ').chain([at]);
    GatewayArgs::try_parse_from(line.chain(more.iter().copied())).expect("valid")
}
