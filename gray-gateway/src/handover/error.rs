//! Why a handover does not take place.

use std::{io, path::PathBuf};

/// A handover does not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The system takes no such path for a socket.
    #[error("--handover {}: {length} bytes long, and the path of a unix socket may have {most}", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// The longest that would do.
        most: usize,
    },
    /// There is something else.
    #[error("--handover {}: the file there is not a socket; it is left alone, choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket cannot be used.
    #[error("--handover {}: {source}", path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The gateway that runs does not pass its sockets on.
    #[error("--handover {}: the running gateway keeps serving and hands nothing over: {reason}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
