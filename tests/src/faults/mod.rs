//! Faults on purpose, one to a file. Each is a row of the [scorecard](crate::scorecard) with an F: what users noticed.

pub(crate) mod clock_jumps;
pub(crate) mod cluster_node_killed;
pub(crate) mod failing_instance;
pub(crate) mod full_disk;
pub(crate) mod full_snapshot_disk;
pub(crate) mod gateway_killed;
pub(crate) mod hung_instance;
pub(crate) mod instance_network;
pub(crate) mod malformed_pushes;
pub(crate) mod registry_network;
pub(crate) mod start_without_registry;
mod toxiproxy;

/// A route to the shop whose answers may take half a second.
const QUICK: &str = "- { id: quick, uri: 'lb://shop', predicates: ['Path=/quick/**'], filters: ['StripPrefix=1'], \
                     metadata: { response-timeout: 500 } }";
/// Its path.
const QUICK_PATH: &str = "/quick/item";
