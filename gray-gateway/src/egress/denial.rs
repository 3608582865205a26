//! Why a request does not leave.

/// Why an egress does not send a request where it is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Neither the registry nor the list knows it.
    #[error(
        "the registry knows no service at this address or of this name, and it is not on the list of destinations \
         (--egress-allow)"
    )]
    NotListed,
    /// A name on the list has an address that is not public.
    #[error("the address of this name is not public, and not on the list of destinations itself (--egress-allow)")]
    NotPublic,
    /// Link-local, the metadata of a cloud, or not one machine.
    #[error("nothing is sent to link-local addresses, metadata of clouds and addresses that are not one machine")]
    Never,
    /// The admin side of this process.
    #[error("nothing is sent to the admin side")]
    Admin,
    /// This process.
    #[error("the request would come back to this egress: ask for a service, or for the address of an instance")]
    Itself,
    /// Several services have this name.
    #[error("several services have this name, in other cases of letters: ask for the address of an instance")]
    Ambiguous,
    /// The request names no host.
    #[error("the request names no host: ask for http://service/path, or by the Host of a service")]
    NoHost,
}
