//! Why an instance has not answered.

use std::io;

use super::{dial::Unconnected, fault::Fault};
use crate::proxy::{
    downstream::{socket::Unusable, state::GaveUp},
    response::transfer::Broken,
};

/// Why there is no response.
#[derive(Debug)]
pub(in crate::proxy) enum SendError {
    /// There is no connection: nothing was sent.
    Unsent(Unconnected),
    /// It broke off; something may have been sent.
    Broken(io::Error),
    /// What came is not a response, or none that can be passed on; the text says why.
    Unusable(&'static str),
    /// It took too long.
    GaveUp(GaveUp),
    /// The client's body cannot be passed on.
    Client(Broken),
    /// The client has gone.
    ClientGone,
}

impl SendError {
    /// The instance's end of the exchange is gone. That of a pipe says why, and whether anything was sent.
    pub(in crate::proxy) fn broken(error: io::Error) -> Self {
        match error.downcast::<Unconnected>() {
            Ok(unconnected) => Self::Unsent(unconnected),
            Err(error) => match error.get_ref().and_then(|cause| cause.downcast_ref::<Unusable>()) {
                Some(Unusable(reason)) => Self::Unusable(reason),
                None => Self::Broken(error),
            },
        }
    }

    /// What the instance is to be blamed for, if it is.
    pub(in crate::proxy) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unsent(Unconnected::Tcp(_) | Unconnected::Denied(_)) => Some(Fault::Connect),
            Self::Unsent(Unconnected::Tls(_)) => Some(Fault::Tls),
            Self::Broken(_) => Some(Fault::Broken),
            Self::Unusable(_) => Some(Fault::Unusable),
            Self::GaveUp(GaveUp::Response) => Some(Fault::Timeout),
            Self::GaveUp(GaveUp::Upload) | Self::Client(_) | Self::ClientGone => None,
        }
    }
}
