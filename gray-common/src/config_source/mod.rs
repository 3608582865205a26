//! Where YAML documents come from: [`NacosConfigSource`], [`FileConfigSource`].

mod nacos;

#[cfg(feature = "test-util")]
pub use gray_registry::config_source::{MemoryConfigSource, contract};
pub use gray_registry::{ConfigSource, DocumentText, FileConfigSource};
pub use nacos::NacosConfigSource;
