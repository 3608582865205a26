//! Accepting connections, and handing them over.
//!
//! The kernel spreads connections over the listeners by a hash of their addresses: of 64, one of two workers gets 6 more
//! than the other, and every tenth time 14 more. A keep-alive connection may stay for hours, so the worker that accepts
//! one looks at another, drawn at random, and hands the connection over when that has fewer. After that it stays.
//! Where connections come and go by the thousand, gaps close by themselves and handing over is not worth its price: so
//! many are handed over at once and per tick, no more.

use std::{
    cell::Cell,
    net::{self, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::proxy::worker::{local::Worker, stage::Stages, stats::Stats};

/// A connection is handed over to a worker that has at least so many fewer.
const MARGIN: u64 = 2;
/// Connections that a worker hands over at once, after a quiet time.
const AT_ONCE: u64 = 64;
/// Connections that a worker hands over per tick of the clock. Without a limit a third of the connections of a load of one
/// request each was handed over, at some 10 µs of CPU.
const PER_TICK: u64 = 4;
/// Connections on their way to one worker; it keeps what it accepts while there are more.
const IN_TRANSIT: usize = 128;
/// Rest after a failed accept: out of file descriptors, most likely.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// One worker's listening sockets: one of each kind, or more after a handover from a gateway with more workers.
pub(in crate::proxy) struct Listeners<L> {
    pub(in crate::proxy) plain: Vec<L>,
    pub(in crate::proxy) tls: Option<(Vec<L>, TlsAcceptor)>,
}

impl Listeners<net::TcpListener> {
    /// Within a runtime.
    pub(in crate::proxy) fn into_tokio(self) -> std::io::Result<Listeners<TcpListener>> {
        let tls = self.tls.map(|(listeners, acceptor)| Ok::<_, std::io::Error>((from_std(listeners)?, acceptor)));
        Ok(Listeners { plain: from_std(self.plain)?, tls: tls.transpose()? })
    }
}

fn from_std(listeners: Vec<net::TcpListener>) -> std::io::Result<Vec<TcpListener>> {
    listeners.into_iter().map(TcpListener::from_std).collect()
}

/// Which listener a connection came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Plain,
    Tls,
}

/// A connection that another worker accepted.
#[derive(Debug)]
struct Handed {
    socket: net::TcpStream,
    peer: SocketAddr,
    by: By,
}

/// One worker's place among the others.
pub(in crate::proxy) struct Peers {
    index: usize,
    stats: Stats,
    /// Of all workers, by index.
    inboxes: Arc<[mpsc::Sender<Handed>]>,
    inbox: mpsc::Receiver<Handed>,
}

impl Peers {
    /// So many places.
    pub(in crate::proxy) fn new(count: usize, stats: &Stats) -> Vec<Self> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(IN_TRANSIT)).unzip();
        let inboxes: Arc<[_]> = inboxes.into();
        let place = |(index, inbox)| Self { index, stats: stats.clone(), inboxes: Arc::clone(&inboxes), inbox };
        receivers.into_iter().enumerate().map(place).collect()
    }
}

/// The worker's half that decides.
struct Balance<'a> {
    index: usize,
    stats: &'a Stats,
    inboxes: &'a [mpsc::Sender<Handed>],
    /// Connections that may be handed over, as of a tick.
    left: Cell<(u64, u64)>,
}

impl<'a> Balance<'a> {
    fn new(index: usize, stats: &'a Stats, inboxes: &'a [mpsc::Sender<Handed>]) -> Self {
        Self { index, stats, inboxes, left: Cell::new((AT_ONCE, 0)) }
    }

    /// Open connections of a worker, and those on their way to it.
    fn load(&self, worker: usize) -> u64 {
        let inbox = &self.inboxes[worker];
        self.stats.worker(worker).open() + (inbox.max_capacity() - inbox.capacity()) as u64
    }

    /// A place with another worker that should have the next connection; `None`: it stays here.
    fn elsewhere(&self, now: u64) -> Option<mpsc::Permit<'a, Handed>> {
        let (left, tick) = self.left.get();
        let left = AT_ONCE.min(left + PER_TICK * now.saturating_sub(tick).min(AT_ONCE));
        self.left.set((left, now));
        let others = self.inboxes.len() - 1;
        if others == 0 || left == 0 {
            return None;
        }
        let drawn = fastrand::usize(..others);
        let other = if drawn < self.index { drawn } else { drawn + 1 };
        if self.load(self.index) < self.load(other) + MARGIN {
            return None;
        }
        // It takes nothing any more when it is stopping.
        let place = self.inboxes[other].try_reserve().ok()?;
        self.left.set((left - 1, now));
        Some(place)
    }
}

/// Accepts, on all listeners and from other workers, from when it may until told to stop.
pub(in crate::proxy) async fn run(
    worker: &Rc<Worker>,
    listeners: Listeners<TcpListener>,
    peers: Peers,
    mut stages: Stages,
) {
    stages.open().await;
    if stages.never_came() {
        // It never accepted: what waits on sockets that were handed over belongs to the gateway that runs.
        return;
    }
    let Peers { index, stats, inboxes, inbox } = peers;
    let balance = Balance::new(index, &stats, &inboxes);
    let acceptor = listeners.tls.as_ref().map(|(_, acceptor)| acceptor.clone());
    let serve = |by, socket, peer| match (by, &acceptor) {
        (By::Tls, Some(acceptor)) => worker.accept_tls(socket, peer, acceptor),
        _ => worker.accept(socket, peer),
    };
    let plain = listeners.plain.into_iter().map(|listener| (listener, By::Plain));
    let tls = listeners.tls.into_iter().flat_map(|(listeners, _)| listeners).map(|listener| (listener, By::Tls));
    let accepting =
        plain.chain(tls).map(|(listener, by)| accept(listener, by, &balance, worker, stages.clone(), serve));
    tokio::join!(join_all(accepting), take(inbox, stages.clone(), serve));
}

async fn accept(
    listener: TcpListener,
    by: By,
    balance: &Balance<'_>,
    worker: &Worker,
    mut stages: Stages,
    serve: impl Fn(By, TcpStream, SocketAddr),
) {
    loop {
        tokio::select! {
            biased;
            () = stages.closed() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => match balance.elsewhere(worker.now()) {
                    None => serve(by, socket, peer),
                    Some(place) => hand_over(place, by, socket, peer),
                },
                Err(error) => {
                    if worker.may_warn("accept") {
                        tracing::warn!(%error, "cannot accept connections; trying on");
                    }
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
        }
    }
    // What the kernel has accepted on our behalf belongs to us still, unless the socket was handed over; the runtime has
    // to have asked it first.
    tokio::task::yield_now().await;
    while let Some(Ok((socket, peer))) = listener.accept().now_or_never() {
        serve(by, socket, peer);
    }
}

fn hand_over(place: mpsc::Permit<'_, Handed>, by: By, socket: TcpStream, peer: SocketAddr) {
    match socket.into_std() {
        Ok(socket) => place.send(Handed { socket, peer, by }),
        Err(error) => tracing::debug!(%peer, %error, "connection dropped"),
    }
}

/// Takes over what other workers accepted.
async fn take(mut inbox: mpsc::Receiver<Handed>, mut stages: Stages, serve: impl Fn(By, TcpStream, SocketAddr)) {
    let serve = |Handed { socket, peer, by }| match TcpStream::from_std(socket) {
        Ok(socket) => serve(by, socket, peer),
        Err(error) => tracing::debug!(%peer, %error, "connection dropped"),
    };
    loop {
        tokio::select! {
            biased;
            () = stages.closed() => break,
            handed = inbox.recv() => match handed {
                Some(handed) => serve(handed),
                None => break,
            },
        }
    }
    // From here on others keep what they accept; what is on its way already is ours.
    inbox.close();
    while let Some(handed) = inbox.recv().await {
        serve(handed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::watch;

    use super::*;
    use crate::proxy::worker::stage::Stage;

    async fn connection() -> (net::TcpStream, Handed) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (socket, peer) = listener.accept().await.expect("accepted");
        (client, Handed { socket: socket.into_std().expect("socket"), peer, by: By::Tls })
    }

    #[tokio::test]
    async fn a_connection_goes_to_who_has_fewer() {
        let stats = Stats::new(2);
        let (inboxes, mut receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(IN_TRANSIT)).unzip();
        let open = |worker: usize, count| stats.worker(worker).connections.add_many(count);
        let balance = Balance::new(0, &stats, &inboxes);
        let is_handed = || balance.elsewhere(0).is_some();
        assert!(!is_handed());
        open(0, 1);
        assert!(!is_handed(), "one more is no reason");
        open(0, 1);
        assert!(is_handed());
        // What is on its way counts.
        let (_client, handed) = connection().await;
        balance.elsewhere(0).expect("a place").send(handed);
        assert!(!is_handed());
        assert_eq!(balance.load(1), 1);
        assert!(receivers[1].recv().await.is_some());
        assert!(is_handed());
        // So does what was closed.
        stats.worker(0).disconnections.add();
        assert!(!is_handed());
        open(0, 10);
        assert!(is_handed());
        receivers[1].close();
        assert!(!is_handed(), "it is stopping");
        let alone = Stats::new(1);
        assert!(Balance::new(0, &alone, &inboxes[..1]).elsewhere(0).is_none(), "there is no other");
    }

    #[tokio::test]
    async fn so_many_are_handed_over_at_once_and_per_tick() {
        let stats = Stats::new(2);
        let (inboxes, _receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(IN_TRANSIT)).unzip();
        stats.worker(0).connections.add_many(10);
        let balance = Balance::new(0, &stats, &inboxes);
        let handed = |now| (0..1000).filter(|_| balance.elsewhere(now).is_some()).count() as u64;
        assert_eq!([handed(0), handed(0), handed(1), handed(1), handed(3)], [AT_ONCE, 0, PER_TICK, 0, 2 * PER_TICK]);
        assert_eq!(handed(u64::MAX), AT_ONCE);
    }

    #[tokio::test]
    async fn what_is_on_its_way_at_a_stop_is_taken() {
        let (sender, inbox) = mpsc::channel(IN_TRANSIT);
        let (stages, reached) = watch::channel(Stage::Serving);
        let (_client, handed) = connection().await;
        let expect = handed.peer;
        sender.try_send(handed).expect("room");
        stages.send_replace(Stage::Closed);
        let taken = RefCell::new(Vec::new());
        take(inbox, Stages::new(reached), |by, _socket, peer| taken.borrow_mut().push((by, peer))).await;
        assert_eq!(taken.into_inner(), [(By::Tls, expect)]);
        assert!(sender.try_reserve().is_err(), "nothing comes after that");
    }
}
