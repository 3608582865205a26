//! A gateway, backends that record raw bytes, and a client that sends them.

mod client;

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use gray_core::{Instance, InstanceSet, IpSet};
use gray_document::{Documents, check};
use gray_gateway::{
    breakers::BreakerStates,
    config::GatewayConfig,
    proxy::{AccessLogOptions, Limits, ProxyOptions, Stats, TlsListener, Workers, start},
    rates::{RateStates, SharedRates},
    snapshot::{ServiceSnapshot, Services, Snapshot},
    tally::Tallies,
    tls::{ServerTls, UpstreamTls},
    trusted_hops::TrustedHops,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

pub(crate) use self::client::{Client, Response};
use crate::wire::{fields, read_request};

/// Nothing here may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Fails the test when the future takes too long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

// ---- gateway

/// Gray release on for `gray: gray-996`.
pub(crate) const HEAD: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, \
                    gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 } }\n";

/// In a document of which warnings are expected.
pub(crate) const WITH_WARNINGS: &str = "# with warnings\n";

/// A snapshot in the making.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) snapshot: Snapshot,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) upstream_tls: Arc<UpstreamTls>,
    pub(crate) shared_rates: Option<Arc<SharedRates>>,
    pub(crate) workers: usize,
    pub(crate) access_log: Option<AccessLogOptions>,
}

impl Setup {
    /// Gray release on for `gray: gray-996`; one route `/api/**` to service `app`, first segment stripped.
    pub(crate) fn new(instances: &[Instance]) -> Self {
        Self::with_routes(
            "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'] }]",
            instances,
        )
    }

    pub(crate) fn with_routes(routes: &str, instances: &[Instance]) -> Self {
        Self::with_documents(&format!("spring.cloud.gateway.routes: {routes}\n{HEAD}"), instances)
    }

    /// As a whole, settings included.
    pub(crate) fn with_documents(text: &str, instances: &[Instance]) -> Self {
        let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
        let (config, problems) = check(&[("test.yaml", text)], read).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(problems.warnings().next().is_none() || text.contains(WITH_WARNINGS), "{problems}");
        let (mut rates, mut breakers) = (RateStates::default(), BreakerStates::default());
        rates.hand_over(config.routes.routes());
        breakers.hand_over(config.routes.routes());
        let snapshot = Snapshot {
            rules: config.rules,
            signing: config.gray.mesh.signing.clone(),
            baggage: config.gray.mesh.baggage,
            outliers: config.gray.mesh.outliers,
            trusted_hops: TrustedHops::new(config.gray.gateway.trusted_hops, config.routes.trusted_proxies().cloned()),
            trusted_headers: config.gray.gateway.trusted_headers,
            limits: Tallies::new(1).limits(config.gray.gateway.max_in_flight, &config.routes),
            routes: config.routes,
            rates: Arc::clone(rates.current()),
            breakers: Arc::clone(breakers.current()),
            services: Arc::new(Services::from_iter([("app".into(), Arc::new(service(instances)))])),
            ..Snapshot::empty()
        };
        Self {
            snapshot,
            limits: Limits::default(),
            tls: None,
            upstream_tls: Arc::default(),
            shared_rates: None,
            workers: 2,
            access_log: None,
        }
    }

    /// Other rules: the value of the key `gray`.
    pub(crate) fn ruled(mut self, rules: &str) -> Self {
        let text = format!("{HEAD}gray: {rules}\n");
        let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
        let (config, _) = check(&[("test.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}"));
        self.snapshot.rules = config.rules;
        self
    }

    pub(crate) fn trusting(mut self, network: &str) -> Self {
        self.snapshot.trusted_hops = ips(network).into();
        self
    }

    pub(crate) fn gray_for(self, network: &str) -> Self {
        self.ruled(&format!("{{ rules: [{{ name: ip, when: {{ ip: {network} }}, lane: gray }}] }}"))
    }

    pub(crate) fn limited(mut self, limit: impl FnOnce(&mut Limits)) -> Self {
        limit(&mut self.limits);
        self
    }

    pub(crate) fn start(self) -> Gateway {
        let shared = Arc::new(ArcSwap::from_pointee(self.snapshot));
        let stats = Stats::new(self.workers);
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let tls = self.tls.map(|tls| TlsListener { bind, tls });
        let options = ProxyOptions {
            workers: self.workers,
            limits: self.limits,
            tls,
            upstream_tls: self.upstream_tls,
            shared_rates: self.shared_rates,
            access_log: self.access_log,
            ..ProxyOptions::new(bind)
        };
        let workers = start(options, Arc::clone(&shared), &stats).expect("started");
        Gateway { address: workers.local_addr(), workers, shared, stats }
    }
}

fn ips(network: &str) -> IpSet {
    let mut set = IpSet::default();
    set.insert(network).expect("network");
    set
}

pub(crate) fn service(instances: &[Instance]) -> ServiceSnapshot {
    ServiceSnapshot { set: Arc::new(InstanceSet::new(instances, None)), ..ServiceSnapshot::default() }
}

/// Puts a service in the place of the one of that name, if there is one.
pub(crate) fn put(snapshot: &mut Snapshot, name: &str, service: ServiceSnapshot) {
    Arc::make_mut(&mut snapshot.services).insert(name.into(), Arc::new(service));
}

pub(crate) fn instance(address: SocketAddr, version: &str) -> Instance {
    Instance::new(address.ip().to_string(), address.port()).with_version(version)
}

pub(crate) struct Gateway {
    pub(crate) workers: Workers,
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<ArcSwap<Snapshot>>,
    pub(crate) stats: Stats,
}

impl Gateway {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Response {
        let mut client = self.client().await;
        client.send(request).await;
        client.response().await
    }

    /// A GET of `/api/x` with more header lines.
    pub(crate) async fn get(&self, headers: &str) -> Response {
        self.ask(&format!("GET /api/x HTTP/1.1\r\nHost: shop:7000\r\n{headers}\r\n")).await
    }
}

// ---- backend

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// All values of a header, in any case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        fields(&self.head).filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {}", self.head);
        all[0]
    }
}

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Answers every request with these bytes, keeping the connection unless told otherwise.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::serving(move |_| (answer.to_owned(), true)).await
    }

    /// Answers 200 with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::serving(move |_| (ok(name), true)).await
    }

    /// Answers each request with what the function says; false closes the connection afterwards.
    pub(crate) async fn serving(answer: impl Fn(&Seen) -> (String, bool) + Send + Sync + 'static) -> Self {
        Self::wrapped(|socket| async { Some(socket) }, answer).await
    }

    /// The same on what is made of each connection; `None` ends it.
    pub(crate) async fn wrapped<W, F, S>(
        wrap: W,
        answer: impl Fn(&Seen) -> (String, bool) + Send + Sync + 'static,
    ) -> Self
    where
        W: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = Arc::new(answer);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let (address, connections) = listen(move |socket| {
            let (answer, record, wrapping) = (Arc::clone(&answer), Arc::clone(&record), wrap(socket));
            async move {
                let Some(mut socket) = wrapping.await else { return };
                let mut buffer = Vec::new();
                while let Some(request) = read_request(&mut socket, &mut buffer).await {
                    let (bytes, keep) = answer(&request);
                    record.lock().expect("lock").push(request);
                    let sent = socket.write_all(bytes.as_bytes()).await.and(socket.flush().await);
                    if sent.is_err() || !keep {
                        return;
                    }
                }
            }
        })
        .await;
        Self { address, seen, connections }
    }

    /// Handles each connection by hand.
    pub(crate) async fn raw<F, R>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (address, connections) = listen(handle).await;
        Self { address, seen: Arc::default(), connections }
    }

    pub(crate) fn instance(&self, version: &str) -> Instance {
        instance(self.address, version)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }
}

async fn listen<F, R>(handle: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, SeqCst);
            spawn(handle(socket));
        }
    });
    (address, connections)
}

#[expect(clippy::disallowed_methods, reason = "no release context in a test")]
pub(crate) fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// An address without a listener. It stays bound, so that no other test is given it; who asks for it by name may listen there.
pub(crate) async fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("set");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bound");
    let address = socket.local_addr().expect("bound");
    std::mem::forget(socket);
    address
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
