//! One listening socket per worker, all on one port; the kernel spreads the connections. After a handover there may be
//! more or fewer: then a worker has several, or some share one.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::proxy::ProxyOptions;

/// Connections that the kernel accepts on our behalf before it refuses.
const BACKLOG: i32 = 1024;

/// Which address cannot be listened on: what is inside the error of [`start`](crate::proxy::start) in that case.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub cause: String,
}

/// The sockets that clients come in by.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For requests as they are.
    pub plain: Vec<TcpListener>,
    /// For TLS; none without a certificate.
    pub tls: Vec<TcpListener>,
}

impl Sockets {
    /// Binds what the options ask for.
    ///
    /// # Errors
    /// When a port cannot be bound; the error holds a [`ListenError`].
    pub fn bind(options: &ProxyOptions) -> io::Result<Self> {
        Self::default().or_bind(options)
    }

    /// The same sockets once more.
    ///
    /// # Errors
    /// When there are no free file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let again = |listeners: &[TcpListener]| -> io::Result<Vec<_>> {
            listeners.iter().map(TcpListener::try_clone).collect()
        };
        Ok(Self { plain: again(&self.plain)?, tls: again(&self.tls)? })
    }

    /// Keeps those, handed over by another process, that are at the addresses the options ask for; binds what is missing.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn or_bind(self, options: &ProxyOptions) -> io::Result<Self> {
        let or_bind = |handed_over: Vec<TcpListener>, address| {
            let fitting: Vec<_> = handed_over.into_iter().filter(|listener| is_at(listener, address)).collect();
            if fitting.is_empty() { bind(address, options.workers.max(1), options.share_port) } else { Ok(fitting) }
        };
        let plain = or_bind(self.plain, options.bind)?;
        let tls = options.tls.as_ref().map(|tls| or_bind(self.tls, tls.bind)).transpose()?;
        Ok(Self { plain, tls: tls.unwrap_or_default() })
    }
}

/// Whether that listener serves for this address; port 0 asks for any.
pub(crate) fn is_at(listener: &TcpListener, address: SocketAddr) -> bool {
    let is_same = |is: SocketAddr| is.ip() == address.ip() && (address.port() == 0 || is.port() == address.port());
    listener.local_addr().is_ok_and(is_same)
}

/// Each worker's share: all listeners have a worker that accepts from them, and every worker has at least one.
pub(in crate::proxy) fn share_out(listeners: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let missing = listeners.iter().cycle().take(workers.saturating_sub(listeners.len()).min(workers));
    let again = missing.map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
    let mut shares: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for (place, listener) in listeners.into_iter().chain(again).enumerate() {
        shares[place % workers].push(listener);
    }
    Ok(shares)
}

/// Binds `count` listeners to one address; port 0 becomes the same free port for all.
///
/// # Errors
/// When the address cannot be bound; a port in use is an error even though our own listeners share it, unless
/// `share_port` says that another process may.
pub(in crate::proxy) fn bind(address: SocketAddr, count: usize, share_port: bool) -> io::Result<Vec<TcpListener>> {
    if !share_port && address.port() != 0 {
        // SO_REUSEPORT would let us in beside another process of this user: ask without it first.
        socket(address, false).map_err(|error| explain(address, &error))?;
    }
    let first = socket(address, true).map_err(|error| explain(address, &error))?;
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(socket(bound, true).map_err(|error| explain(bound, &error))?);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if share {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let hint = if error.kind() == io::ErrorKind::AddrInUse { "; is another process using this port?" } else { "" };
    io::Error::new(error.kind(), ListenError { address, cause: format!("{error}{hint}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let ours = bind(any, 3, false).expect("free port");
        let taken = ours[0].local_addr().expect("bound");
        assert!(ours.iter().all(|listener| listener.local_addr().expect("bound") == taken));
        let error = bind(taken, 1, false).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        assert!(bind(taken, 1, true).is_ok());
        drop(ours);
        assert!(bind(taken, 1, false).is_ok());
    }

    #[test]
    fn every_listener_has_a_worker_and_every_worker_a_listener() {
        for (listeners, workers, expect) in [
            (2, 2, &[1, 1][..]),
            (4, 2, &[2, 2]),
            (5, 2, &[3, 2]),
            (1, 3, &[1, 1, 1]),
            (2, 3, &[1, 1, 1]),
            (0, 2, &[0, 0]),
        ] {
            let bound = bind("127.0.0.1:0".parse().expect("address"), listeners.max(1), false).expect("free port");
            let shares = share_out(bound.into_iter().take(listeners).collect(), workers).expect("shared out");
            assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), expect, "{listeners} for {workers}");
        }
    }

    #[test]
    fn what_was_handed_over_is_kept_where_it_is_at_the_right_address() {
        let options = |bind: &str| ProxyOptions { workers: 1, ..ProxyOptions::new(bind.parse().expect("address")) };
        let handed_over = Sockets::bind(&options("127.0.0.1:0")).expect("bound");
        let address = handed_over.plain[0].local_addr().expect("bound");
        let kept = handed_over.or_bind(&options("127.0.0.1:0")).expect("kept");
        assert_eq!(kept.plain[0].local_addr().expect("bound"), address, "any port will do");
        let kept = kept.or_bind(&options(&address.to_string())).expect("kept");
        assert_eq!(kept.plain[0].local_addr().expect("bound"), address);
        let other = kept.or_bind(&options("127.0.0.2:0")).expect("bound");
        assert_ne!(other.plain[0].local_addr().expect("bound").ip(), address.ip());
    }
}
