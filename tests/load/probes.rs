//! A thousand requests at the moment that a circuit lets one through.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::alone;
use crate::support::client::head;
use crate::support::{Connection, Reply, Upstream, gateway};

const CLIENTS: usize = 1_000;
const COOLDOWN: Duration = Duration::from_secs(2);

/// Lets this process, and what it starts, have a socket for each of them.
fn allow_sockets() {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &std::process::id().to_string(), "--nofile=4096:"]);
    assert!(prlimit.status().unwrap().success());
}

#[test]
fn of_a_thousand_requests_at_once_one_is_the_probe() {
    let _turn = alone();
    allow_sockets();
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let upstream = Upstream::with(move |_| match is_well.load(Ordering::SeqCst) {
        false => Reply::status(500, "broken"),
        true => {
            // Until everybody has been told.
            std::thread::sleep(Duration::from_secs(3));
            Reply::ok()
        }
    });
    let gateway = gateway(format!(
        "routes: [{{ path: /, target: {}, breaker: {{ cooldown: {}s }} }}]\n",
        upstream.url(),
        COOLDOWN.as_secs()
    ));
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| gateway.connect()).collect();
    (0..3).for_each(|_| assert_eq!(gateway.get("/").status, 500));
    let open = Instant::now();
    well.store(true, Ordering::SeqCst);
    std::thread::sleep((open + COOLDOWN).saturating_duration_since(Instant::now()));
    let request = head("GET", "/", &[]);
    std::thread::scope(|scope| {
        for some in clients.chunks_mut(CLIENTS / 8) {
            scope.spawn(|| {
                for client in some {
                    client.send(&request);
                }
            });
        }
    });
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answer(false)).collect();
    let (good, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((good.len(), refused.len(), upstream.received().len()), (1, CLIENTS - 1, 3 + 1));
    for answer in refused {
        answer.is_problem(503, "no_target_available");
    }
    assert_eq!(gateway.states(), ["CLOSED"]);
}
