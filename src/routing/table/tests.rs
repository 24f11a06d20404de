use std::collections::BTreeSet;

use super::*;
use crate::rng::Rng;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let pairs = fields.iter().map(|(name, value)| {
        let name: http::HeaderName = name.parse().expect("a name");
        (name, value.parse().expect("a value"))
    });
    pairs.collect()
}

fn table(routes: &[&str]) -> Table<String> {
    Table::new(routes.iter().map(|route| (route.parse().expect(route), (*route).to_owned())))
}

/// `GET host/path?field=value`: what takes it, or what would have to be its method.
fn find(table: &Table<String>, request: &str) -> Result<String, String> {
    let (method, rest) = request.split_once(' ').expect("a method");
    let (rest, fields) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = rest.split_at(rest.find('/').expect("a path"));
    let fields: Vec<_> = fields.split('&').filter_map(|field| field.split_once('=')).collect();
    let asked = Asked {
        authority: Some(host).filter(|host| !host.is_empty()).map(str::as_bytes),
        path,
        method: &method.parse().expect("a method"),
        headers: &headers(&fields),
    };
    table.find(&asked).cloned().map_err(|miss| miss.allow.to_string())
}

#[test]
fn the_longest_prefix_on_whole_segments_wins() {
    let table = table(&["/users", "/users/admin", "/v1/a/b"]);
    for (path, route) in [
        ("/users", Some("/users")),
        ("/users/", Some("/users")),
        ("/users/7", Some("/users")),
        ("/users/7/8/9/10", Some("/users")),
        ("/users-old", None),
        ("/usersx/7", None),
        ("/users/admin", Some("/users/admin")),
        ("/users/admin/x", Some("/users/admin")),
        ("/users/administrator", Some("/users")),
        ("/v1/a", None),
        ("/v1/a/b/c", Some("/v1/a/b")),
        ("/", None),
        ("/Users", None),
    ] {
        assert_eq!(find(&table, &format!("GET {path}")).ok().as_deref(), route, "{path}");
    }
}

#[test]
fn a_route_for_the_root_takes_the_rest() {
    let all = table(&["/", "/users"]);
    for (path, route) in [("/", "/"), ("/anything/else", "/"), ("/users/7", "/users")] {
        assert_eq!(find(&all, &format!("GET {path}")), Ok(route.to_owned()));
    }
    assert_eq!(find(&table(&[]), "GET /x"), Err(String::new()));
}

#[test]
fn what_is_more_particular_comes_first_and_what_does_not_fit_is_passed_over() {
    let table = table(&[
        "/",
        "/a",
        "*.example.com/",
        "*.eu.example.com/",
        "api.eu.example.com/a",
        "api.eu.example.com,other.example/a/b",
        "GET|/m",
        "/m?x=1&y",
        "POST|/m?x=1",
        "POST|/m",
    ]);
    for (request, route) in [
        ("GET api.eu.example.com/a/b", "api.eu.example.com,other.example/a/b"),
        ("GET OTHER.Example.:8080/a/b", "api.eu.example.com,other.example/a/b"),
        ("GET api.eu.example.com/a", "api.eu.example.com/a"),
        ("GET api.eu.example.com/c", "*.eu.example.com/"),
        ("GET x.y.eu.example.com/a", "*.eu.example.com/"),
        ("GET eu.example.com/a", "*.example.com/"),
        ("GET a.b.c.d.example.com/a", "*.example.com/"),
        ("GET example.com/a/x", "/a"),
        ("GET xeu.example.com.evil/c", "/"),
        ("GET other.example/a", "/a"),
        ("GET /a", "/a"),
        ("GET /m", "GET|/m"),
        ("HEAD /m", "GET|/m"),
        ("GET /m?x=1&y=2", "GET|/m"),
        ("POST /m?x=1&y=2", "POST|/m?x=1"),
        ("POST /m?x=2", "POST|/m"),
        ("PUT /m?x=1&y=2", "/m?x=1&y"),
        ("PUT /m?x=1", "/"),
    ] {
        assert_eq!(find(&table, request), Ok(route.to_owned()), "{request}");
    }
}

#[test]
fn a_miss_says_with_which_methods_it_would_be_none() {
    let table = table(&["GET|/a", "DELETE|x.example/a", "PUT|/a/b", "POST|/a?v=2", "HEAD|/h", "GET|/h"]);
    for (request, allow) in [
        ("POST /a", "GET, HEAD"),
        ("POST x.example/a/b/c", "GET, HEAD, PUT, DELETE"),
        ("PATCH /a?v=2", "GET, HEAD, POST"),
        ("POST /b", ""),
        ("POST /h", "GET, HEAD"),
    ] {
        assert_eq!(find(&table, request), Err(allow.to_owned()), "{request}");
    }
}

#[test]
fn head_goes_where_get_goes_unless_somebody_asks_for_it_by_name() {
    let table = table(&["GET|/a", "HEAD|/a", "GET|/a?v=2", "GET|/b", "HEAD|/", "GET|x.example/a"]);
    for (request, route) in [
        ("HEAD /a", "HEAD|/a"),
        ("GET /a", "GET|/a"),
        ("HEAD /a?v=2", "GET|/a?v=2"),
        ("HEAD /b", "GET|/b"),
        ("HEAD x.example/a", "GET|x.example/a"),
        ("HEAD /c", "HEAD|/"),
    ] {
        assert_eq!(find(&table, request), Ok(route.to_owned()), "{request}");
    }
}

#[test]
fn long_paths_and_hosts_cost_no_more_than_the_table_is_deep() {
    let table = table(&["/a/a", "*.b.example/x"]);
    let path = format!("GET {}", "/a".repeat(30_000));
    assert_eq!(find(&table, &path), Ok("/a/a".to_owned()));
    let host = format!("GET {}b.example/a/a", "a.".repeat(30_000));
    assert_eq!(find(&table, &host), Ok("/a/a".to_owned()), "no host is as long");
}

/// The rules as they are written, on every route in turn.
fn reference(routes: &[Matcher], asked: &Asked<'_>) -> Result<usize, Methods> {
    let host = asked.authority.and_then(host::of);
    let below = |path: &str| {
        let rest = asked.path.strip_prefix(path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut fits = Vec::new();
    let mut allow = Methods::NONE;
    for (place, route) in routes.iter().enumerate() {
        for pattern in route.each_host() {
            let near = match (pattern, &host) {
                (None, _) => 0,
                (Some(HostPattern::Exact(name)), Some(host)) if name == host => usize::MAX,
                (Some(HostPattern::Below(name)), Some(host)) if host.ends_with(&format!(".{name}")) => name.len(),
                _ => continue,
            };
            if !below(&route.path) || !route.fields.iter().all(|field| field.takes(asked.headers)) {
                continue;
            }
            let own = Methods::only(asked.method);
            let is_implied = own == Methods::HEAD
                && route.methods.is_some_and(|methods| methods.has(Methods::GET) && !methods.has(own));
            if let Some(methods) = route.methods.filter(|methods| !methods.has(own) && !is_implied) {
                let head = if methods.has(Methods::GET) { Methods::HEAD } else { Methods::NONE };
                allow = allow.or(methods).or(head);
                continue;
            }
            let path = route.path.trim_end_matches('/').len();
            fits.push((near, path, route.methods.is_some(), route.fields.len(), !is_implied, usize::MAX - place));
        }
    }
    fits.into_iter().max().map(|best| usize::MAX - best.5).ok_or(allow)
}

fn some<'w>(rng: &mut Rng, words: &[&'w str], most: u64) -> BTreeSet<&'w str> {
    (0..rng.below(most + 1)).map(|_| words[rng.below(words.len() as u64) as usize]).collect()
}

fn one<'w>(rng: &mut Rng, words: &[&'w str]) -> &'w str {
    words[rng.below(words.len() as u64) as usize]
}

#[test]
fn the_table_finds_what_a_look_at_every_route_finds() {
    const HOSTS: [&str; 7] = ["a.x", "b.x", "a.b.x", "*.x", "*.b.x", "*.a.b.x", "x"];
    const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/a/b/c", "/b", "/ab", "/a/bc", "/c"];
    const FIELDS: [&str; 6] = ["p", "p=1", "p=1*", "q", "q=2", "r=~"];
    const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];
    let list = |words: BTreeSet<&str>, between: &str| words.into_iter().collect::<Vec<_>>().join(between);
    let (mut found, mut missed) = (0, 0);
    for seed in 0..250 {
        let mut rng = Rng::seeded(seed);
        let routes: Vec<Matcher> = (0..1 + rng.below(24))
            .map(|_| {
                let methods = list(some(&mut rng, &METHODS, 2), ",");
                let hosts = list(some(&mut rng, &HOSTS, 2), ",");
                let by_name: std::collections::BTreeMap<&str, &str> =
                    some(&mut rng, &FIELDS, 2).into_iter().map(|field| (&field[..1], field)).collect();
                let fields = by_name.into_values().collect::<Vec<_>>().join("&");
                let bar = if methods.is_empty() { "" } else { "|" };
                let text = format!("{methods}{bar}{hosts}{}?{fields}", one(&mut rng, &PATHS));
                text.parse().expect(&text)
            })
            .collect();
        let table = Table::new(routes.iter().cloned().zip(0..));
        for _ in 0..200 {
            let authority =
                one(&mut rng, &["a.x", "A.X:80", "b.x.", "c.a.b.x", "a.b.x", "x", "y", "d.c.x", "", "x..", "[::1]"]);
            let sent = [("p", one(&mut rng, &["1", "12", "3", ""])), ("q", one(&mut rng, &["2", "3", ""])), ("r", "~")];
            let fields: Vec<_> = sent.into_iter().filter(|_| rng.below(2) == 0).collect();
            let asked = Asked {
                authority: Some(authority.as_bytes()).filter(|authority| !authority.is_empty()),
                path: one(&mut rng, &["/", "/a", "/a/", "/a/b", "/a/b/c/d", "/ab", "/b/a", "/c/x/y/z", "/d"]),
                method: &one(&mut rng, &["GET", "HEAD", "POST", "PUT", "DELETE"]).parse().expect("a method"),
                headers: &headers(&fields),
            };
            let expected = reference(&routes, &asked);
            assert_eq!(
                table.find(&asked).copied().map_err(|miss| miss.allow),
                expected,
                "seed {seed}: {asked:?}\n{routes:#?}"
            );
            if expected.is_ok() {
                found += 1
            } else {
                missed += 1
            }
            // What is said of a route to those who ask is what a table of it alone does.
            let matcher = &routes[rng.below(routes.len() as u64) as usize];
            let takes = Table::new([(matcher.clone(), ())]).find(&asked).is_ok();
            let said = matcher.is_over(asked.path) && matcher.lack(&asked).is_none();
            assert_eq!(said, takes, "seed {seed}: {asked:?} {}", matcher.text());
        }
    }
    assert!(found > 10_000 && missed > 5_000, "{found} {missed}");
}

/// What the config's check says of routes is true of the table: a route takes something if and only if it is in nobody's shadow.
#[test]
fn a_route_in_a_shadow_takes_nothing_and_every_other_takes_something() {
    use crate::routing::matcher::shadows;
    const HOSTS: [&str; 4] = ["", "a.x", "*.x", "a.x,b.x"];
    const FIELDS: [&str; 5] = ["", "p", "p=1", "p=1*", "p=1&q"];
    const METHODS: [&str; 5] = ["", "GET|", "HEAD|", "GET,POST|", "POST|"];
    for seed in 0..500 {
        let mut rng = Rng::seeded(seed);
        let mut text = || {
            let (methods, host) = (one(&mut rng, &METHODS), one(&mut rng, &HOSTS));
            format!("{methods}{host}/{}?{}", one(&mut rng, &["", "a"]), one(&mut rng, &FIELDS))
        };
        let routes: Vec<Matcher> = (0..5).map(|_| text().parse().expect("a matcher")).collect();
        let table = Table::new(routes.iter().cloned().zip(0..));
        let mut taken = BTreeSet::new();
        for authority in ["a.x", "b.x", "c.x", "y"] {
            for (path, method) in [
                ("/", "GET"),
                ("/", "HEAD"),
                ("/", "POST"),
                ("/", "PUT"),
                ("/a", "GET"),
                ("/a", "HEAD"),
                ("/a", "POST"),
                ("/a", "PUT"),
            ] {
                for fields in
                    [vec![], vec![("p", "1")], vec![("p", "12")], vec![("p", "2")], vec![("p", "1"), ("q", "1")]]
                {
                    let (method, headers) = (method.parse().expect("a method"), headers(&fields));
                    let asked =
                        Asked { authority: Some(authority.as_bytes()), path, method: &method, headers: &headers };
                    if let Ok(route) = table.find(&asked) {
                        taken.insert((*route, authority));
                    }
                }
            }
        }
        let shadows = shadows(&routes);
        for (place, route) in routes.iter().enumerate() {
            for (at, host) in route.each_host().enumerate() {
                let is_shadow =
                    shadows.iter().any(|shadow| shadow.route == place && shadow.host.is_none_or(|host| host == at));
                let authority = match host {
                    None => "y",
                    Some(HostPattern::Exact(host)) => host,
                    Some(HostPattern::Below(_)) => "c.x",
                };
                assert_eq!(
                    taken.contains(&(place, authority)),
                    !is_shadow,
                    "seed {seed}: {} of {routes:#?}",
                    route.text()
                );
            }
        }
    }
}
