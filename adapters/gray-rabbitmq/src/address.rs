//! Where a broker is. Its password is not shown.

use std::{fmt, str::FromStr, time::Duration};

use lapin::{
    Connection, ConnectionProperties,
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::timeout;

use crate::error::{LinkError, OptionsError};

/// A connection that is silent for about twice as long is given up, unless the address says otherwise (`?heartbeat=`).
const HEARTBEAT_SECS: u16 = 5;
/// Longest time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// `amqp://USER:PASSWORD@HOST:PORT/VHOST`; `amqps://` with the feature `tls`.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    uri: AMQPUri,
    /// Certificates in PEM that are believed beside those that browsers know.
    #[cfg(feature = "tls")]
    roots: Option<std::sync::Arc<str>>,
}

impl FromStr for BrokerAddress {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut uri = AMQPUri::from_str(text).map_err(OptionsError::Address)?;
        if uri.scheme == AMQPScheme::AMQPS && cfg!(not(feature = "tls")) {
            return Err(OptionsError::Tls);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECS);
        Ok(Self {
            uri,
            #[cfg(feature = "tls")]
            roots: None,
        })
    }
}

impl BrokerAddress {
    /// The same broker, another virtual host.
    #[must_use]
    pub fn with_vhost(&self, vhost: impl Into<String>) -> Self {
        let mut other = self.clone();
        other.uri.vhost = vhost.into();
        other
    }

    /// The same, whose certificate may be signed by one of these (PEM) as well: an authority of one's own.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_roots(self, pem: impl Into<std::sync::Arc<str>>) -> Self {
        Self { roots: Some(pem.into()), ..self }
    }

    pub(crate) async fn connect(&self, name: &str) -> Result<Connection, LinkError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let limited = timeout(CONNECT_LIMIT, self.connected(properties)).await;
        Ok(limited.map_err(|_| LinkError::Silent)??)
    }

    #[cfg(not(feature = "tls"))]
    async fn connected(&self, properties: ConnectionProperties) -> lapin::Result<Connection> {
        Connection::connect_uri(self.uri.clone(), properties).await
    }

    #[cfg(feature = "tls")]
    async fn connected(&self, properties: ConnectionProperties) -> lapin::Result<Connection> {
        let roots = self.roots.as_deref().map(str::to_owned);
        let tls = lapin::tcp::OwnedTLSConfig { identity: None, cert_chain: roots };
        let builder = lapin::DefaultConnectionBuilder::new()?.with_uri(self.uri.clone());
        builder.with_properties(properties).with_tls_config(tls).connect().await
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.uri.authority.host, self.uri.authority.port, self.uri.vhost)
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_passwords_are_not_shown() {
        let address: BrokerAddress = "amqp://app:secret@mq.internal:5673/orders".parse().expect("an address");
        assert_eq!(address.to_string(), "mq.internal:5673/orders");
        assert_eq!(format!("{:?}", address.with_vhost("gray")), "BrokerAddress(mq.internal:5673/gray)");
        for text in ["", "mq.internal", "http://mq.internal", "amqp://mq:port"] {
            let error = text.parse::<BrokerAddress>().expect_err(text);
            assert!(error.to_string().contains("expected amqp://"), "{error}");
        }
    }

    #[test]
    fn tls_is_a_feature() {
        let address = "amqps://app:secret@mq.internal/orders".parse::<BrokerAddress>();
        if cfg!(feature = "tls") {
            assert_eq!(address.expect("an address").to_string(), "mq.internal:5671/orders");
        } else {
            assert!(address.expect_err("not built in").to_string().contains("feature `tls`"));
        }
    }
}
