//! Why a service does not start, or ended.

use std::{io, net::SocketAddr};

use gray_tls::TlsError;

use crate::{client::ClientError, control::ControlError, telemetry::TelemetryError};

/// A service could not start or serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Another process has the port.
    #[error(
        "cannot listen on {address}: the port is in use; stop the program that has it (`ss -ltnp` shows it), or choose \
         another port with --port (GRAY_PORT)"
    )]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {address}; choose another with --bind (GRAY_BIND) and --port (GRAY_PORT)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control plane cannot be set up as asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The CAs of instances cannot be read.
    #[error(transparent)]
    Certificates(#[from] TlsError),
    /// A client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The signals that stop the service cannot be listened to.
    #[error("cannot listen for signals")]
    Signals {
        /// What the system said.
        source: io::Error,
    },
    /// The server ended by itself.
    #[error("serving failed")]
    Serve {
        /// What the system said.
        source: io::Error,
    },
}

impl ServiceError {
    /// What a failed `bind` of this address means.
    pub fn bind(address: SocketAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::PortInUse { address }
        } else {
            Self::Bind { address, source }
        }
    }
}
