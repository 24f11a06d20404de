//! Secrets, written wherever they belong or might be written by mistake: nothing that the program says repeats them.

use std::fs;
use std::path::Path;

use crate::support::{Gateway, Upstream, aegis};

/// Stands for every secret. In small letters, as hosts are shown.
const MARKER: &str = "s3cretmarker";

/// Files that configs name by mistake, or that are broken.
fn files(folder: &Path) {
    let key = format!("-----BEGIN {MARKER}\nAAAA\n");
    let users = format!("{MARKER}:{MARKER}\n{MARKER} \n");
    let nested = format!("{MARKER}: {{ {MARKER}: [{MARKER}, {MARKER}] }}\n{MARKER}: 1\nkeys: {MARKER}\n");
    for (name, text) in [
        ("word", MARKER.to_owned()),
        ("lines", users),
        ("nested", nested),
        (
            "keys",
            format!("keys:\n  - {MARKER}\n  - {{ user: \" {MARKER}\", sha256: {MARKER} }}\n  - {{ {MARKER}: 1 }}\n"),
        ),
        ("set", format!("{{\"keys\":[{{\"kty\":\"{MARKER}\",\"k\":\"{MARKER}\"}}]}}")),
        (
            "algorithm",
            format!("{{\"keys\":[{{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"\",\"y\":\"\",\"alg\":\"{MARKER}\"}}]}}"),
        ),
        ("pem", key),
        ("list", format!("- {MARKER}\n- http://u:{MARKER}@a\n- {{ {MARKER}: 1 }}\n- http://a:1\n")),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// Configs with the marker in them; `ROUTES` is for those that need no routes of their own.
fn configs() -> Vec<String> {
    let mut configs = Vec::new();
    // What is no block, or not all of one.
    for block in
        ["auth", "redis", "admin", "auth: { jwt", "auth: { apiKeys", "auth: { basic", "auth: { clientCertificate"]
    {
        let end = "}".repeat(block.matches('{').count());
        for value in [
            "MARKER",
            "\"redis://u:MARKER@h:1\"",
            "[MARKER]",
            "${MARKER}",
            "{ MARKER }",
            "{ secret:MARKER }",
            "{ redis://u:MARKER@h:1 }",
            "{ password: MARKER }",
            "{ url: [MARKER], secret: [MARKER], file: [MARKER], tokenFile: [MARKER], keys: [MARKER] }",
            "{ url: MARKER, secret: MARKER, file: MARKER, tokenFile: MARKER, keys: MARKER }",
            "!MARKER",
            "&MARKER",
            "*MARKER",
            "\"MARKER",
            "${MARKER",
            "${no MARKER}",
            "a$MARKER",
        ] {
            configs.push(format!("{block}: {value} {end}\nROUTES"));
        }
    }
    for top in [
        "redis: { url: \"http://u:MARKER@h:1\" }",
        "redis: { url: \"redis://u:MARKER@h:99999\" }",
        "redis: { url: \"redis://:MARKER@\" }",
        "redis: { url: \"redis://u:MARKER#@h:1\" }",
        "redis: { url: \"redis://u:MARKER@h:1/x\" }",
        "redis: { url: \"redis+sentinel://u:MARKER@h:x/m\" }",
        "redis: { url: \"redis+sentinel://u:MARKER@h:1/m?sentinelPassword=MARKER\" }",
        "redis: { cluster: [\"redis://u:MARKER@h:bad\"] }",
        "redis: { url: \"redis://h:1\", keyFile: MARKER, certFile: a }",
        "redis: { url: \"rediss://h:1\", keyFile: pem, certFile: pem, caFile: pem }",
        "redis: { url: \"redis://u:MARKER@127.0.0.1:1\" }",
        "redis: { url: \"redis://u:${MARKER}@127.0.0.1:1/?${MARKER}\" }",
        "auth: { jwt: { secret: MARKER, algorithms: [RS256] } }",
        "auth: { jwt: { publicKey: MARKER } }",
        "auth: { jwt: { publicKey: \"-----BEGIN MARKER\" } }",
        "auth: { jwt: { publicKeyFile: pem } }",
        "auth: { jwt: { publicKeyFile: word } }",
        "auth: { jwt: { jwksFile: word } }",
        "auth: { jwt: { jwksFile: set } }",
        "auth: { jwt: { jwksFile: algorithm } }",
        "auth: { jwt: { secretFile: MARKER } }",
        "auth: { jwt: { secretFile: word } }",
        "auth: { jwt: { jwksUrl: \"http://u:MARKER@h/k\" } }",
        "auth: { jwt: { jwksUrl: \"ftp://u:MARKER@h/k\" } }",
        "auth: { jwt: { jwksUrl: \"http://127.0.0.1:1/k?token=MARKER\", algorithms: [RS256] } }",
        "auth: { jwt: { jwksUrl: \"http://127.0.0.1:1/k#MARKER\", algorithms: [RS256] } }",
        "auth: { jwt: { discovery: true, issuer: \"http://u:MARKER@127.0.0.1:1\" } }",
        "auth: { jwt: { discovery: true, issuer: \"http://127.0.0.1:1?MARKER\" } }",
        "auth: { jwt: { secret: x, claimsToHeaders: { a: \"${MARKER} \" } } }",
        "auth: { apiKeys: { keys: [{ user: a, key: MARKER }] } }",
        "auth: { apiKeys: { keys: [{ user: a, sha256: MARKER }] } }",
        "auth: { apiKeys: { header: \"a: MARKER\", keys: [] } }",
        "auth: { apiKeys: { file: MARKER } }",
        "auth: { apiKeys: { file: word } }",
        "auth: { apiKeys: { file: lines } }",
        "auth: { apiKeys: { file: nested } }",
        "auth: { apiKeys: { file: keys } }",
        "auth: { apiKeys: { file: pem } }",
        "auth: { basic: { file: MARKER } }",
        "auth: { basic: { file: word } }",
        "auth: { basic: { file: lines } }",
        "admin: { tokenFile: MARKER }",
        "admin: { tokenFile: word }",
        "admin: { listen: \"${MARKER}\" }",
        "admin: { token: MARKER }",
        "tls: { certificates: { certFile: pem, keyFile: pem } }",
        "tls: { certificates: { certFile: word, keyFile: MARKER } }",
        "tls: { certificates: { certFile: word, keyFile: word }, clientCaFile: pem }",
        "listen: \"${MARKER}\"",
        "listen: \"u:MARKER@127.0.0.1:0\"",
        "threads: \"${MARKER}\"",
        "trustedProxies: \"${MARKER}\"",
        "limits: { maxBody: \"${MARKER}\", idleTimeout: \"${MARKER}\" }",
        "resolve: { servers: [\"${MARKER}\"] }",
        "accessLog: { format: \"${MARKER}\" }",
    ] {
        let plugins = "{ auth: { by: [jwt, apiKey, basic] } }";
        let jwt = "{ auth: true }";
        for plugins in [plugins, jwt] {
            configs.push(format!("{top}\nroutes: [{{ path: /, target: UPSTREAM, plugins: {plugins} }}]\n"));
        }
        configs.push(format!("{top}\nROUTES"));
    }
    for route in [
        "target: \"http://u:MARKER@a\"",
        "target: \"u:MARKER@a:1\"",
        "target: \"http://u:MARKER@a:99999\"",
        "target: \"http://u:MAR KER\\\"MARKER@a\"",
        "target: \"http://a/?MARKER\"",
        "target: \"${MARKER}\"",
        "target: \"http://u:${NONE:-MARKER}@a\"",
        "target: { url: \"http://u:MARKER@a\", weight: \"${MARKER}\" }",
        "targets: [\"ftp://u:MARKER@a\", \"ftp://MARKER:x@a\"]",
        "target: \"file://list\"",
        "target: \"file://word\"",
        "target: \"file://nested\"",
        "target: UPSTREAM, mirror: \"http://u:MARKER@a\"",
        "target: UPSTREAM, mirror: { target: \"http://u:MARKER@a\" }",
        "target: UPSTREAM, healthCheck: \"/h?MARKER\"",
        "target: UPSTREAM, healthCheck: { path: \"h?MARKER\" }",
        "target: UPSTREAM, healthCheck: { path: \"/h?MARKER\" }",
        "target: UPSTREAM, timeouts: { connect: \"${MARKER}\" }",
        "target: UPSTREAM, breaker: \"${MARKER}\"",
        "target: UPSTREAM, upstreamTls: { serverName: \"${MARKER} \" }",
        "target: UPSTREAM, upstreamTls: { caFile: pem }",
        "target: UPSTREAM, upstreamTls: { keyFile: MARKER, certFile: pem }",
        "target: UPSTREAM, plugins: { auth: MARKER }",
        "target: UPSTREAM, plugins: { forwardAuth: \"https://u:MARKER@x\" }",
        "target: UPSTREAM, plugins: { forwardAuth: \"https://x/MARKER\" }",
        "target: UPSTREAM, plugins: { forwardAuth: { url: \"https://u:MARKER@x\" } }",
        "target: UPSTREAM, plugins: { forwardAuth: { url: \"https://u:MARKER@x:bad\" } }",
        "target: UPSTREAM, plugins: { forwardAuth: { url: \"http://127.0.0.1:1/?MARKER\" } }",
        "target: UPSTREAM, plugins: { headers: \"authorization: Bearer MARKER\" }",
        "target: UPSTREAM, plugins: { headers: { request: \"authorization: MARKER\" } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: \"authorization: MARKER\" } } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: [MARKER] } } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: { authorization:MARKER } } } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: { \"authorization MARKER\": x } } } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: { authorization: \"MARKER\\u0001\" } } } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: { authorization: \"Bearer MARKER\" } } } }",
        "target: UPSTREAM, plugins: { headers: { request: { set: { x-password: MARKER } } } }",
        "target: UPSTREAM, plugins: { headers: { request: { add: { x-plain: \"a ${MARKER}\" } } } }",
        "target: UPSTREAM, plugins: { headers: { response: { remove: [\"x: ${MARKER}\"] } } }",
        "target: UPSTREAM, plugins: { rateLimit: { max: 1, window: 60, key: { header: x-api-key }, overrides: { MARKER: { max: 2 } } } }",
        "target: UPSTREAM, plugins: { rateLimit: { max: 1, window: 60, key: { header: x-api-key }, overrides: { MARKER: { max: [2] } } } }",
        "target: UPSTREAM, plugins: { rateLimit: { max: 1, window: 60, key: { header: x-api-key }, overrides: { MARKER: { max: 1, burst: 2 } } } }",
        "target: UPSTREAM, plugins: { rateLimit: { max: 1, window: 60, key: { header: \"${MARKER} \" } } }",
        "target: UPSTREAM, plugins: { cors: { origins: [\"https://u:MARKER@a\"], methods: [\"${MARKER} \"] } }",
    ] {
        configs.push(format!("routes: [{{ path: /, {route} }}]\n"));
        configs.push(format!("redis: {{ url: '' }}\nroutes: [{{ path: \"/a?MARKER\", {route} }}]\n"));
    }
    configs
}

/// What of `said` a secret shows in, as it is or as numbers of its bytes.
fn leak(said: &str) -> Option<&str> {
    let bytes = MARKER.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    let shows = |line: &&str| line.to_lowercase().contains(MARKER) || line.contains(&bytes);
    said.lines().find(shows)
}

#[test]
fn nothing_that_is_said_repeats_a_secret() {
    let upstream = Upstream::start();
    let admin = "admin: { listen: 127.0.0.1:0 }\n";
    let config = format!("{admin}routes: [{{ path: /, target: {} }}]\n", upstream.url());
    let gateway = Gateway::start(&config, &[("VARIABLE", MARKER)]);
    files(&gateway.directory);
    let mut leaks = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for config in configs() {
        let text = config.replace("ROUTES", "routes: [{ path: /, target: UPSTREAM }]\n");
        let text = text.replace("UPSTREAM", &upstream.url()).replace("${MARKER", "${VARIABLE");
        let text = text.replace("MAR KER", &MARKER.replace('k', " k")).replace("MARKER", MARKER);
        fs::write(gateway.directory.join("other.yaml"), &text).unwrap();
        let check = |args: &[&str]| {
            let mut command = aegis(&[&["check", "-c", "other.yaml"], args].concat());
            let output = command.current_dir(&gateway.directory).env("VARIABLE", MARKER).output().unwrap();
            let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            (output.status.success(), out + &err)
        };
        let (is_good, printed) = check(&["--print"]);
        if is_good {
            good += 1
        } else {
            bad += 1
        }
        let mut said = vec![("check", check(&[]).1), ("check --print", printed)];
        let has_admin = text.starts_with("admin");
        gateway.configure(if has_admin { text.clone() } else { format!("{admin}{text}") });
        let mut ask = |method: &str, path: &'static str| {
            said.push((path, String::from_utf8(gateway.operate(method, path, &[]).body).unwrap()));
        };
        ask("POST", "/reload");
        ["/config", "/keys", "/stats", "/metrics"].iter().for_each(|path| ask("GET", path));
        gateway.get("/");
        leaks.extend(said.iter().filter_map(|(what, said)| Some(format!("{what} of {text}: {}", leak(said)?))));
    }
    gateway.said("config");
    let (log, lines) = (gateway.stderr(), gateway.stdout());
    leaks.extend([&log, &lines].iter().flat_map(|said| leak(said)).map(|line| format!("log: {line}")));
    assert!(leaks.is_empty(), "{} of {good} good and {bad} bad:\n{}", leaks.len(), leaks.join("\n"));
    assert!(good > 20 && bad > 100, "{good} good and {bad} bad");
}
