//! In what two configs differ, in the words of the file.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Admin, Config, Redirect, Route, Tls};

/// What `after` has that `before` has not, and the other way round, for people: `routes: /users changed`.
pub fn changes(before: &Config, after: &Config) -> Vec<String> {
    let blocks = [
        ("redis", before.redis == after.redis),
        ("trustedProxies", before.trusted_proxies == after.trusted_proxies),
        ("resolve", before.resolve == after.resolve),
        ("limits", before.limits == after.limits),
        ("accessLog", before.access_log == after.access_log),
        ("tracing", before.tracing == after.tracing),
        ("shutdown", before.shutdown == after.shutdown),
        ("auth", before.auth == after.auth && before.identity_headers == after.identity_headers),
        ("admin", before.admin.as_ref().map(access) == after.admin.as_ref().map(access)),
        ("h2c", before.h2c == after.h2c),
        ("tls", before.tls.as_ref().map(handshakes) == after.tls.as_ref().map(handshakes)),
    ];
    let blocks = blocks.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name.to_owned());
    routes(before, after).chain(blocks).collect()
}

/// What of `tls` shows in handshakes.
fn handshakes(tls: &Tls) -> Tls {
    Tls { listen: Vec::new(), redirect: None, ..tls.clone() }
}

fn routes<'c>(before: &'c Config, after: &'c Config) -> impl Iterator<Item = String> + 'c {
    let by_name = |config: &'c Config| -> HashMap<&'c str, &'c Route> {
        config.routes.iter().map(|route| (route.name.as_str(), route)).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let names = |config: &'c Config, others: &HashMap<&str, &Route>| -> Vec<&'c str> {
        config.routes.iter().map(|route| route.name.as_str()).filter(|name| others.contains_key(name)).collect()
    };
    let is_shuffled = names(before, &new) != names(after, &old);
    let there = after.routes.iter().filter_map(move |route| match old.get(route.name.as_str()) {
        None => Some(format!("routes: {} added", route.name)),
        Some(known) if *known != route => Some(format!("routes: {} changed", route.name)),
        Some(_) => None,
    });
    let gone = before.routes.iter().filter(move |route| !new.contains_key(route.name.as_str()));
    let shuffled = is_shuffled.then(|| "routes: in another order".to_owned());
    there.chain(gone.map(|route| format!("routes: {} removed", route.name))).chain(shuffled)
}

/// The settings in `after` that only a new process goes by, where they are not those that this one has `begun` with.
pub fn needing_restart(begun: &Config, after: &Config) -> Vec<&'static str> {
    let settings = [
        ("listen", begun.listen == after.listen),
        ("tls.listen", tls_listen(begun) == tls_listen(after)),
        ("tls.redirect", redirect(begun) == redirect(after)),
        ("threads", begun.threads == after.threads),
        ("admin.listen", admin_listen(begun) == admin_listen(after)),
    ];
    settings.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

/// What of a config runs in a process that has `begun` with another one and has that of `current` so far: sockets and threads are
/// those of the beginning, and where a socket is not written any more, so is what it goes by.
pub fn as_run(written: Config, begun: &Config, current: &Config) -> Config {
    let tls = begun.tls.as_ref().and_then(|begun| {
        let running = written.tls.as_ref().or(current.tls.as_ref())?;
        Some(Tls { listen: begun.listen.clone(), redirect: begun.redirect.clone(), ..running.clone() })
    });
    let admin = begun.admin.as_ref().and_then(|begun| {
        let running = written.admin.as_ref().or(current.admin.as_ref())?;
        Some(Admin { listen: begun.listen, ..running.clone() })
    });
    Config { listen: begun.listen.clone(), threads: begun.threads, tls, admin, ..written }
}

fn tls_listen(config: &Config) -> Option<&[SocketAddr]> {
    config.tls.as_ref().map(|tls| &*tls.listen)
}

fn redirect(config: &Config) -> Option<&Redirect> {
    config.tls.as_ref().and_then(|tls| tls.redirect.as_ref())
}

fn access(admin: &Admin) -> Admin {
    Admin { listen: SocketAddr::from(([0; 4], 0)), ..admin.clone() }
}

fn admin_listen(config: &Config) -> Option<SocketAddr> {
    config.admin.as_ref().map(|admin| admin.listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        crate::config::parse("test.yaml", text, &|_| None).expect("a valid config").config
    }

    const BEFORE: &str = "
listen: 127.0.0.1:8000
threads: 2
routes:
  - { path: /a, targets: http://a:1 }
  - { path: /b, targets: [http://b:1, http://c:1], retry: { attempts: 2 } }
  - { path: /c, targets: http://c:1 }
";

    #[test]
    fn nothing_differs_in_what_is_written_in_another_way() {
        let other = "
# A comment.
threads: 2
listen: [127.0.0.1:8000]
routes:
  - { path: /a, target: http://a:1 }
  - { path: /b/, targets: [http://B:1/, http://c:1], retry: { attempts: 2, on: [connect, reset] } }
  - { path: /c, targets: [http://c:1], timeouts: { connect: 2000ms } }
";
        assert_eq!(changes(&config(BEFORE), &config(other)), Vec::<String>::new());
    }

    #[test]
    fn routes_and_blocks_that_differ_are_named() {
        let after = "
listen: 127.0.0.1:9000
admin: { listen: 127.0.0.1:9001 }
trustedProxies: [10.0.0.0/8]
redis: { url: redis://r:1 }
h2c: true
routes:
  - { path: /c, targets: http://c:1 }
  - { path: /b, targets: [http://b:1, http://c:1], retry: off }
  - { path: /d, targets: http://a:1 }
";
        let (before, after) = (config(BEFORE), config(after));
        let expected = [
            "routes: /b changed",
            "routes: /d added",
            "routes: /a removed",
            "routes: in another order",
            "redis",
            "trustedProxies",
            "admin",
            "h2c",
        ];
        assert_eq!(changes(&before, &after), expected);
        let needing = needing_restart(&before, &after);
        assert!(needing.starts_with(&["listen"]) && needing.ends_with(&["admin.listen"]), "{needing:?}");
        assert_eq!(needing_restart(&before, &before), Vec::<&str>::new());
    }

    #[test]
    fn what_waits_for_another_process_does_not_run_and_is_no_change() {
        const ROUTES: &str = "routes: [{ path: /, targets: http://a:1 }]\n";
        let with = |text: &str| config(&format!("{text}{ROUTES}"));
        let begun = with("listen: 127.0.0.1:1\n");
        let written = with("listen: 127.0.0.1:2\nthreads: 77\nadmin: { listen: 127.0.0.1:3 }\n");
        let run = as_run(written.clone(), &begun, &begun);
        assert_eq!(
            (changes(&begun, &run), needing_restart(&begun, &written)),
            (vec![], vec!["listen", "threads", "admin.listen"])
        );
        assert_eq!(as_run(begun.clone(), &begun, &run), begun);

        let begun = with("listen: 127.0.0.1:1\nadmin: { listen: 127.0.0.1:3 }\n");
        let run = as_run(with("listen: 127.0.0.1:1\n"), &begun, &begun);
        assert_eq!((&run.admin, changes(&begun, &run)), (&begun.admin, vec![]));
    }

    #[test]
    fn a_route_is_known_by_its_name_wherever_it_is() {
        let config = |path: &str| {
            config(&format!(
                "routes: [{{ path: /b, targets: http://b:1 }}, {{ name: a, path: {path}, targets: http://a:1 }}]\n"
            ))
        };
        assert_eq!(changes(&config("/a"), &config("/v2/a")), ["routes: a changed"]);
    }

    #[test]
    fn a_secret_that_is_another_is_a_change() {
        let with = |secret: &str| {
            config(&format!(
                "auth: {{ jwt: {{ secret: {secret} }} }}\nroutes: [{{ path: /, target: http://a:1, plugins: {{ auth: true }} }}]\n"
            ))
        };
        let (one, other) = (with("0123456789abcdef0123456789abcdef"), with("0123456789abcdef0123456789abcdeF"));
        assert_eq!(changes(&one, &one), Vec::<String>::new());
        assert_eq!(changes(&one, &other), ["auth"]);
    }
}
