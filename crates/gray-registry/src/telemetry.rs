//! Names of metrics.

/// Gauge, label [`DIRECTORY`]: instance files of the file registry whose newest text is refused.
pub const REGISTRY_FILES_REFUSED: &str = "gray_registry_files_refused";
/// Label: where files are.
pub const DIRECTORY: &str = "directory";
