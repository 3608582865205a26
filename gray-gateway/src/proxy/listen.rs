//! One listening socket per worker, all on one port; the kernel spreads the connections.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel accepts on our behalf before it refuses.
const BACKLOG: i32 = 1024;

/// Which address cannot be listened on: what is inside the error of [`start`](super::start) in that case.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    cause: String,
}

/// Binds `count` listeners to one address; port 0 becomes the same free port for all.
///
/// # Errors
/// When the address cannot be bound; a port in use is an error even though our own listeners share it, unless
/// `share_port` says that another process may.
pub(super) fn bind(address: SocketAddr, count: usize, share_port: bool) -> io::Result<Vec<TcpListener>> {
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
}
