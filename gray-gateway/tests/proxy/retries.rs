//! The filter `Retry`: who is asked once more.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::{Backend, Setup};

/// Answers 503 so often, then 200.
async fn failing(times: usize) -> Backend {
    let asked = AtomicUsize::new(0);
    Backend::serving(move |_| {
        let status = if asked.fetch_add(1, SeqCst) < times { "503 Busy" } else { "200 OK" };
        (format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"), true)
    })
    .await
}

/// Where there is no other instance, the same one is asked again, as in Spring; and so is one that the route names itself.
#[tokio::test]
async fn the_only_one_is_asked_again() {
    for (uri, times, status, asked) in [("lb", 2, 200, 3), ("lb", 3, 503, 3), ("http", 2, 200, 3), ("http", 3, 503, 3)]
    {
        let backend = failing(times).await;
        let uri = if uri == "lb" { "lb://app".to_owned() } else { format!("http://{}", backend.address) };
        let routes = format!("[{{ id: app, uri: '{uri}', predicates: ['Path=/**'], filters: ['Retry=2'] }}]");
        let gateway = Setup::with_routes(&routes, &[backend.instance("V1")]).start();
        assert_eq!((gateway.get("").await.status, backend.seen().len()), (status, asked), "{uri} {times}");
    }
}

/// Another one of the same kind comes first, and another kind never.
#[tokio::test]
async fn another_one_is_asked_first() {
    let (one, other, gray) = (failing(9).await, failing(9).await, failing(0).await);
    let routes = "[{ id: app, uri: 'lb://app', predicates: ['Path=/**'], filters: ['Retry=1'] }]";
    let instances = [one.instance("V1"), other.instance("V1"), gray.instance("V2")];
    let gateway = Setup::with_routes(routes, &instances).start();
    assert_eq!(gateway.get("").await.status, 503);
    assert_eq!((one.seen().len(), other.seen().len(), gray.seen().len()), (1, 1, 0));
}
