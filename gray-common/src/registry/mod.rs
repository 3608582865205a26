//! Where instances register and are found: [`NacosRegistry`], [`FileRegistry`], several of them as one
//! ([`CombinedRegistry`]), or none ([`NoRegistry`]).

pub(crate) mod nacos;

pub use gray_registry::{
    CombinedRegistry, FileRegistry, Health, NoRegistry, Registry, RegistryError, ServiceState, Space, SpaceError,
};
#[cfg(feature = "test-util")]
pub use gray_registry::{MemoryRegistry, contract};
#[doc(hidden)] // For fuzzing.
pub use nacos::instances_from_json;
pub use nacos::{NacosOptions, NacosRegistry, NacosTls, http as nacos_http};
