//! The pages of docs/ show what is shown: their commands are run here, or it is said where else.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;

use crate::readme::{self, Shell, blocks_of};
use crate::support::dns::Dns;
use crate::support::gateway::{Gateway, directory};
use crate::support::{Redis, Reply, Upstream, aegis, eventually, gateway, nobody, token};

/// The commands of a page with what is shown after each.
fn commands(page: &str) -> Vec<(String, Vec<String>)> {
    let blocks = blocks_of(&format!("docs/{page}.md"));
    let consoles = blocks.iter().filter(|block| block.language == "console");
    let owned =
        |(command, shown): (&str, Vec<&str>)| (command.to_owned(), shown.into_iter().map(str::to_owned).collect());
    consoles.flat_map(|block| readme::steps(&block.text).map(owned)).collect()
}

/// A command of the operations page, and what it shows there.
fn of_operations(begins: &str) -> (String, Vec<String>) {
    let found = commands("operations").into_iter().find(|(command, _)| command.starts_with(begins));
    found.unwrap_or_else(|| panic!("docs/operations.md has no command {begins}"))
}

/// A line without what is another each time: numbers, and what stands in place of them.
fn shape(line: &str) -> String {
    let numbers = Regex::new(r"\d+(\.\d+)*").unwrap();
    numbers.replace_all(line, "#").into_owned()
}

fn is_shown((command, expected): &(String, Vec<String>), said: &[u8], names: &[(String, &str)]) {
    let mut said = String::from_utf8(said.to_vec()).unwrap();
    for (here, on_the_page) in names {
        said = said.replace(here, on_the_page);
    }
    let said: Vec<String> = said.lines().map(shape).collect();
    let expected: Vec<String> = expected.iter().map(|line| shape(line)).collect();
    readme::is_shown(command, &said, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A gateway whose first target fails, whose second is not there, and whose third does as it should.
struct Troubled {
    redis: Redis,
    failing: Upstream,
    good: Upstream,
    nobody: String,
}

impl Troubled {
    fn new() -> Self {
        let failing = Upstream::with(|_| Reply::status(500, "no"));
        Troubled { redis: Redis::start(), failing, good: Upstream::start(), nobody: format!("http://{}", nobody()) }
    }

    fn gateway(&self, max: u32) -> Gateway {
        gateway(format!(
            "admin: {{ listen: 127.0.0.1:0 }}\nredis: {{ url: '{}' }}\ntrustedProxies: 127.0.0.1\nroutes:\n  - path: /users\n    \
             targets: [{{ url: {}, breaker: {{ failures: 1 }} }}, {{ url: '{}', breaker: off }}, '{}']\n    \
             plugins: {{ auth: true, rateLimit: {{ max: {max}, window: 60 }} }}\n  - {{ path: /, target: '{3}' }}\n",
            self.redis.url(),
            self.failing.url(),
            self.nobody,
            self.good.url(),
        ))
    }

    /// What stands here in place of what is on the page.
    fn names(&self) -> Vec<(String, &'static str)> {
        let bare = |url: &str| url.trim_start_matches("http://").to_owned();
        let urls = [(self.failing.url(), "1"), (self.nobody.clone(), "2"), (self.good.url(), "3")];
        let pages = ["http://user-service-1:3001", "http://user-service-2:3001", "http://user-service-3:3001"];
        let mut names: Vec<_> = urls.iter().zip(pages).map(|((url, _), page)| (url.clone(), page)).collect();
        names.extend(urls.iter().map(|(url, _)| (bare(url), "10.0.0.1:3001")));
        names
    }
}

fn ask(gateway: &Gateway, id: &str) -> u16 {
    let bearer = format!("Bearer {}", token("alice"));
    let fields = [("X-Request-ID", id), ("X-Forwarded-For", "203.0.113.7"), ("Authorization", &bearer)];
    gateway.request("GET", "/users/7", &fields).status
}

/// Where programs are, the gateway's among them.
fn path() -> String {
    let own = Path::new(env!("CARGO_BIN_EXE_aegis")).parent().unwrap();
    format!("{}:{}", own.display(), std::env::var("PATH").unwrap())
}

fn bash(command: &str, env: &[(&str, &str)]) -> Output {
    let mut bash = Command::new("bash");
    bash.args(["-c", command]).envs(env.iter().copied()).env("PATH", path()).current_dir(directory()).output().unwrap()
}

#[test]
fn why_a_request_went_as_it_did_is_told_as_the_page_shows() {
    let troubled = Troubled::new();
    let gateway = troubled.gateway(100);
    let on_the_page = of_operations("curl");
    let told = |id: &str| {
        let command = on_the_page.0.replace("127.0.0.1:8001", &gateway.admin().to_string()).replace("4d8c…", id);
        bash(&command, &[]).stdout
    };
    assert_eq!(ask(&gateway, "4d8c0"), 500, "whose turn it is first fails, and is open then");
    // Of those that come to it and to the next, which is not there, half try the open one again first.
    let like_the_page = (1..60).find_map(|nth| {
        let id = format!("4d8c{nth}");
        assert_eq!(ask(&gateway, &id), 200);
        let text =
            eventually("the request to be remembered", || Some(told(&id)).filter(|text| text.starts_with(b"[GET]")));
        let lines = String::from_utf8(text.clone()).unwrap();
        let attempts = lines.lines().filter(|line| line.starts_with("attempt")).count();
        (attempts == 2 && lines.matches("\nskipped").count() == 1 && lines.contains("kept connection")).then_some(text)
    });
    is_shown(&on_the_page, &like_the_page.expect("one in six is like that"), &troubled.names());
}

#[test]
fn how_a_request_would_go_is_told_as_the_page_shows() {
    let troubled = Troubled::new();
    let gateway = troubled.gateway(4);
    for id in ["one", "two", "three", "four"] {
        ask(&gateway, id);
    }
    let on_the_page = of_operations("aegis explain");
    let output = bash(&format!("{} --admin {}", on_the_page.0, gateway.admin()), &[("TOKEN", &token("alice"))]);
    is_shown(&on_the_page, &output.stdout, &troubled.names());
}

#[test]
fn what_is_waited_for_is_told_as_the_page_shows() {
    let dns = Dns::start(60, &[], &[]);
    let mut command = aegis(&["check", "--resolve", "-c", "conf/aegis.yaml"]);
    let folder = command.get_current_dir().unwrap().join("conf");
    fs::create_dir_all(&folder).unwrap();
    let config = format!(
        "{}routes:\n  - {{ path: /users, targets: ['http://users.silent:3001'] }}\n  - {{ path: /product, targets: ['http://products.silent:3001'] }}\n",
        dns.config().replace("timeout: 500ms", "timeout: 700ms"),
    );
    fs::write(folder.join("aegis.yaml"), config).unwrap();
    let output = command.output().unwrap();
    let names = [("users.silent".to_owned(), "users.internal"), ("products.silent".to_owned(), "products.internal")];
    is_shown(&of_operations("aegis check --resolve"), &[output.stderr, output.stdout].concat(), &names);
}

/// From an empty folder to a service behind the gateway.
#[test]
fn the_quick_start_starts() {
    let (upstream, folder, address, admin) = (Upstream::start(), directory(), nobody(), nobody());
    let here = |text: &str| {
        text.replace("127.0.0.1:3000", &upstream.url()["http://".len()..])
            .replace("0.0.0.0:8000", &format!("0.0.0.0:{}", address.port()))
            .replace("localhost:8000", &address.to_string())
            .replace("localhost:8001", &admin.to_string())
            .replace("admin: {}", &format!("admin: {{ listen: '{admin}' }}"))
    };
    let mut shell = Shell::start_in(&folder, &[("PATH", &path())]);
    shell.run("unset JWT_SECRET REDIS_URL AEGIS_CONFIG");
    let mut running = None;
    for block in blocks_of("docs/quick-start.md") {
        match block.language.as_str() {
            "yaml" => fs::write(folder.join("aegis.yaml"), here(&block.text)).unwrap(),
            "sh" => {
                let mut command = aegis(&["run", "-c", "aegis.yaml"]);
                command.current_dir(&folder).env_remove("JWT_SECRET");
                running = Some(Gateway::spawn(command));
            }
            _ => {
                for (command, expected) in readme::steps(&block.text) {
                    readme::is_shown(command, &shell.run(&format!("{} 2>&1", here(command))), &expected);
                }
            }
        }
    }
    assert!(running.is_some());
    assert_eq!(upstream.received().len(), 6);
    assert!(upstream.received().iter().all(|request| request.header("x-user-id") == Some("alice")));
}

#[test]
fn no_command_of_a_page_is_left_out() {
    let mut pages: Vec<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    pages.sort();
    // All of it above.
    pages.retain(|page| page != "quick-start");
    let of = |page: &String| commands(page).into_iter().map(|(command, _)| command).collect::<Vec<_>>();
    let other = |page: &String| {
        let blocks = blocks_of(&format!("docs/{page}.md")).into_iter();
        blocks.filter(|block| block.language == "sh").map(|block| block.text).collect::<Vec<_>>()
    };
    let all: Vec<String> = pages.iter().flat_map(|page| [of(page), other(page)].concat()).collect();
    assert_eq!(
        all,
        [
            // Above.
            "aegis check --resolve",
            "curl -sH 'Accept: text/plain' 'http://127.0.0.1:8001/explain?request_id=4d8c…'",
            "aegis explain GET /users/7 --ip 203.0.113.7 --token \"$TOKEN\"",
            // By `handover`.
            "aegis run --upgrade -c conf/aegis.yaml",
            // By the example's own tests.
            "cd examples/custom-plugin",
            "cargo run -- check -c aegis.yaml",
            "cargo run -- run -c aegis.yaml",
            // The image by `.ci/containers`; what is applied is held against the schemas of Kubernetes by `kubernetes`.
            "docker build --target gateway -t registry.example.com/aegis-gateway:0.1.0 . && docker push registry.example.com/aegis-gateway:0.1.0",
            "kubectl apply -k deploy/kubernetes",
            "kubectl port-forward deploy/aegis 8001",
        ]
    );
}
