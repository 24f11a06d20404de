//! Which route takes a request, and by what it is known.

use serde_json::json;

use crate::support::{Gateway, Redis, Upstream, eventually, gateway};

/// Has the config replaced and read.
fn reload(gateway: &Gateway, config: &str) {
    let generation = gateway.stats()[0]["configGeneration"].as_u64().unwrap();
    gateway.configure(config);
    gateway.signal(libc::SIGHUP);
    eventually("the config to be read", || {
        (gateway.stats()[0]["configGeneration"].as_u64().unwrap() > generation).then_some(())
    });
}

#[test]
fn a_route_that_is_elsewhere_keeps_its_counts_and_limits_by_its_name() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let named = |name: &str, path: &str| {
        let limit = "rateLimit: { max: 3, window: 60 }";
        format!("  - {{ name: {name}, path: {path}, targets: {}, plugins: {{ {limit} }} }}\n", upstream.url())
    };
    let config = |routes: &[String]| format!("redis: {{ url: {} }}\nroutes:\n{}", redis.url(), routes.concat());
    let gateway = gateway(config(&[named("one", "/a"), named("two", "/b")]));
    assert_eq!([(); 2].map(|()| gateway.get("/a").status), [200; 2]);
    assert_eq!(redis.count("aegis:rl:{127.0.0.1}:one"), 2, "the name is in the key");

    reload(&gateway, &config(&[named("two", "/a"), named("one", "/v2/a")]));
    assert_eq!([(); 2].map(|()| gateway.get("/v2/a").status), [200, 429], "two of three are used up");
    assert_eq!([(); 3].map(|()| gateway.get("/a").status), [200; 3], "another one has the path, and has not been used");
    let rows = eventually("all to be counted", || {
        let rows = gateway.stats();
        (rows[0]["route"]["requests"] == 3 && rows[1]["route"]["requests"] == 4).then_some(rows)
    });
    assert_eq!((&rows[0]["route"]["name"], &rows[1]["route"]["name"]), (&json!("two"), &json!("one")));
    assert_eq!((&rows[1]["path"], &rows[1]["rateLimit"]["allowed"]), (&json!("/v2/a"), &json!(3)));
    gateway.said("routes: two changed; routes: one changed; routes: in another order");
}

#[test]
fn lines_of_the_log_say_which_route_it_was_where_its_path_does_not() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes: [{{ name: own, path: /a, targets: {0} }}, {{ path: /b, targets: {0} }}]\n",
        upstream.url()
    ));
    for (path, id) in [("/a/1", "named"), ("/b/1", "plain")] {
        gateway.request("GET", path, &[("X-Request-ID", id)]);
    }
    assert!(gateway.log_line("[named]").ends_with("ms) [named] route=own"));
    assert!(gateway.log_line("[plain]").ends_with("ms) [plain]"));
}
