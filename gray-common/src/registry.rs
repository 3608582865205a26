//! Where instances register and are found: [`NacosRegistry`], [`FileRegistry`], several of them as one
//! ([`CombinedRegistry`]), or none ([`NoRegistry`]).

#[cfg(feature = "nacos")]
#[doc(hidden)] // For fuzzing.
pub use gray_nacos::instances_from_json;
#[cfg(feature = "nacos")]
pub use gray_nacos::{NacosOptions, NacosRegistry, NacosTls, http as nacos_http};
pub use gray_registry::{
    CombinedRegistry, FileRegistry, Health, NoRegistry, Registry, RegistryError, ServiceNames, ServiceState, Space,
    SpaceError,
};
#[cfg(feature = "test-util")]
pub use gray_registry::{MemoryRegistry, contract};
