//! A client's way to the servers, in our hands.
//!
//! The SDK does not close a connection that it has given up, nor one of a client that is dropped; after an outage it
//! waits up to 64 s before it tries again; and it speaks TLS only if it was built to. So it never sees a server: it
//! connects to a port of ours on loopback, and what it says there is passed on.
//!
//! - A client has one connection. When it makes another, or is dropped, the one before is cut, on both sides.
//! - While no server answers, its connection is accepted and waits: the client sees a slow server, not one that is
//!   away, and goes on as soon as there is one.
//! - Only our own user's connections count ([`peer`]): any other that connects would cut ours.

use std::{
    future::pending,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gray_registry::CallError;
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    NacosOptions, peer,
    wire::{self, Socket},
};

/// First and longest wait until the servers are tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// How long a client may be silent on a connection to a server that was alive, or be without any, until we help it.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long what is left of a client that was never built goes on trying, and more.
const LEFTOVERS: Duration = Duration::from_secs(10);

/// What to do about a client that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing: no server can be reached, or its connection is new.
    Wait,
    /// Its connection was cut, and it makes another.
    Reconnect,
    /// It does not recover by itself.
    Replace,
}

/// Where a connection of the client ends.
#[derive(Clone, Debug)]
enum Way {
    /// There is none, or it is new.
    Unused { since: Instant },
    /// At us, and why no further.
    Held { trouble: String },
    /// At a server.
    Open { since: Instant },
}

#[derive(Debug)]
struct State {
    way: Way,
    /// When the connection was last cut for want of an answer.
    cut: Option<Instant>,
    /// There is a client, and it will never end: the SDK has no way to.
    is_built: bool,
}

type Shared = Arc<Mutex<State>>;

/// The way of one client. Closed for good when it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    state: Shared,
    /// A new value cuts, the end closes.
    cut: watch::Sender<()>,
}

impl Relay {
    /// A way to any server that answers. The error says why none does.
    pub(super) async fn open(options: NacosOptions) -> Result<Self, CallError> {
        let server = wire::grpc(&options).await?;
        let no_port = |error: io::Error| CallError::Failed(format!("no port on loopback: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let state =
            Arc::new(Mutex::new(State { way: Way::Unused { since: Instant::now() }, cut: None, is_built: false }));
        let (cut, cuts) = watch::channel(());
        let serve = serve(listener, server, options, Arc::clone(&state), cuts);
        #[expect(clippy::disallowed_methods, reason = "a background task, no request's")]
        tokio::spawn(serve);
        Ok(Self { port, state, cut })
    }

    /// Where the client finds us on loopback.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The client stands, and keeps trying for as long as the process lives: the port is never given back.
    pub(super) fn built(&self) {
        lock(&self.state).is_built = true;
    }

    /// Why the client's connection ends at us, if it does.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &lock(&self.state).way {
            Way::Held { trouble } => Some(trouble.clone()),
            Way::Unused { .. } | Way::Open { .. } => None,
        }
    }

    /// What to do about a client that has been silent since then. It gets a new connection before it is given up.
    pub(crate) fn remedy(&self, silent_since: Instant) -> Remedy {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let remedy = state.remedy(silent_since, now);
        if remedy == Remedy::Reconnect {
            state.cut = Some(now);
            self.cut.send_replace(());
        }
        remedy
    }
}

impl State {
    fn remedy(&self, silent_since: Instant, now: Instant) -> Remedy {
        match self.way {
            Way::Held { .. } => Remedy::Wait,
            Way::Unused { since } | Way::Open { since } if now - since.max(silent_since) < PATIENCE => Remedy::Wait,
            Way::Open { .. } if self.cut.is_none_or(|cut| cut < silent_since) => Remedy::Reconnect,
            // Without a connection it waits before it makes one, for longer than we would.
            Way::Unused { .. } | Way::Open { .. } => Remedy::Replace,
        }
    }
}

async fn serve(
    listener: TcpListener,
    server: Box<dyn Socket>,
    options: NacosOptions,
    state: Shared,
    mut cuts: watch::Receiver<()>,
) {
    let mut server = Some(server);
    let mut carrying = None;
    // Kept over the turns of the loop: a connection that is being looked up is not to be lost.
    let mut arriving = Box::pin(peer::accept(&listener));
    loop {
        let carried = async {
            match carrying.as_mut() {
                Some(carrying) => carrying.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = carried => {
                carrying = None;
                enter(&state, Way::Unused { since: Instant::now() });
            }
            cut = cuts.changed() => {
                carrying = None;
                enter(&state, Way::Unused { since: Instant::now() });
                if cut.is_err() {
                    break;
                }
            }
            arrived = &mut arriving => {
                match arrived {
                    Ok(client) => {
                        enter(&state, Way::Unused { since: Instant::now() });
                        carrying = Some(Box::pin(carry(client, server.take(), &options, &state)));
                    }
                    // Out of files, say.
                    Err(error) => {
                        tracing::debug!(%error, "a connection of the Nacos SDK was not accepted");
                        sleep(RETRY.1).await;
                    }
                }
                arriving = Box::pin(peer::accept(&listener));
            }
        }
    }
    drop(arriving);
    // What is left of the client goes on trying, and must not find the port of another one.
    let refuse = async {
        loop {
            if listener.accept().await.is_err() {
                sleep(RETRY.1).await;
            }
        }
    };
    let is_built = lock(&state).is_built;
    if is_built {
        refuse.await;
    } else {
        let _over = timeout(LEFTOVERS, refuse).await;
    }
}

/// Passes on one connection until it ends on either side.
async fn carry(mut client: TcpStream, server: Option<Box<dyn Socket>>, options: &NacosOptions, state: &Shared) {
    let mut server = match server {
        Some(server) => server,
        None => reach(options, state).await,
    };
    enter(state, Way::Open { since: Instant::now() });
    // A list of instances wakes the client once. It ends the same way for both, and why counts for neither.
    let _end = copy_bidirectional_with_sizes(&mut client, &mut server, 8 << 10, 64 << 10).await;
}

async fn reach(options: &NacosOptions, state: &Shared) -> Box<dyn Socket> {
    // Another version may answer there.
    options.dialects.forget();
    let mut wait = RETRY.0;
    loop {
        match wire::grpc(options).await {
            Ok(server) => return server,
            Err(failure) => enter(state, Way::Held { trouble: failure.to_string() }),
        }
        sleep(wait).await;
        wait = RETRY.1.min(wait * 2);
    }
}

fn enter(state: &Shared, way: Way) {
    lock(state).way = way;
}

/// No code panics while it holds the lock, and what it protects is valid at every step.
fn lock(state: &Shared) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), what).await.expect("in time")
    }

    /// A server, and how to reach it.
    async fn server() -> (TcpListener, NacosOptions) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        (listener, NacosOptions { grpc_port: Some(port), ..NacosOptions::new("127.0.0.1:8848") })
    }

    /// Answers the greeting, and takes the connection that follows it.
    async fn take(listener: &TcpListener) -> TcpStream {
        let (mut greeting, _) = soon(listener.accept()).await.expect("a greeting");
        greeting.write_all(SETTINGS).await.expect("greeted");
        soon(listener.accept()).await.expect("a connection").0
    }

    async fn open(listener: &TcpListener, options: &NacosOptions) -> (Relay, TcpStream) {
        let (relay, server) = tokio::join!(Relay::open(options.clone()), take(listener));
        (relay.expect("a server"), server)
    }

    async fn connect(relay: &Relay) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port())).await.expect("accepted")
    }

    async fn passes(from: &mut TcpStream, to: &mut TcpStream) {
        from.write_all(b"word").await.expect("sent");
        let mut word = [0; 4];
        soon(to.read_exact(&mut word)).await.expect("passed on");
        assert_eq!(&word, b"word");
    }

    async fn is_cut(socket: &mut TcpStream) {
        assert!(matches!(soon(socket.read(&mut [0; 1])).await, Ok(0) | Err(_)), "open");
    }

    #[tokio::test]
    async fn one_connection_and_the_newest() {
        let (listener, options) = server().await;
        let (relay, mut far) = open(&listener, &options).await;
        let mut near = connect(&relay).await;
        passes(&mut near, &mut far).await;
        passes(&mut far, &mut near).await;

        let mut newer = connect(&relay).await;
        let mut newer_far = take(&listener).await;
        passes(&mut newer, &mut newer_far).await;
        is_cut(&mut near).await;
        is_cut(&mut far).await;

        drop(newer_far);
        is_cut(&mut newer).await;
    }

    #[tokio::test]
    async fn nothing_is_open_behind_one_that_is_dropped() {
        let (listener, options) = server().await;
        let (relay, mut far) = open(&listener, &options).await;
        let (port, mut near) = (relay.port(), connect(&relay).await);
        passes(&mut near, &mut far).await;
        relay.built();
        drop(relay);
        is_cut(&mut near).await;
        is_cut(&mut far).await;
        // The port stays ours, and leads nowhere.
        for _ in 0..2 {
            is_cut(&mut TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("accepted")).await;
        }
    }

    #[tokio::test]
    async fn the_port_of_a_client_that_was_never_built_is_given_back() {
        let (listener, options) = server().await;
        let (relay, _far) = open(&listener, &options).await;
        let port = relay.port();
        drop(relay);
        tokio::time::pause();
        tokio::time::sleep(LEFTOVERS + Duration::from_secs(1)).await;
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err(), "accepted");
    }

    #[tokio::test]
    async fn a_connection_waits_for_a_server() {
        let (listener, options) = server().await;
        let port = listener.local_addr().expect("bound").port();
        let (relay, mut far) = open(&listener, &options).await;
        let mut near = connect(&relay).await;
        passes(&mut near, &mut far).await;
        assert_eq!(relay.trouble(), None);

        drop((listener, far));
        is_cut(&mut near).await;
        let mut near = connect(&relay).await;
        near.write_all(b"word").await.expect("taken");
        soon(async {
            while !relay.trouble().is_some_and(|trouble| trouble.contains("127.0.0.1: Connection refused")) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(relay.remedy(Instant::now()), Remedy::Wait);

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("free again");
        let mut far = take(&listener).await;
        let mut word = [0; 4];
        soon(far.read_exact(&mut word)).await.expect("passed on");
        assert_eq!((&word, relay.trouble()), (b"word", None));
    }

    #[tokio::test]
    async fn only_who_speaks_http2_is_a_server() {
        for (answer, reason) in [
            (&b""[..], "it hangs up; if it wants TLS: --nacos-tls"),
            (b"\x15\x03\x03\0\x02\x02\x0a", "it wants TLS: --nacos-tls"),
            (b"HTTP/1.1 400 Bad Request\r\n", "is that the HTTP port?"),
            (b"SSH-2.0-x\r\n", "it does not speak gRPC"),
        ] {
            let (listener, options) = server().await;
            let answered = async {
                let (mut greeting, _) = listener.accept().await.expect("a greeting");
                let _read = greeting.read(&mut [0; 64]).await;
                greeting.write_all(answer).await.expect("sent");
            };
            let (relay, ()) = tokio::join!(Relay::open(options), answered);
            let failure = relay.expect_err(reason).to_string();
            assert!(failure.starts_with("gRPC port ") && failure.contains(reason), "{failure}");
        }
    }

    #[test]
    fn a_silent_client_gets_a_new_connection_and_is_replaced_then() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let held = Way::Held { trouble: "refused".into() };
        for (way, cut, now, remedy) in [
            (Way::Open { since: at(0) }, None, 15, Remedy::Wait),
            (Way::Open { since: at(0) }, None, 16, Remedy::Reconnect),
            // Cut in an earlier silence.
            (Way::Open { since: at(5) }, Some(at(4)), 16, Remedy::Reconnect),
            (Way::Unused { since: at(16) }, Some(at(16)), 21, Remedy::Wait),
            (Way::Unused { since: at(16) }, Some(at(16)), 22, Remedy::Replace),
            (Way::Open { since: at(18) }, Some(at(16)), 23, Remedy::Wait),
            (Way::Open { since: at(18) }, Some(at(16)), 24, Remedy::Replace),
            (held, Some(at(16)), 1000, Remedy::Wait),
        ] {
            let state = State { way, cut, is_built: true };
            assert_eq!(state.remedy(at(10), at(now)), remedy, "{state:?} at {now}");
        }
    }
}
