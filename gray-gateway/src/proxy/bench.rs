//! For benchmarks, fuzzing and tests: a worker of its own, and the part of a request's way that waits for nothing.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use gray_core::{Instance, InstanceSet};
use gray_document::{Documents, check};

use super::{
    Limits, Stats,
    request::{
        destined::Made,
        forwarded::Forwarded,
        steps::{Reader, Reading},
    },
    worker::local::Worker,
};
use crate::{
    config::GatewayConfig,
    scheme::Scheme,
    snapshot::{ServiceSnapshot, Services, Snapshot},
};

/// Gray release on, and one route.
const SETTINGS: &str = "
spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'] }]
kerwin.tool.gray:
  load: true
  version: { prodVersion: V1, grayVersion: V2 }
  gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 }
";

/// A worker with one route, `/api/**`, to one service that has these instances.
pub(super) fn worker(instances: &[Instance]) -> Worker {
    worker_with(SETTINGS, instances)
}

/// A worker with these settings; the service `app` has these instances.
#[expect(clippy::panic, reason = "the settings are fixed")]
pub(super) fn worker_with(settings: &str, instances: &[Instance]) -> Worker {
    let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
    let (config, _) = check(&[("settings.yaml", settings)], read).unwrap_or_else(|problems| panic!("{problems}"));
    let set = Arc::new(InstanceSet::new(instances, None));
    let services =
        Services::from_iter([("app".into(), Arc::new(ServiceSnapshot { set, ..ServiceSnapshot::default() }))]);
    let snapshot =
        Snapshot { rules: config.rules, routes: config.routes, services: Arc::new(services), ..Snapshot::empty() };
    let shared = Arc::new(ArcSwap::from_pointee(snapshot));
    Worker::new(Limits::default(), Arc::default(), Arc::default(), shared, Stats::new(1), 0, None, None)
}

/// From the bytes of a request to those that are sent on, appended; false when nothing is. With one route, `/api/**`, to two
/// versions of one service.
pub fn head_reader() -> impl FnMut(&[u8], &mut Vec<u8>) -> bool {
    let instance = |port, version: &str| Instance::new("127.0.0.1", port).with_version(version);
    let worker = worker(&[instance(1, "V1"), instance(2, "V2")]);
    let held = worker.snapshot();
    let forwarded = Forwarded::new(SocketAddr::from(([127, 0, 0, 1], 4321)), Scheme::Http);
    move |bytes, out| {
        let reader = Reader { worker: &worker, forwarded: &forwarded };
        matches!(reader.read(bytes, (&held, &Made::default()), out, (&mut None, &mut None)), Reading::Request(_, Ok(_)))
    }
}
