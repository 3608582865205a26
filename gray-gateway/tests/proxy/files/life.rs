//! Downloads over time: replaced files, slow clients, drains, counters.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use tokio::io::AsyncReadExt;

use super::{Site, site};
use crate::{
    support::{Backend, Client, soon, spawn, until},
    wire::{read_body, read_head},
};

/// A file whose content is one letter all over.
fn uniform(path: &Path, letter: u8, len: usize) {
    fs::write(path, vec![letter; len]).expect("written");
}

fn is_uniform(body: &str, len: usize) -> bool {
    body.len() == len && body.bytes().all(|byte| Some(&byte) == body.as_bytes().first())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_is_old_or_new() {
    const SIZES: [usize; 2] = [3_000_000, 20_000];
    let site = site().await;
    let root = site.root();
    for size in SIZES {
        uniform(&root.join(format!("{size}.bin")), b'a', size);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        for letter in (b'a'..=b'z').cycle() {
            if stopping.load(SeqCst) {
                return;
            }
            for size in SIZES {
                uniform(&root.join("next"), letter, size);
                fs::rename(root.join("next"), root.join(format!("{size}.bin"))).expect("renamed");
            }
        }
    });
    for _ in 0..20 {
        for size in SIZES {
            let response = site.get(&format!("/web/{size}.bin")).await;
            assert!(response.status == 200 && is_uniform(&response.body, size), "{size}: {}", response.body.len());
        }
    }
    // Replaced, then deleted, while the client is taking it.
    let mut client = site.gateway.client().await;
    client.send("GET /web/3000000.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    stop.store(true, SeqCst);
    writer.join().expect("written");
    fs::remove_file(site.root().join("3000000.bin")).expect("removed");
    let body = soon(read_body(&mut client.socket, &mut client.buffer, &head.head)).await.expect("whole");
    assert!(is_uniform(&String::from_utf8_lossy(&body), 3_000_000));
}

#[tokio::test]
async fn a_file_that_gets_shorter_breaks_off() {
    let site = site().await;
    // More than sockets hold.
    let path = site.root().join("big.bin");
    uniform(&path, b'x', 64 << 20);
    let mut client = site.gateway.client().await;
    client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a head").header("content-length"), Some("67108864"));
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("cut");
    let mut rest = Vec::new();
    let _ended = soon(client.socket.read_to_end(&mut rest)).await;
    assert!(rest.len() < 64 << 20);
}

#[tokio::test]
async fn requests_for_files_are_counted_to_their_end() {
    let site = site().await;
    uniform(&site.root().join("big.bin"), b'x', 64 << 20);
    let mut client = Client::connect(site.gateway.address).await;
    client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(read_head(&mut client.socket, &mut client.buffer)).await.expect("a head");
    let stats = || site.gateway.stats.snapshot();
    assert_eq!((stats().in_flight, stats().responses, stats().decisions), (1, [0, 1, 0, 0, 0], [0, 1, 0]));
    // The client goes away in the middle.
    drop(client);
    until("the request to end", || stats().in_flight == 0).await;
    assert_eq!(site.get("/web/missing.js").await.status, 404);
    assert_eq!(site.get("/web/assets").await.status, 308);
    until("all to end", || stats().in_flight == 0).await;
    assert_eq!((stats().responses, stats().no_route), ([0, 1, 1, 1, 0], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_downloads_hold_up_nobody() {
    let backend = Backend::named("v1").await;
    let site = Arc::new(Site::new(&backend));
    uniform(&site.root().join("big.bin"), b'x', 64 << 20);
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut client = site.gateway.client().await;
        client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.expect("a head").status, 200);
        slow.push(client);
    }
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let site = Arc::clone(&site);
            spawn(async move {
                for _ in 0..25 {
                    assert_eq!(site.gateway.get("").await.body, "v1");
                    assert_eq!(site.get("/web/app.js").await.body, "0123456789");
                }
            })
        })
        .collect();
    for asked in asking {
        soon(asked).await.expect("answered");
    }
    until("only the slow ones to be left", || site.gateway.stats.snapshot().in_flight == 16).await;
    assert_eq!(backend.seen().len(), 200);
    drop(slow);
    until("the downloads to end", || site.gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn a_drain_lets_a_download_finish() {
    let site = site().await;
    uniform(&site.root().join("big.bin"), b'x', 16 << 20);
    let mut client = site.gateway.client().await;
    client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    let Site { gateway, dir } = site;
    let shutdown = spawn(gateway.workers.shutdown(std::time::Duration::from_secs(10)));
    let body = soon(read_body(&mut client.socket, &mut client.buffer, &head.head)).await.expect("whole");
    assert_eq!(body.len(), 16 << 20);
    assert_eq!(soon(shutdown).await.expect("ended"), 0);
    drop(dir);
}
