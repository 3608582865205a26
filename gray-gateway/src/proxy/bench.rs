//! For benchmarks and fuzzing: the part of a request's way that waits for nothing.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use arc_swap::ArcSwap;
use gray_common::{Instance, InstanceSet, document::Documents, settings::check};

use super::{
    Limits, Stats,
    forwarded::Forwarded,
    held::Held,
    request::{Reader, Reading},
    worker::Worker,
};
use crate::{
    control::GatewayConfig,
    route,
    scheme::Scheme,
    snapshot::{ServiceSnapshot, Services, Snapshot},
};

/// Whether a path passes the check.
pub fn path_is_clear(path: &str) -> bool {
    route::check_path(path).is_ok()
}

/// One connection's worth of what a request is read with.
#[expect(missing_debug_implementations, reason = "for benchmarks")]
pub struct HeadBench {
    worker: Worker,
    held: Rc<Held>,
    forwarded: Forwarded,
    out: Vec<u8>,
}

/// Gray release on, and one route.
const SETTINGS: &str = "
spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'] }]
kerwin.tool.gray:
  load: true
  version: { prodVersion: V1, grayVersion: V2 }
  gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 }
";

#[expect(clippy::new_without_default, reason = "for benchmarks")]
impl HeadBench {
    /// With one route, `/api/**`, to two versions of one service.
    ///
    /// # Panics
    /// Never: the settings are fixed.
    #[expect(clippy::panic, reason = "the settings are fixed")]
    pub fn new() -> Self {
        let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
        let (config, _) = check(&[("settings.yaml", SETTINGS)], read).unwrap_or_else(|problems| panic!("{problems}"));
        let instance = |port, version: &str| Instance::new("127.0.0.1", port).with_version(version);
        let set = Arc::new(InstanceSet::new(&[instance(1, "V1"), instance(2, "V2")], None));
        let services = Services::from_iter([("app".into(), ServiceSnapshot { set, ..ServiceSnapshot::default() })]);
        let snapshot = Snapshot { rules: config.rules, routes: config.routes, services, ..Snapshot::empty() };
        let shared = Arc::new(ArcSwap::from_pointee(snapshot));
        let worker =
            Worker::new(Limits::default(), Arc::default(), Arc::default(), shared, Stats::new(1), 0, None, None);
        let held = worker.snapshot();
        let forwarded = Forwarded::new(SocketAddr::from(([127, 0, 0, 1], 4321)), Scheme::Http);
        Self { worker, held, forwarded, out: Vec::new() }
    }

    /// From the bytes of a request to those that are sent on; `None` when nothing would be.
    pub fn run(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        self.out.clear();
        let reader = Reader { worker: &self.worker, forwarded: &self.forwarded };
        match reader.read(bytes, &self.held, &mut self.out, &mut None) {
            Reading::Request(_, Ok(_)) => Some(&self.out),
            _ => None,
        }
    }
}
