//! The published schema is the one that the types make, and says of files what the check says.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::support::validator::Validator;
use crate::support::{SECRET, aegis};

/// `aegis schema`
pub fn printed() -> String {
    let output = aegis(&["schema"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn published() -> Validator {
    let text = fs::read_to_string(root().join("docs/aegis.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    Validator::new(&schema)
}

/// What an editor makes of a text.
fn read(text: &str) -> Value {
    fn value(yaml: serde_yaml::Value) -> Value {
        match yaml {
            serde_yaml::Value::Sequence(items) => items.into_iter().map(value).collect(),
            serde_yaml::Value::Mapping(entries) => {
                let key = |key: serde_yaml::Value| match key {
                    serde_yaml::Value::String(key) => key,
                    other => serde_yaml::to_string(&other).unwrap().trim().to_owned(),
                };
                Value::Object(entries.into_iter().map(|(name, entry)| (key(name), value(entry))).collect::<Map<_, _>>())
            }
            serde_yaml::Value::Tagged(tagged) => value(tagged.value),
            scalar => serde_json::to_value(scalar).unwrap(),
        }
    }
    value(serde_yaml::from_str(text).unwrap())
}

fn complaints(schema: &Validator, text: &str) -> Vec<String> {
    schema.errors(&read(text))
}

/// The YAML files of a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// What stands in a page between fences of YAML.
fn blocks(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_published_schema_is_the_one_that_is_printed() {
    let file = root().join("docs/aegis.schema.json");
    let printed = printed();
    if std::env::var_os("EXPECT").is_some_and(|value| value == "write") {
        fs::write(&file, &printed).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap_or_default() == printed,
        "{} is stale; `EXPECT=write` writes it",
        file.display()
    );
}

#[test]
fn what_the_check_finds_good_is_good_to_the_schema() {
    let schema = published();
    let mut seen = 0;
    let mut wrong = Vec::new();
    let is_good = |file: &Path| {
        let expected = file.with_extension("expected");
        !expected.exists() || fs::read_to_string(&expected).unwrap().ends_with("exit 0\n")
    };
    for file in ["conf", "conf/examples", "tests/config"].iter().flat_map(|folder| files(folder)) {
        if is_good(&file) {
            let text = fs::read_to_string(&file).unwrap();
            wrong.extend(complaints(&schema, &text).into_iter().map(|said| format!("{}: {said}", file.display())));
            seen += 1;
        }
    }
    for page in
        ["README", "docs/edge", "docs/identity", "docs/operations", "docs/plugins", "docs/routing", "docs/upstreams"]
    {
        let page = root().join(format!("{page}.md"));
        for text in blocks(&page) {
            wrong.extend(complaints(&schema, &text).into_iter().map(|said| format!("{}: {said}", page.display())));
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "{seen}");
}

#[test]
fn what_is_printed_of_good_files_is_good_to_the_schema() {
    let schema = published();
    let folder = fs::read_dir(root().join("tests/config")).unwrap().map(|entry| entry.unwrap().path());
    let printed: Vec<PathBuf> = folder.filter(|path| path.extension().is_some_and(|e| e == "printed")).collect();
    assert!(printed.len() > 30, "{printed:?}");
    for file in printed {
        let found = complaints(&schema, &fs::read_to_string(&file).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}

#[test]
fn every_unknown_key_is_unknown_to_the_schema() {
    let schema = published();
    let mut seen = 0;
    for file in files("tests/config") {
        let expected = fs::read_to_string(file.with_extension("expected")).unwrap();
        let unknown = expected.lines().filter(|line| line.contains(": unknown key")).count();
        if unknown > 0 {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!schema.is_valid(&read(&text)), "{}", file.display());
            seen += unknown;
        }
    }
    assert!(seen > 15, "{seen}");
    // One at a time, in every block that there is: beside what is right, a key that nobody knows.
    let blocks = [
        "listen: 127.0.0.1:1",
        "redis: { url: '' }",
        "admin: { tls: { certFile: a, keyFile: b } }",
        "tls: { certificates: { certFile: a, keyFile: b }, redirect: { listen: 127.0.0.1:1 } }",
        "resolve: { max: 1s }",
        "accessLog: { format: json }",
        "limits: { maxUri: 1KiB }",
        "shutdown: { drain: 1s }",
        "auth: { jwt: [{ issuer: a }], apiKeys: { keys: [{ user: u, sha256: '${DIGEST}' }] }, basic: { file: a } }",
        "defaults: { plugins: { cors: { origins: '*' }, forwardAuth: { url: http://a/ }, compression: { minSize: 1 } } }",
        "defaults: { retry: { budget: { share: 1% } }, breaker: { backoff: { max: 5m } }, healthCheck: { path: / } }",
        "defaults: { balance: { algorithm: random }, concurrency: { min: 1 }, timeouts: { read: 1s }, mirror: { target: http://a } }",
        "defaults: { plugins: { auth: { optional: true }, headers: { request: { remove: a } }, securityHeaders: { hsts: { maxAge: 1d } } } }",
        "defaults: { plugins: { rateLimit: [{ max: 1, window: 1, prefixes: { ipv4: 24 }, overrides: { a: { max: 1 } } }] } }",
        "defaults: { upstreamTls: { caFile: a }, limits: { minRate: 1 } }",
    ];
    let mut places = 0;
    for block in blocks {
        let good = read(&format!("{block}\nroutes: [{{ path: /, targets: [{{ url: http://a, weight: 1 }}] }}]"));
        assert!(schema.is_valid(&good), "{block}: {:?}", complaints(&schema, block));
        for place in blocks_of(&good, "") {
            let mut bad = good.clone();
            bad.pointer_mut(&place).unwrap()["zebra"] = json!(1);
            assert!(!schema.is_valid(&bad), "{place} of {bad}");
            places += 1;
        }
    }
    assert!(places > 60, "{places}");
}

/// Where blocks stand, as JSON pointers.
fn blocks_of(value: &Value, at: &str) -> Vec<String> {
    let own = value.is_object().then(|| at.to_owned());
    let inner: Vec<String> = match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| blocks_of(value, &format!("{at}/{key}"))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, item)| blocks_of(item, &format!("{at}/{n}"))).collect()
        }
        _ => Vec::new(),
    };
    own.into_iter().chain(inner).collect()
}

#[test]
fn a_variable_may_take_the_place_of_any_scalar_and_of_no_block() {
    let schema = published();
    let written = "listen: '${LISTEN}'\nh2c: ${H2C:-true}\nthreads: ${THREADS}\nredis: { url: '${URL}', timeout: '${T:-5}ms' }\n\
                   accessLog: { format: '${FORMAT:-text}' }\nroutes:\n  - { path: '/${NAME}', target: 'http://${HOST}:1', \
                   breaker: '${BREAKER:-off}', plugins: { rateLimit: { max: '${MAX:?say how many}', window: '${WINDOW}' } } }\n";
    assert_eq!(complaints(&schema, written), Vec::<String>::new());
    for wrong in
        ["routes: ${ROUTES}", "routes: [{ path: /, target: http://a, plugins: '${PLUGINS}' }]", "h2c: $H2C\nroutes: []"]
    {
        assert!(!complaints(&schema, wrong).is_empty(), "{wrong}");
    }
}

/// The patterns of the schema are no narrower than what is read.
#[test]
fn what_the_check_takes_in_any_notation_the_schema_takes() {
    let schema = published();
    let mut good = 0;
    for (config, texts) in [
        ("defaults: { timeouts: { total: @ } }", "0 60 250ms 60s 5m 1h 7d off 0s 1x 5_m -1 1.5s ''"),
        ("defaults: { timeouts: { read: @ } }", "0 0s 00s 01 60 1ms '60' x"),
        ("defaults: { plugins: { rateLimit: { max: 1, window: @ } } }", "60 100ms 366d '60' soon"),
        ("limits: { maxUri: @ }", "65536 64KiB '64 KiB' 1MB 64kB 100B x -1"),
        ("limits: { minRate: @ }", "500 500B 1KiB off x 0"),
        ("defaults: { plugins: { rateLimit: { max: @, window: 1 } } }", "1 '1' 4294967295 4294967296 0 -1 +5 '+5' 1.5"),
        ("defaults: { mirror: { target: http://b, share: @ } }", "20% 0.5% 0.2 1 0 '12.34 %' 101% x"),
        ("defaults: { balance: { algorithm: consistentHash, loadFactor: @ } }", "1.1 2 10 '1.5' 1e1 11 x"),
        ("defaults: { breaker: { statuses: @ } }", "503 500-599 '500 - 599' 99 5xx"),
        ("defaults: { breaker: { grpcStatuses: @ } }", "UNAVAILABLE 14 '16' 0 OK"),
        ("defaults: { retry: { on: @ } }", "connect reset timeout 503 502-504 200 never"),
        ("defaults: { retry: { methods: @ } }", "GET PUT QUERY POST TRACE get"),
        ("listen: @", "0.0.0.0:8000 '[::]:8000' localhost:8000 '[fe80::1%1]:80' 0.0.0.0:0 8000 :80 a:1"),
        ("resolve: { nameservers: @ }", "10.0.0.2 10.0.0.2:53 '[2001:db8::53]:53' '2001:db8::53' a 10.0.0.2:0"),
        ("trustedProxies: @", "10.0.0.0/8 192.0.2.7 '2001:db8::/32' '::1' x 10.0.0.0/99"),
        ("routes: [{ path: @, target: http://a }]", "/ /users /users/ /a.b /a%20b users /a?b /a*"),
        (
            "routes: [{ path: /, host: @, target: http://a }]",
            "a A.example '*.example' 192.0.2.7 '[::1]' '*' a:80 'a b'",
        ),
        ("routes: [{ path: /, methods: @, target: http://a }]", "GET QUERY VERSION-CONTROL get TRACE"),
        (
            "routes: [{ path: /, target: @ }]",
            "http://a HTTP://A:80/ https://[::1]:9 h2://a H2C://a dns://a:1 dns+h2c://a:1 dns+srv://_http._tcp.a \
             dns+srv+https://_http._tcp.a file:///a ftp://a a http://a/b http://u@a",
        ),
        ("routes: [{ path: /, redirect: { to: @ } }]", "/a /a?b=c / https://a HTTP://a/b //a a"),
        ("routes: [{ path: /, redirect: { to: /, status: @ } }]", "301 '308' 300"),
        ("routes: [{ path: /, respond: { status: @ } }]", "200 '204' 599 199"),
        ("routes: [{ path: /, target: http://a, name: @ }]", "a A.b_c-1 7 1.5 a/b ''"),
        ("defaults: { plugins: { rateLimit: { max: 1, window: 1, key: { header: @ } } } }", "x-a X-A 7 'a b'"),
        ("defaults: { plugins: { compression: { types: @ } } }", "application/json text/* application/*+json */* x"),
        (
            "defaults: { plugins: { cors: { origins: @ } } }",
            "'*' 'null' https://a HTTPS://A:443 https://*.a.b http://[::1] chrome-extension://a a https://a/",
        ),
        ("auth: { apiKeys: { keys: { user: @, sha256: DIGEST } } }", "a 7 true 'a b' ' a'"),
        ("defaults: { plugins: { securityHeaders: { permissionsPolicy: @ } } }", "a geolocation=() off 7"),
        ("defaults: { concurrency: @ }", "7 adaptive off false true on x 0"),
        ("defaults: { breaker: @ }", "on off true false busy 7"),
        ("defaults: { slowStart: @ }", "off 0s 30 30s true"),
        ("routes: [{ path: /, target: http://a, matchHeaders: { a: @ } }]", "b 7 true '*'"),
    ] {
        for text in words(texts) {
            let config = config.replace('@', &text).replace("DIGEST", DIGEST);
            let config = if config.starts_with("routes") { config } else { format!("{config}\n{ROUTE}\n") };
            if check(&config, &[]).status.success() {
                assert_eq!(complaints(&schema, &config), Vec::<String>::new(), "{config}");
                good += 1;
            }
        }
    }
    assert!(good > 120, "{good}");
}

/// Words with spaces between them; in quotes they have such, too.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for char in text.chars() {
        is_quoted ^= char == '\'';
        match (char, is_quoted) {
            (' ', false) => words.push(String::new()),
            _ => words.last_mut().unwrap().push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn examples_name_the_schema_for_editors() {
    for (folder, path) in [("conf", "../docs/aegis.schema.json"), ("conf/examples", "../../docs/aegis.schema.json")] {
        for file in files(folder) {
            let text = fs::read_to_string(&file).unwrap();
            let first = text.lines().next().unwrap_or_default();
            assert_eq!(first, format!("# yaml-language-server: $schema={path}"), "{}", file.display());
            assert!(root().join(folder).join(path).exists());
        }
    }
}

/// Every default of the schema is what runs where nothing is written.
#[test]
fn defaults_of_the_schema_are_true() {
    let schema: Value = serde_json::from_str(&printed()).unwrap();
    let (mut seen, mut known) = (0, Vec::new());
    // Each block that has keys with defaults, in a config that is good without them; "@" is where they go.
    for (block, config) in [
        ("", "@@"),
        ("Redis", "redis: { url: redis://127.0.0.1:1, @ }"),
        ("Admin", "admin: { @ }"),
        ("AccessLog", "accessLog: { @ }"),
        ("Tracing", "tracing: { endpoint: https://collector.example/v1/traces, @ }"),
        ("ResolveBlock", "resolve: { @ }"),
        ("Limits", "limits: { @ }"),
        ("Shutdown", "shutdown: { @ }"),
        ("Auth", "auth: { @ }"),
        ("ApiKeys", "auth: { apiKeys: { keys: { user: u, sha256: DIGEST }, @ } }"),
        ("Jwt", "auth: { jwt: { @ } }"),
        ("Policies", "defaults: { @ }"),
        ("BalanceBlock", "defaults: { balance: { algorithm: consistentHash, @ } }"),
        ("Bounds", "defaults: { concurrency: { @ } }"),
        ("Breaker", "defaults: { breaker: { @ } }"),
        ("Backoff", "defaults: { breaker: { backoff: { max: 5m, @ } } }"),
        ("Retry", "defaults: { retry: { @ } }"),
        ("BudgetBlock", "defaults: { retry: { budget: { share: 20%, @ } } }"),
        ("HealthCheck", "defaults: { healthCheck: { @ } }"),
        ("Mirror", "defaults: { mirror: { target: http://b, @ } }"),
        ("Timeouts", "defaults: { timeouts: { @ } }"),
        ("UpstreamTls", "defaults: { upstreamTls: { @ } }"),
        ("Plugins", "defaults: { plugins: { @ } }"),
        ("AuthPlugin", "defaults: { plugins: { auth: { @ } } }"),
        ("Cors", "defaults: { plugins: { cors: { origins: https://a.example, @ } } }"),
        ("ForwardAuth", "defaults: { plugins: { forwardAuth: { url: http://b/, @ } } }"),
        ("SecurityHeaders", "defaults: { plugins: { securityHeaders: { @ } } }"),
        ("Hsts", "defaults: { plugins: { securityHeaders: { hsts: { @ } } } }"),
        ("Compression", "defaults: { plugins: { compression: { @ } } }"),
        ("RateLimit", "defaults: { plugins: { rateLimit: { max: 7, window: 1, @ } } }"),
        ("Prefixes", "defaults: { plugins: { rateLimit: { max: 7, window: 1, prefixes: { @ } } } }"),
        ("Route", "@@@"),
        ("TargetBlock", "routes: [{ path: /, target: { url: http://a, @ } }]"),
        ("Redirect", "routes: [{ path: /, redirect: { to: /b, @ } }]"),
        ("Respond", "routes: [{ path: /, respond: { body: a, @ } }]"),
    ] {
        known.push(block);
        let keys = if block.is_empty() { &schema["properties"] } else { &schema["$defs"][block]["properties"] };
        for (key, value) in keys.as_object().unwrap_or_else(|| panic!("no block {block}")) {
            let Some(default) = value.get("default") else { continue };
            let written = format!("{key}: {default}");
            assert_eq!(runs(config, &written), runs(config, ""), "{block}: {written}");
            seen += 1;
        }
    }
    assert!(seen > 110, "{seen}");
    let blocks = schema["$defs"].as_object().unwrap().iter().filter(|(_, block)| has_defaults(block));
    let left_out: Vec<&str> = blocks.map(|(name, _)| name.as_str()).filter(|name| !known.contains(name)).collect();
    // Whose certificates would have to be there.
    assert_eq!(left_out, ["Tls"]);
}

fn has_defaults(block: &Value) -> bool {
    block["properties"].as_object().is_some_and(|keys| keys.values().any(|key| key.get("default").is_some()))
}

const ROUTE: &str = "routes: [{ path: /, targets: [http://a, http://b] }]";
const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(config: &str, args: &[&str]) -> std::process::Output {
    let mut command = aegis(&["check", "-c", "aegis.yaml"]);
    fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), config).unwrap();
    command.args(args).env("JWT_SECRET", SECRET).output().unwrap()
}

/// What runs with `keys` in a config.
fn runs(config: &str, keys: &str) -> String {
    let text = match config {
        "@@" => format!("{keys}\n{ROUTE}\n"),
        "@@@" => format!("routes: [{{ path: /, targets: [http://a, http://b], {keys} }}]\n"),
        block => {
            let block = block.replace('@', keys).replace("DIGEST", DIGEST);
            if block.starts_with("routes") { block } else { format!("{block}\n{ROUTE}\n") }
        }
    };
    let output = check(&text, &["--print"]);
    assert!(output.status.success(), "{text}{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
