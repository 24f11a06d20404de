//! The commands.

use std::fs;
use std::process::Output;

use crate::support::aegis;

/// `aegis check` of a file with this text.
fn check(text: &[u8], args: &[&str]) -> Output {
    let mut command = aegis(&["check", "-c", "aegis.yaml"]);
    fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), text).unwrap();
    command.args(args).env("JWT_SECRET", crate::support::SECRET).output().unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn three_mistakes_are_three_located_errors_and_exit_1() {
    let output = check(b"routes:\n  - path: users\n    taregts: http://a:1\n    timeouts: { connect: soon }\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = stderr(&output).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("aegis.yaml:2:11: routes[0].path: \"users\" does not begin with a slash"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1], "aegis.yaml:3:5: routes[0].taregts: unknown key; did you mean \"targets\"?");
    assert!(
        lines[2].starts_with("aegis.yaml:4:26: routes[0].timeouts.connect: \"soon\" is no duration"),
        "{}",
        lines[2]
    );
}

#[test]
fn who_names_a_file_without_its_flag_is_told_of_it() {
    for (args, has_tip) in [(&["check", "a.yaml"][..], true), (&["run", "a.yaml"], true), (&["check", "--fix"], false)]
    {
        let output = aegis(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.contains("tip: a config file is named by '-c FILE'"), has_tip, "{said}");
    }
}

#[test]
fn files_that_are_half_written_exit_1_and_those_that_cannot_be_read_2() {
    for (text, exit, part) in [
        (&b"routes: [{ path: /a, targ"[..], 1, "aegis.yaml:2:1: not valid YAML: "),
        (b"", 1, "aegis.yaml:1:1: the file is empty"),
        (b"routes:\n\t- x", 1, "aegis.yaml:2:2: not valid YAML: "),
        (b"\xff\xfe\x00", 2, "aegis: aegis.yaml: cannot read the config: it is not UTF-8 text"),
    ] {
        let output = check(text, &[]);
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        assert!(stderr(&output).starts_with(part), "{output:?}");
    }
    let missing = aegis(&["check", "-c", "no-such-file.yaml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("no-such-file.yaml"), "{missing:?}");
    let run = aegis(&["run", "-c", "no-such-file.yaml"]).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
}

#[test]
fn run_refuses_what_check_refuses() {
    let mut command = aegis(&["run", "-c", "aegis.yaml"]);
    fs::write(
        command.get_current_dir().unwrap().join("aegis.yaml"),
        "routes: [{ path: /, targets: [http://a:1], plugins: { auth: true } }]",
    )
    .unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("set the environment variable JWT_SECRET"), "{output:?}");
}

#[test]
fn a_good_file_is_good_and_a_weak_secret_is_told_of() {
    let good = check(b"routes: [{ path: /, target: 'http://a:1' }]", &[]);
    assert_eq!((good.status.code(), stderr(&good)), (Some(0), ""));
    assert_eq!(good.stdout, b"aegis.yaml: good, 1 route\n");
    let weak = check(
        b"auth: { jwt: { secret: hunter2 } }\nroutes: [{ path: /, target: 'http://a:1', plugins: { auth: true } }]",
        &[],
    );
    assert_eq!(weak.status.code(), Some(0));
    assert!(stderr(&weak).starts_with("aegis.yaml:1:24: warning: auth.jwt.secret: the secret has 7 bytes"), "{weak:?}");
    assert!(!stderr(&weak).contains("hunter2"));
}

#[test]
fn print_shows_the_effective_config_without_its_secrets_and_can_be_read_back() {
    let text = b"auth: { jwt: { secret: hunter2hunter2hunter2hunter2hunter2 } }\nredis: { url: 'redis://me:hunter2@h:1/3?x=hunter2' }\nroutes: [{ path: /a, target: 'http://a:1', plugins: { auth: true } }, { path: /b, target: 'http://a:1', breaker: off }]";
    let printed = check(text, &["--print"]);
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    let shown = String::from_utf8(printed.stdout).unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    for part in [
        "redis://********@h:1/3",
        "secret: '********'",
        "failures: 3",
        "cooldown: 60s",
        "breaker: off",
        "resolve:\n  min: 1s\n  max: 30s",
        "rateLimit: off",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let again = check(shown.as_bytes(), &["--print"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), shown);
}

#[test]
fn dotenv_is_read_and_the_environment_wins() {
    let run = |env: &[(&str, &str)]| {
        let mut command = aegis(&["check", "-c", "aegis.yaml", "--print"]);
        let directory = command.get_current_dir().unwrap().to_owned();
        fs::write(directory.join("aegis.yaml"), "routes: [{ path: /, target: 'http://${NAME}:1' }]").unwrap();
        fs::write(directory.join(".env"), "NAME=from-file\nPORT=1234\n").unwrap();
        let output = command.envs(env.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&[]).contains("http://from-file:1") && run(&[]).contains("0.0.0.0:1234"));
    assert!(run(&[("NAME", "from-environment")]).contains("http://from-environment:1"));
    let mut broken = aegis(&["check"]);
    fs::write(broken.get_current_dir().unwrap().join(".env"), "JWT_SECRET='hunter2\nNAME\n").unwrap();
    let output = broken.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(".env") && !stderr(&output).contains("hunter2"), "{output:?}");
}

#[test]
fn the_config_file_is_an_option_a_variable_or_the_default() {
    let mut command = aegis(&["check"]);
    let directory = command.get_current_dir().unwrap().to_owned();
    fs::create_dir(directory.join("conf")).unwrap();
    fs::write(directory.join("conf/aegis.yaml"), "routes: [{ path: /, target: 'http://a:1' }]").unwrap();
    fs::write(
        directory.join("other.yaml"),
        "routes: [{ path: /, target: 'http://a:1' }, { path: /b, target: 'http://a:1' }]",
    )
    .unwrap();
    assert_eq!(command.output().unwrap().stdout, b"conf/aegis.yaml: good, 1 route\n");
    command.env("AEGIS_CONFIG", "other.yaml");
    assert_eq!(command.output().unwrap().stdout, b"other.yaml: good, 2 routes\n");
}

#[test]
fn health_tells_a_healthy_instance_from_others() {
    let upstream = crate::support::Upstream::start();
    let gateway = crate::support::gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    let ask = |url: &str| aegis(&["health", url]).output().unwrap().status.code();
    assert_eq!(ask(&format!("http://{}/gateway/readyz", gateway.address)), Some(0));
    assert_eq!(ask(&format!("http://{}/gateway/nothing", gateway.address)), Some(1));
    assert_eq!(ask(&format!("http://{}/", crate::support::nobody())), Some(1));
    assert_eq!(ask("nonsense"), Some(1));
    let mut default = aegis(&["health"]);
    default.env("PORT", gateway.address.port().to_string());
    assert_eq!(default.output().unwrap().status.code(), Some(0));
}

#[test]
fn token_says_what_is_missing() {
    let none = aegis(&["token", "--user", "u"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "no config and no --secret: {none:?}");
    assert!(stderr(&none).contains("conf/aegis.yaml"), "{none:?}");
    let odd = aegis(&["token", "--user", "u", "--secret", "s", "--claim", "x"]).output().unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(stderr(&odd).contains("NAME=VALUE"), "{odd:?}");
}
