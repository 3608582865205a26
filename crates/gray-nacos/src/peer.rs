//! Who connects to a port of ours on loopback: any user of the machine can, and only our own clients should.
//!
//! TCP does not tell whose the other end is, but Linux has a table of all sockets with the user that made them. So a
//! connection counts once its other end is found there as one of our own user's. A peer that is not found is a
//! stranger, and is sent away before the connection in use is touched.

use std::io;

use futures_util::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Duration, sleep},
};

/// So many connections are looked up at a time, with one look at the table; more wait to be accepted.
const MAX_UNPROVEN: usize = 32;
/// How long no connection is accepted after a stranger: the table is long on a machine with many connections.
const PAUSE: Duration = Duration::from_millis(20);

/// The next connection of our own user; the newest, when there are several.
pub(super) async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        let mut unproven = vec![listener.accept().await?.0];
        while unproven.len() < MAX_UNPROVEN
            && let Some(Ok((next, _))) = listener.accept().now_or_never()
        {
            unproven.push(next);
        }
        let (own, strangers) = own(unproven).await;
        if strangers > 0 {
            sleep(PAUSE).await;
        }
        if let Some(own) = own {
            // What is passed on to it is whole.
            own.set_nodelay(true)?;
            return Ok(own);
        }
    }
}

/// The newest that is our own, and how many are not.
#[cfg(target_os = "linux")]
async fn own(unproven: Vec<TcpStream>) -> (Option<TcpStream>, u64) {
    let looked = tokio::task::spawn_blocking(move || {
        let me = rustix::process::geteuid().as_raw();
        let tables: Vec<_> = table::PATHS.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        let is_own = |stream: &TcpStream| {
            let ends = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?)));
            ends.is_ok_and(|(peer, ours)| tables.iter().find_map(|table| table::owner(table, peer, ours)) == Some(me))
        };
        let (mut own, mut strangers) = (None, 0);
        for stream in unproven {
            if is_own(&stream) {
                own = Some(stream);
            } else {
                strangers += 1;
            }
        }
        (own, strangers, tables.is_empty())
    });
    // The closure does not panic; a runtime that ends does without an answer.
    let Ok((own, strangers, is_blind)) = looked.await else { return (None, 0) };
    refused(strangers, is_blind);
    (own, strangers)
}

/// Other systems have no such table.
#[cfg(not(target_os = "linux"))]
async fn own(mut unproven: Vec<TcpStream>) -> (Option<TcpStream>, u64) {
    (unproven.pop(), 0)
}

/// Counts them all, and warns now and then.
#[cfg(target_os = "linux")]
fn refused(strangers: u64, is_blind: bool) {
    use std::{
        sync::{Mutex, PoisonError},
        time::Instant,
    };
    const QUIET: Duration = Duration::from_secs(60);
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    if strangers == 0 {
        return;
    }
    metrics::counter!(crate::telemetry::RELAY_REFUSED_TOTAL).increment(strangers);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.is_some_and(|at| at.elapsed() < QUIET) {
        return;
    }
    *said = Some(Instant::now());
    if is_blind {
        tracing::warn!(
            "the users behind connections to the Nacos client's port on loopback cannot be determined, so all are refused, our own \
             included: {} cannot be read; is /proc mounted?",
            table::PATHS[0]
        );
    } else {
        tracing::warn!(
            connections = strangers,
            "connections to the Nacos client's port on loopback refused: another user of this machine, or a client that \
             closed at once. Logged at most once a minute; gray_nacos_relay_refused_total counts them"
        );
    }
}

/// The kernel's table of TCP sockets.
#[cfg(target_os = "linux")]
mod table {
    use std::net::{IpAddr, SocketAddr};

    /// IPv4, and IPv6, where the addresses of IPv4 may stand as well.
    pub(super) const PATHS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    const ESTABLISHED: &str = "01";

    /// The user whose socket is connected from `local` to `remote`. One that is being closed has no owner (the table
    /// says 0, which would be root).
    pub(super) fn owner(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        let (local, remote) = (spellings(local), spellings(remote));
        table.lines().skip(1).find_map(|line| {
            let mut columns = line.split_ascii_whitespace().skip(1);
            let is_it = local.iter().any(|one| columns.clone().next() == Some(one))
                && remote.iter().any(|one| columns.clone().nth(1) == Some(one))
                && columns.clone().nth(2) == Some(ESTABLISHED);
            // Queues, timer and retransmissions stand between.
            if is_it { columns.nth(6)?.parse().ok() } else { None }
        })
    }

    /// An address as the kernel prints it: words of 32 bits in the order of this machine, then the port; an IPv4 address also
    /// as an IPv6 socket has it.
    fn spellings(address: SocketAddr) -> Vec<String> {
        let words = |octets: &[u8]| -> String {
            let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
            words.map(|word| format!("{word:08X}")).collect()
        };
        let port = address.port();
        match address.ip() {
            IpAddr::V4(ip) => vec![
                format!("{}:{port:04X}", words(&ip.octets())),
                format!("{}:{port:04X}", words(&ip.to_ipv6_mapped().octets())),
            ],
            IpAddr::V6(ip) => vec![format!("{}:{port:04X}", words(&ip.octets()))],
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const HEAD: &str =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

        fn at(address: &str) -> SocketAddr {
            address.parse().expect(address)
        }

        #[cfg(target_endian = "little")]
        #[test]
        fn owners() {
            let line = |local: &str, remote: &str, state: &str, uid: &str| {
                format!(
                    "   5: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:>5}        0 90210 1 0 20 4\n"
                )
            };
            let (near, far) = ("0100007F:D431", "0100007F:8BA5");
            let ours = line(near, far, "01", "1000");
            for (table, expect) in [
                (ours.clone(), Some(1000)),
                (line(near, far, "01", "0"), Some(0)),
                (line(near, far, "01", "4294967294"), Some(4_294_967_294)),
                // The other end of the same connection, and other connections.
                (line(far, near, "01", "7"), None),
                (line(near, "0100007F:8BA6", "01", "7"), None),
                (line("0100007F:D430", far, "01", "7"), None),
                (line("0200007F:D431", far, "01", "7"), None),
                (line("0100007F:D430", far, "01", "7") + &line(far, near, "01", "8") + &ours, Some(1000)),
                // Closed by its owner: the kernel has forgotten whose it was, and prints 0.
                (line(near, far, "04", "0"), None),
                (line(near, far, "05", "0"), None),
                (line(near, far, "06", "0"), None),
                (line(near, far, "0A", "7"), None),
                // As an IPv6 socket has it.
                (
                    line("0000000000000000FFFF00000100007F:D431", "0000000000000000FFFF00000100007F:8BA5", "01", "33"),
                    Some(33),
                ),
                (line(near, far, "01", "nobody"), None),
                (line(near, far, "01", "-1"), None),
                ("   5: 0100007F:D431 0100007F:8BA5 01 0:0\n".to_owned(), None),
                (String::new(), None),
                ("\n\n".to_owned(), None),
            ] {
                let found = owner(&format!("{HEAD}{table}"), at("127.0.0.1:54321"), at("127.0.0.1:35749"));
                assert_eq!(found, expect, "{table}");
            }
            assert_eq!(owner("", at("127.0.0.1:54321"), at("127.0.0.1:35749")), None);
            let (near, far) = ("00000000000000000000000001000000:0001", "00000000000000000000000001000000:0002");
            let table = format!("{HEAD}{}{}", line(far, near, "01", "4"), line(near, far, "01", "5"));
            assert_eq!(owner(&table, at("[::1]:1"), at("[::1]:2")), Some(5));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let port = listener.local_addr().expect("bound").port();
        let near = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connected");
        (near, listener.accept().await.expect("accepted").0)
    }

    #[tokio::test]
    async fn our_own_is_let_in_and_one_that_is_gone_is_nobodys() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let (near, far) = pair(&listener).await;
        let address = near.local_addr().expect("connected");
        let (found, strangers) = own(vec![far]).await;
        assert_eq!((found.map(|own| own.peer_addr().expect("connected")), strangers), (Some(address), 0));

        let (near, far) = pair(&listener).await;
        drop(near);
        far.readable().await.expect("closed");
        let (found, strangers) = own(vec![far]).await;
        assert!(found.is_none() && strangers == 1);
    }

    #[tokio::test]
    async fn another_users_connection_is_closed_and_ours_is_let_in() {
        use std::{
            io::Read as _,
            os::unix::process::CommandExt as _,
            process::{Command, Stdio},
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        // Connects, says so, and waits for the end of the connection.
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected && read -r _ <&3; echo closed");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).uid(54_321);
        let Ok(mut child) = command.spawn() else {
            // Only root can start a process of another user.
            return;
        };
        let mut says = child.stdout.take().expect("piped");
        let connected = tokio::task::spawn_blocking(move || {
            let mut said = [0; 10];
            says.read_exact(&mut said).map(|()| (said, says))
        });
        let (said, mut says) = connected.await.expect("no panic").expect("connected");
        assert_eq!(&said, b"connected\n");
        let closed = tokio::task::spawn_blocking(move || {
            let mut rest = String::new();
            says.read_to_string(&mut rest).map(|_| rest)
        });
        let near = async {
            // Sent away although no client of ours has come yet.
            assert_eq!(closed.await.expect("no panic").expect("said"), "closed\n");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connected")
        };
        let both = async { tokio::join!(accept(&listener), near) };
        let (own, near) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("in time");
        assert_eq!(own.expect("ours").peer_addr().ok(), near.local_addr().ok());
        drop(child.wait());
    }

    #[tokio::test]
    async fn the_newest_of_several() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let mut near = Vec::new();
        for _ in 0..3 {
            near.push(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connected"));
        }
        let own = tokio::time::timeout(Duration::from_secs(10), accept(&listener)).await.expect("in time");
        assert_eq!(own.expect("one").peer_addr().ok(), near[2].local_addr().ok());
    }
}
