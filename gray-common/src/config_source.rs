//! Where documents come from: [`NacosConfigSource`], [`FileConfigSource`].

#[cfg(feature = "nacos")]
pub use gray_nacos::NacosConfigSource;
#[cfg(feature = "test-util")]
pub use gray_registry::config_source::{MemoryConfigSource, contract};
pub use gray_registry::{ConfigSource, DocumentText, FileConfigSource, LocalDocuments};
