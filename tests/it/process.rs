//! The process: its end, its port, its threads.

use std::time::Duration;

use crate::support::{Reply, Upstream, aegis, eventually, gateway, nobody};

fn slow(millis: u64) -> Upstream {
    Upstream::with(move |_| {
        std::thread::sleep(Duration::from_millis(millis));
        Reply::ok()
    })
}

#[test]
fn sigterm_lets_requests_finish_says_not_ready_and_exits_0() {
    // One thread and several have different runtimes.
    [1, 2].into_iter().for_each(sigterm_lets_requests_finish);
}

fn sigterm_lets_requests_finish(threads: u32) {
    let upstream = slow(1_500);
    let config =
        format!("threads: {threads}\nshutdown: {{ drain: 1s }}\nroutes: [{{ path: /, target: {} }}]\n", upstream.url());
    let mut gateway = gateway(config);
    let (mut under_way, mut asking) = (gateway.connect(), gateway.connect());
    assert_eq!(asking.request("GET", "/gateway/readyz", &[]).status, 200);
    under_way.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the request to arrive", || upstream.received().first().map(|_| ()));
    gateway.signal(libc::SIGTERM);
    eventually("readyz to say so", || (gateway.get("/gateway/readyz").status == 503).then_some(()));
    assert_eq!(gateway.get("/gateway/livez").status, 200);
    assert_eq!(under_way.answer(false).status, 200, "the request under way was cut");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(gateway.stdout().contains("/slow → 200"), "its log line was lost");
}

#[test]
fn without_requests_the_end_comes_when_the_drain_is_over() {
    let mut gateway =
        gateway(format!("shutdown: {{ drain: 0s }}\nroutes: [{{ path: /, target: 'http://{}' }}]\n", nobody()));
    let start = std::time::Instant::now();
    gateway.signal(libc::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_second_sigterm_and_sigint_end_it_at_once() {
    for signals in [&[libc::SIGTERM, libc::SIGTERM][..], &[libc::SIGINT]] {
        let upstream = slow(10_000);
        let mut gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
        let mut under_way = gateway.connect();
        under_way.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        eventually("the request to arrive", || upstream.received().first().map(|_| ()));
        let start = std::time::Instant::now();
        for (nth, signal) in signals.iter().enumerate() {
            gateway.signal(*signal);
            if nth + 1 < signals.len() {
                eventually("it to be draining", || gateway.stderr().contains("draining").then_some(()));
            }
        }
        assert_eq!(gateway.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5), "{signals:?}: {:?}", start.elapsed());
    }
}

#[test]
fn a_second_sigterm_does_not_wait_for_requests_under_way() {
    let upstream = slow(10_000);
    let mut gateway =
        gateway(format!("shutdown: {{ drain: 0s }}\nroutes: [{{ path: /, target: {} }}]\n", upstream.url()));
    let mut under_way = gateway.connect();
    under_way.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the request to arrive", || upstream.received().first().map(|_| ()));
    let address = gateway.address;
    gateway.signal(libc::SIGTERM);
    eventually("the door to close", || std::net::TcpStream::connect(address).is_err().then_some(()));
    assert!(gateway.is_running(), "the request is still under way");
    let start = std::time::Instant::now();
    gateway.signal(libc::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// The process used to wait for a pipe that nobody reads, whatever the signal.
#[test]
fn a_log_that_nobody_reads_does_not_keep_it_from_ending() {
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    let file = command.get_current_dir().unwrap().join("aegis.yaml");
    std::fs::write(file, format!("listen: 127.0.0.1:0\nroutes: [{{ path: /, target: 'http://{}' }}]\n", nobody()))
        .unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut gateway = crate::support::Gateway::spawn_logging_to(command, writer);
    let path = format!("/{}", "x".repeat(4_000));
    // A pipe holds 64 KiB.
    for _ in 0..40 {
        gateway.get(&path);
    }
    gateway.signal(libc::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    drop(reader);
}

/// Whoever had a line for the log waited for that pipe, workers and the thread that hears signals among them.
#[test]
fn a_pipe_that_nobody_reads_keeps_nobody_waiting() {
    let (reader, writer) = std::io::pipe().unwrap();
    let address = nobody();
    let mut command = aegis(&["run", "-c", "aegis.yaml"]);
    let directory = command.get_current_dir().unwrap().to_owned();
    let configure = |more: &str| {
        let text = format!(
            "listen: {address}\nshutdown: {{ drain: 0s }}\n{more}routes: [{{ path: /, target: 'http://{}' }}]\n",
            nobody()
        );
        std::fs::write(directory.join("aegis.yaml"), text).unwrap();
    };
    configure("");
    let mut child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    // The command would hold the pipe open.
    drop(command);
    eventually("it to listen", || std::net::TcpStream::connect(address).ok());
    let path = format!("/{}", "x".repeat(4_000));
    let get = || crate::support::Connection::open(address).request("GET", &path, &[]).status;
    (0..40).for_each(|_| _ = get());
    // Each is a line.
    for nth in 0..5 {
        configure(&format!("trustedProxies: [10.0.0.{nth}]\n"));
        crate::support::gateway::send_signal(&child.id().to_string(), libc::SIGHUP);
        assert!(get() >= 500);
    }
    crate::support::gateway::send_signal(&child.id().to_string(), libc::SIGTERM);
    let ended = eventually("it to end", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    drop(reader);
}

#[test]
fn a_taken_port_is_one_line_that_names_it_and_its_holder() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    for (listens, setting) in [
        (format!("listen: 127.0.0.1:{port}"), "PORT (or listen:)"),
        (format!("listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:{port} }}"), "admin.listen"),
    ] {
        let mut command = aegis(&["run", "-c", "aegis.yaml"]);
        let file = command.get_current_dir().unwrap().join("aegis.yaml");
        std::fs::write(file, format!("{listens}\nroutes: [{{ path: /, target: 'http://127.0.0.1:1' }}]\n")).unwrap();
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&format!("port {port} is taken by")), "{said}");
        let advice = format!("(process {}); stop that process or set {setting} to another port", std::process::id());
        assert!(said.contains(&advice), "{said}");
    }
}

/// Shells and service managers begin with a low limit, and leave it to the program to ask for more.
#[test]
fn it_has_as_many_descriptors_as_it_may_have() {
    let upstream = Upstream::start();
    let command = aegis(&[]);
    let directory = command.get_current_dir().unwrap().to_owned();
    let config = format!("listen: 127.0.0.1:0\nroutes: [{{ path: /, target: {} }}]\n", upstream.url());
    std::fs::write(directory.join("aegis.yaml"), config).unwrap();
    let mut limited = std::process::Command::new("sh");
    let script = "ulimit -Hn 2000; ulimit -Sn 100; exec \"$0\" run -c aegis.yaml";
    limited.arg("-c").arg(script).arg(command.get_program()).current_dir(&directory);
    let gateway = crate::support::Gateway::spawn(limited);
    let mut clients: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.request("GET", "/", &[]).status, 200);
    }
}

#[test]
fn several_addresses_and_threads_serve_alike() {
    [1, 4].into_iter().for_each(several_addresses_serve_alike);
}

fn several_addresses_serve_alike(threads: u32) {
    let upstream = Upstream::start();
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    let file = command.get_current_dir().unwrap().join("aegis.yaml");
    std::fs::write(
        file,
        format!(
            "listen: [127.0.0.1:0, '[::1]:0']\nthreads: {threads}\nroutes: [{{ path: /, target: {} }}]\n",
            upstream.url()
        ),
    )
    .unwrap();
    let gateway = crate::support::Gateway::spawn(command);
    let said = gateway.stderr();
    let second = said.split("listening on http://").nth(2).unwrap().lines().next().unwrap().parse().unwrap();
    let mut v6 = crate::support::Connection::open(second);
    assert_eq!(v6.request("GET", "/", &[]).status, 200);
    assert_eq!(upstream.received().last().unwrap().header("x-forwarded-for"), Some("::1"));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                (0..50).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
            });
        }
    });
    assert_eq!(gateway.settled_stats()[0]["succeeded"], 801);
}
