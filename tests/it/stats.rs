//! `/gateway/*`.

use crate::support::{Reply, Upstream, eventually, gateway, nobody};

#[test]
fn stats_have_a_row_for_each_route_and_target_in_config_order() {
    let (a, b) = (Upstream::start(), Upstream::failing());
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /two, targets: [{1}, {0}] }}\n  - {{ path: /one, target: {0}, plugins: {{ rateLimit: {{ max: 9, window: 60 }} }} }}\n",
        a.url(),
        b.url()
    ));
    let response = gateway.get("/gateway/stats");
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let members =
        [r#""path":"/two""#, &format!(r#""targetUrl":"{}""#, b.url()), r#""failures":0"#, r#""state":"CLOSED""#]
            .join(",");
    assert!(response.text().starts_with(&format!("[{{{members},")), "{}", response.text());
    let rows = gateway.stats();
    let order: Vec<_> =
        rows.iter().map(|row| (row["path"].as_str().unwrap(), row["targetUrl"].as_str().unwrap())).collect();
    assert_eq!(order, [("/two", b.url().as_str()), ("/two", a.url().as_str()), ("/one", a.url().as_str())]);
    assert_eq!((&rows[0]["rateLimit"], &rows[2]["rateLimit"]["store"]), (&serde_json::Value::Null, &"memory".into()));
}

#[test]
fn a_row_tells_why_its_circuit_is_open() {
    let upstream = Upstream::with(|_| Reply::status(502, "x"));
    let gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    for _ in 0..3 {
        gateway.request("GET", "/", &[("X-Request-ID", "the-culprit")]);
    }
    let row = &gateway.stats()[0];
    assert_eq!(
        (&row["state"], &row["failures"], &row["trips"], &row["requests"]),
        (&"OPEN".into(), &3.into(), &1.into(), &3.into())
    );
    assert_eq!(
        (&row["lastFailure"]["cause"], &row["lastFailure"]["requestId"]),
        (&"status 502".into(), &"the-culprit".into())
    );
    let time = |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let cooldown = time(&row["retryAt"]).duration_since(time(&row["since"]));
    assert!((59_990..=60_010).contains(&cooldown.as_millis()), "{cooldown:?}");
    assert!(time(&row["lastFailure"]["at"]).duration_since(time(&row["since"])).as_millis().abs() < 1_000);
}

#[test]
fn live_and_ready_answer_and_the_rest_of_gateway_is_closed() {
    let gateway = gateway(format!("routes: [{{ path: /, target: 'http://{}' }}]\n", nobody()));
    for target in ["/gateway/livez", "/gateway/readyz"] {
        assert_eq!((gateway.get(target).status, gateway.get(target).text()), (200, "ok\n"));
    }
    for target in ["/gateway", "/gateway/", "/gateway/nothing", "/gateway/stats/x"] {
        gateway.get(target).is_problem(404, "no_route");
    }
    let refused = gateway.request("POST", "/gateway/stats", &[("Content-Length", "0")]);
    refused.is_problem(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    // Every route has its own prefix; `/gatewayx` is not ours.
    gateway.get("/gatewayx").is_problem(502, "upstream_connect_failed");
}

#[test]
fn a_row_tells_how_requests_of_its_route_ended_and_how_long_its_target_took() {
    let slow = Upstream::with(|request| match request.path() {
        "/users/slow" => {
            std::thread::sleep(std::time::Duration::from_millis(80));
            Reply::ok()
        }
        "/users/broken" => Reply::status(500, "x"),
        "/users/reset" => Reply::Reset(Vec::new()),
        "/users/gone" => Reply::status(404, "x"),
        _ => Reply::ok(),
    });
    let gateway = gateway(format!(
        "routes: [{{ path: /users, target: {}, concurrency: 7, plugins: {{ auth: true, rateLimit: {{ max: 27, window: 600 }} }} }}]\n",
        slow.url()
    ));
    assert_eq!(gateway.stats()[0]["latency"], serde_json::Value::Null);
    for (target, times) in [("/users/a", 19), ("/users/slow", 1), ("/users/gone", 3), ("/users/broken", 2)] {
        (0..times).for_each(|_| drop(gateway.get_as("ann", target)));
    }
    assert_eq!(gateway.get_as("ann", "/users/reset").status, 502);
    assert_eq!((gateway.get("/users").status, gateway.get_as("ann", "/users").status), (401, 503));
    assert_eq!(gateway.get_as("ann", "/users").status, 429);
    let row = eventually("the last request is counted", || {
        Some(gateway.stats().swap_remove(0)).filter(|row| row["route"]["requests"] == 29)
    });
    let expected = serde_json::json!({
        "name": "/users", "requests": 29, "ok": 20, "unauthorized": 1, "notFound": 3, "rateLimited": 1, "noTarget": 1,
        "upstreamErrors": 2, "failed": 1, "retries": { "made": 0, "denied": 0 }
    });
    assert_eq!((&row["route"], &row["concurrencyLimit"]), (&expected, &7.into()));
    let latency = |name: &str| row["latency"][name].as_f64().unwrap();
    assert_eq!(row["latency"]["count"], 25, "{row}");
    assert!(latency("p50") < 50.0 && latency("p99") >= 80.0 && latency("p95") <= latency("p99"), "{row}");
}
