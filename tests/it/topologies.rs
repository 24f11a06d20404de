//! Every kind of Redis that limits can be shared through: TLS, passwords, sentinels, clusters, Valkey.

use std::time::{Duration, Instant};

use crate::limits::{passed, statuses};
use crate::outages::store_of;
use crate::support::{
    Certificates, Cluster, Gateway, Redis, Reply, Sentinels, Upstream, eventually, gateway, nobody, tls_sentinel,
};

/// Two gateways with a limit of ten, and `redis` as the block. Gives how many of thirty requests they let pass.
fn shared(upstream: &Upstream, redis: &str) -> usize {
    let gateways = [(); 2].map(|()| sharing(upstream, redis, 10));
    gateways.iter().for_each(is_shared);
    gateways.iter().map(|gateway| passed(&statuses(gateway, 15))).sum()
}

/// One with a limit of `max` an hour.
fn sharing(upstream: &Upstream, redis: &str, max: u32) -> Gateway {
    gateway(format!(
        "redis: {{ {redis}, timeout: 2s }}\ntrustedProxies: [127.0.0.1]\n\
         routes: [{{ path: /users, target: '{}', plugins: {{ rateLimit: {{ max: {max}, window: 1h }} }} }}]\n",
        upstream.url()
    ))
}

fn is_shared(gateway: &Gateway) {
    eventually("limits to be shared", || (store_of(gateway) == "redis").then_some(()));
}

fn reason(gateway: &Gateway) -> String {
    gateway.stats()[0]["rateLimit"]["reason"].as_str().unwrap_or("-").to_owned()
}

#[test]
fn a_password_and_a_user_of_its_own() {
    let upstream = Upstream::start();
    let redis = Redis::start_with(
        &[
            &["--requirepass", "hunter2"][..],
            &["--user", "limits", "on", ">pa/ss", "~aegis:rl:*", "+eval", "+evalsha", "+get", "+set", "+time"],
        ]
        .concat(),
    );
    let at = redis.address;
    assert_eq!(shared(&upstream, &format!("url: 'redis://:hunter2@{at}'")), 10);
    redis.run(&["FLUSHALL"]);
    assert_eq!(shared(&upstream, &format!("url: 'redis://limits:pa%2Fss@{at}'")), 10);
    let wrong = sharing(&upstream, &format!("url: 'redis://limits:hunter3@{at}'"), 10);
    assert_eq!((passed(&statuses(&wrong, 15)), &*store_of(&wrong)), (10, "memory"));
    assert!(reason(&wrong).contains("WRONGPASS") || reason(&wrong).contains("authenticat"), "{}", reason(&wrong));
    for said in [wrong.stderr(), format!("{:?}", wrong.stats())] {
        assert!(!said.contains("hunter"), "{said}");
    }
}

#[test]
fn tls_with_an_authority_of_our_own_and_a_client_certificate() {
    let upstream = Upstream::start();
    for asks_for_certificate in [false, true] {
        let (_redis, tls) = Redis::start_tls(&["--tls-auth-clients", if asks_for_certificate { "yes" } else { "no" }]);
        let Certificates { ca, client_cert, client_key, .. } = &tls.certificates;
        let url = format!("url: '{}', caFile: '{}'", tls.url(), ca.display());
        let client = format!("{url}, certFile: '{}', keyFile: '{}'", client_cert.display(), client_key.display());
        let right = if asks_for_certificate { &client } else { &url };
        assert_eq!(shared(&upstream, right), 10, "{asks_for_certificate}");
        // A server that others vouch for, or one that wants more than it gets, is not Redis to us.
        let stranger = Certificates::make();
        let other = format!("url: '{}', caFile: '{}'", tls.url(), stranger.ca.display());
        let system = format!("url: '{}'", tls.url());
        let wrong = if asks_for_certificate { [&url, &other] } else { [&system, &other] };
        for wrong in wrong {
            let gateway = sharing(&upstream, wrong, 10);
            assert_eq!((passed(&statuses(&gateway, 15)), &*store_of(&gateway)), (10, "memory"), "{wrong}");
        }
    }
}

#[test]
fn valkey() {
    let (upstream, valkey) = (Upstream::start(), Redis::start_valkey());
    assert!(valkey.run(&["INFO", "server"]).contains("valkey_version"));
    assert_eq!(shared(&upstream, &format!("url: 'valkey://{}'", valkey.address)), 10);
}

#[test]
fn sentinels_say_who_the_primary_is_and_who_is_next() {
    let upstream = Upstream::start();
    let mut set = Sentinels::start();
    assert_eq!(shared(&upstream, &format!("url: '{}'", set.url())), 10);
    let gateway = sharing(&upstream, &format!("url: '{}'", set.url()), 1_000);
    is_shared(&gateway);
    let primary = set.primary().address;
    assert!(set.primary().run(&["KEYS", "*"]).contains("aegis:rl:{127.0.0.1}:/users"));
    set.kill_primary();
    eventually("the other to be primary", || (set.primary().address != primary).then_some(()));
    is_shared(&gateway);
    assert_eq!(passed(&statuses(&gateway, 5)), 5);
    assert!(set.primary().count("aegis:rl:{127.0.0.1}:/users") >= 5);
}

/// The old primary lives on, for a while as if it still were one: what it counts would be lost.
#[test]
fn a_primary_that_is_replaced_is_left_within_a_second() {
    let upstream = Upstream::start();
    let set = Sentinels::start();
    let gateway = sharing(&upstream, &format!("url: '{}'", set.url()), 100_000);
    is_shared(&gateway);
    set.fail_over();
    let (start, primary) = (Instant::now(), set.primary());
    let before = primary.calls("evalsha") + primary.calls("eval");
    eventually("the new primary to count", || {
        assert_eq!(gateway.get("/users").status, 200);
        (primary.calls("evalsha") + primary.calls("eval") > before + 5 && store_of(&gateway) == "redis").then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    set.await_health();
    assert_eq!((gateway.get("/users").status, &*store_of(&gateway)), (200, "redis"));
}

/// One that is told to be a replica keeps its connections, and answers every write with an error.
#[test]
fn a_server_that_may_not_write_is_not_shared() {
    let upstream = Upstream::start();
    let (primary, demoted) = (Redis::start(), Redis::start());
    let gateway = sharing(&upstream, &format!("url: '{}'", demoted.url()), 10);
    is_shared(&gateway);
    demoted.order(&["REPLICAOF", "127.0.0.1", &primary.address.port().to_string()]);
    assert_eq!(passed(&statuses(&gateway, 15)), 10, "counted here");
    assert_eq!(store_of(&gateway), "memory");
    demoted.order(&["REPLICAOF", "NO", "ONE"]);
    is_shared(&gateway);
}

#[test]
fn sentinels_and_nodes_with_passwords_and_a_sentinel_that_is_gone() {
    let upstream = Upstream::start();
    let mut set = Sentinels::start_with(Some("data"), Some("watch"));
    set.sentinels[0].kill();
    let url = set.url().replace("redis+sentinel://", "redis+sentinel://:data@");
    assert_eq!(shared(&upstream, &format!("url: '{url}?sentinelPassword=watch'")), 10);
}

#[test]
fn sentinels_and_their_primary_by_tls() {
    let upstream = Upstream::start();
    let (_primary, tls) = Redis::start_tls(&["--tls-auth-clients", "no", "--tls-replication", "yes"]);
    let (_sentinel, url) = tls_sentinel(&tls);
    assert_eq!(shared(&upstream, &format!("url: '{url}', caFile: '{}'", tls.certificates.ca.display())), 10);
    let stranger = Certificates::make();
    let wrong = sharing(&upstream, &format!("url: '{url}', caFile: '{}'", stranger.ca.display()), 10);
    assert_eq!((passed(&statuses(&wrong, 15)), &*store_of(&wrong)), (10, "memory"));
}

#[test]
fn a_cluster_is_one_limit_whichever_node_is_asked_first() {
    let upstream = Upstream::start();
    let cluster = Cluster::start();
    let [first, last] = [cluster.nodes[0].url(), cluster.nodes[5].url()];
    let gateways = [
        sharing(&upstream, &format!("cluster: ['{first}']"), 10),
        sharing(&upstream, &format!("cluster: ['{last}']"), 10),
    ];
    gateways.iter().for_each(is_shared);
    // Clients whose keys are on all three primaries.
    let mut owners: Vec<usize> = Vec::new();
    for n in 1..=12 {
        let ip = format!("203.0.113.{n}");
        let ask = |gateway: &Gateway| gateway.request("GET", "/users", &[("X-Forwarded-For", &ip)]).status;
        let statuses: Vec<u16> = (0..14).map(|turn| ask(&gateways[turn % 2])).collect();
        assert_eq!(passed(&statuses), 10, "{ip}");
        owners.push(cluster.primary_of(&format!("aegis:rl:{{{ip}}}:/users")));
    }
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners, [0, 1, 2]);
    let nodes = gateways[0].stats()[0]["rateLimit"]["redis"].as_array().unwrap().len();
    assert_eq!(nodes, 3, "the primaries");
}

#[test]
fn a_slot_that_is_on_its_way_counts_on() {
    let upstream = Upstream::start();
    let cluster = Cluster::start();
    let gateway = sharing(&upstream, &format!("cluster: ['{}']", cluster.nodes[1].url()), 1_000);
    is_shared(&gateway);
    let key = "aegis:rl:{127.0.0.1}:/users";
    let (slot, from) = (cluster.slot_of(key), cluster.primary_of(key));
    let to = (from + 1) % 3;
    let count = |node: usize| cluster.nodes[node].count(key);
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    cluster.begin_move(slot, from, to);
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    assert_eq!(count(from), 6, "the key is where it was");
    cluster.move_keys(slot, from, to);
    // Whoever asks is sent on, and asks there.
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    cluster.finish_move(slot, from, to);
    assert_eq!(count(to), 9);
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    assert_eq!(count(to), 12);
    assert_eq!(store_of(&gateway), "redis");
}

#[test]
fn a_cluster_with_tls_and_a_password_counts_what_requests_have_cost() {
    let upstream =
        Upstream::with(|_| Reply::Bytes(b"HTTP/1.1 200 OK\r\nX-Cost: 4\r\nContent-Length: 0\r\n\r\n".to_vec()));
    // All of it in one node.
    let bus = nobody().port().to_string();
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    // Who may do no more than the README says.
    let user = ["--user", "limits", "on", ">hunter2", "~aegis:rl:*", "+eval", "+evalsha", "+get", "+set", "+time"];
    let user = [&user[..], &["+cluster|slots", "+asking"]].concat();
    let (node, tls) = Redis::start_tls(&[&["--tls-auth-clients", "no"][..], &cluster, &user].concat());
    node.order(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let gateway = gateway(format!(
        "redis: {{ cluster: ['rediss://limits:hunter2@{}'], caFile: '{}', timeout: 2s }}\n\
         routes: [{{ path: /users, target: '{}', plugins: {{ rateLimit: {{ max: 10, window: 1h, cost: {{ responseHeader: x-cost }} }} }} }}]\n",
        tls.address,
        tls.certificates.ca.display(),
        upstream.url()
    ));
    is_shared(&gateway);
    assert_eq!(passed(&statuses(&gateway, 1)), 1);
    let key = "aegis:rl:{127.0.0.1}:/users";
    eventually("the cost to be counted", || (node.count(key) == 4).then_some(()));
}

#[test]
fn a_node_that_knows_of_no_cluster_is_passed_over() {
    let upstream = Upstream::start();
    let cluster = Cluster::start();
    let stranger = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &nobody().port().to_string()]);
    let block = format!("cluster: ['{}', '{}']", stranger.url(), cluster.nodes[0].url());
    assert_eq!(shared(&upstream, &block), 10);
}

/// A link is tried out by a key of its server. When that key's slot has gone elsewhere, another one has to do.
#[test]
fn a_node_that_has_lost_slots_is_connected_to_again() {
    let upstream = Upstream::start();
    let cluster = Cluster::start();
    let gateway = sharing(&upstream, &format!("cluster: ['{}']", cluster.nodes[0].url()), 1_000);
    is_shared(&gateway);
    let trial = (0..).map(|n| format!("aegis:rl:{{{n}}}:trial")).find(|key| cluster.primary_of(key) == 0).unwrap();
    let slot = cluster.slot_of(&trial);
    cluster.begin_move(slot, 0, 1);
    cluster.move_keys(slot, 0, 1);
    cluster.finish_move(slot, 0, 1);
    cluster.nodes[0].run(&["CLIENT", "KILL", "TYPE", "normal"]);
    // Whoever asks notices.
    let keys = (1..=20).map(|n| format!("203.0.113.{n}"));
    keys.for_each(|ip| assert_eq!(gateway.request("GET", "/users", &[("X-Forwarded-For", &ip)]).status, 200));
    is_shared(&gateway);
    gateway.said("limits are not shared");
}

/// While a node is away, its clients are counted here, all others there as before.
#[test]
fn a_primary_of_a_cluster_dies_and_its_replica_takes_over() {
    let upstream = Upstream::start();
    let mut cluster = Cluster::start();
    let gateway = sharing(&upstream, &format!("cluster: ['{}']", cluster.nodes[2].url()), 1_000);
    is_shared(&gateway);
    let key = "aegis:rl:{127.0.0.1}:/users";
    let dying = cluster.primary_of(key);
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    cluster.nodes[dying].kill();
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    let said = eventually("it to be noticed", || Some(store_of(&gateway)).filter(|store| store != "redis"));
    assert_eq!(said, "mixed");
    eventually("the replica to take over", || (cluster.primary_of(key) != dying).then_some(()));
    is_shared(&gateway);
    let owner = cluster.primary_of(key);
    let before = cluster.nodes[owner].calls("evalsha");
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    assert!(cluster.nodes[owner].calls("evalsha") > before);
}
