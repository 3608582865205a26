//! A broker with a certificate of an authority of its own.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

impl Server {
    /// The same by its port for TLS.
    pub(crate) fn secure_uri(&self, host: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/%2f", self.ports[3])
    }

    /// Opens that port when it starts, with this certificate. All are PEM.
    pub(crate) fn speak_tls(&self, authority: &str, certificate: &str, key: &str) {
        let mut settings = format!("listeners.ssl.1 = 127.0.0.1:{}\nssl_options.verify = verify_none\n", self.ports[3]);
        for (name, text) in [("cacertfile", authority), ("certfile", certificate), ("keyfile", key)] {
            let path = self.folder.path().join(name);
            fs::write(&path, text).expect("written");
            settings.push_str(&format!("ssl_options.{name} = {}\n", path.display()));
        }
        fs::write(self.folder.path().join("rabbitmq.conf"), settings).expect("written");
    }
}

/// Has the broker speak TLS, with a certificate for `localhost`; returns that of its authority, in PEM.
pub(crate) fn certify(server: &Server) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &ca).expect("signed");
    server.speak_tls(&ca.pem(), &certificate.pem(), &key.serialize_pem());
    ca.pem()
}

pub(crate) async fn a_broker_is_believed_by_its_authority_alone(server: &Server, authority: &str) {
    let (document, seen) = (Document::new(rules("V1", "V2")), Seen::default());
    let secure: BrokerAddress = server.secure_uri("localhost").parse().expect("an address");
    let start = |version| {
        let mut options = options(server, "secure", version);
        options.address = secure.clone().with_roots(authority);
        consumer(options, &document, &seen)
    };
    let (v1, v2) = (start("V1"), start("V2"));
    until(&v1, Role::Baseline, false).await;
    until(&v2, Role::Gray, false).await;
    let producer = |address: BrokerAddress, limit| {
        let mut options = ProducerOptions::new(address, "secure-x");
        options.limit = limit;
        Producer::new(options, document.follow()).expect("options")
    };
    let trusting = producer(secure.clone().with_roots(authority), LIMIT);
    publish(&trusting, gray(), "a").await;
    publish(&trusting, ReleaseContext::default(), "b").await;
    seen.is(&["V2:a", "V1:b"]).await;
    // Its authority is none that browsers know; its name is not the address; it does not speak TLS there.
    let other: BrokerAddress = server.secure_uri("127.0.0.1").parse().expect("an address");
    let plain: BrokerAddress = server.uri().replace("amqp:", "amqps:").parse().expect("an address");
    for address in [secure, other.with_roots(authority), plain.with_roots(authority)] {
        let stranger = producer(address, Duration::from_secs(2));
        let error = stranger.publish(Outgoing::new("order.viewed", "x")).await.expect_err("not believed");
        assert!(matches!(error, PublishError::Unconfirmed { source: Some(_), .. }), "{error:?}");
    }
    v1.stop().await;
    v2.stop().await;
}
