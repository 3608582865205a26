//! The demo's ports: those of the README, so they have to be free.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

/// Ports of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway {
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
}

/// Where the gateway listens in the end.
pub(crate) const GATEWAY: Gateway = Gateway { port: 7000, admin_port: 7001 };
/// Of the services, V1 and V2.
pub(crate) const ORDER: [u16; 2] = [7101, 7102];
pub(crate) const USER: [u16; 2] = [7201, 7202];
pub(crate) const AUDIT: [u16; 2] = [7401, 7402];
pub(crate) const JOBS: [u16; 2] = [7501, 7502];
/// Where those of the jobs listen to the scheduler.
pub(crate) const EXECUTORS: [u16; 2] = [7511, 7512];

impl Gateway {
    /// Two unused ports.
    pub(crate) fn any_free() -> Result<Self> {
        // Both are held until both are known, so that they differ.
        let held = [listen(0)?, listen(0)?];
        Ok(Self { port: held[0].local_addr()?.port(), admin_port: held[1].local_addr()?.port() })
    }
}

/// An error that names every port that is taken, of the gateway and of these.
pub(crate) fn check_free(services: &[u16]) -> Result<()> {
    let wanted = [GATEWAY.port, GATEWAY.admin_port].into_iter().chain(services.iter().copied());
    let taken = taken(wanted);
    if !taken.is_empty() {
        bail!(
            "in use on 127.0.0.1: {}. Another demo or `docker compose up` may be running; stop it first",
            taken.iter().map(|port| format!("port {port}")).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

fn taken(ports: impl Iterator<Item = u16>) -> Vec<u16> {
    ports.filter(|port| listen(*port).is_err()).collect()
}

fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("cannot listen on port {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_taken() -> Result<()> {
        let held = listen(0)?;
        let port = held.local_addr()?.port();
        assert_eq!(taken([port].into_iter()), [port]);
        drop(held);
        assert!(taken([port].into_iter()).is_empty());
        Ok(())
    }
}
