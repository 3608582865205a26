//! Free ports. Each is handed out once in this process, so that tests that run at the same time do not share one.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Below the range from which systems take the ports of outgoing connections.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// `N` different free ports.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = pick(&[0])?;
    }
    Ok(ports)
}

/// A port that is free together with the one 1000 above it: Nacos' HTTP and gRPC.
pub fn nacos_pair() -> Result<u16> {
    pick(&[0, 1000])
}

fn pick(offsets: &[u16]) -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes that test at the same time start at different places.
    let (first, count) = (std::process::id() * 37, u32::from(RANGE.end - RANGE.start));
    for step in 0..count {
        let offset = u16::try_from((first.wrapping_add(step * 7)) % count).unwrap_or_default();
        let base = RANGE.start + offset;
        let wanted: Vec<u16> = offsets.iter().map(|offset| base + offset).collect();
        if wanted.iter().all(|port| !given.contains(port) && is_free(*port)) {
            given.extend(wanted);
            return Ok(base);
        }
    }
    bail!("no free port in {RANGE:?}")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
