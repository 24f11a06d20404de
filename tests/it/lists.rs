//! Files of targets.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use crate::discovery::{await_targets, discovery, statuses};
use crate::support::gateway::directory;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway};

/// A folder with a file of targets.
struct Listed(PathBuf);

impl Listed {
    fn new(text: &str) -> Self {
        let listed = Listed(directory());
        listed.write(text);
        listed
    }

    /// Renamed into place: the gateway may be reading it.
    fn write(&self, text: &str) {
        fs::write(self.0.join("new"), text).unwrap();
        fs::rename(self.0.join("new"), self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.join("targets.yaml")
    }

    fn gateway(&self) -> Gateway {
        gateway(format!("routes: [{{ path: /, target: 'file://{}' }}]\n", self.file().display()))
    }
}

#[test]
fn a_file_of_targets_is_followed() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let listed = Listed::new(&format!("- {}\n", a.url()));
    let gateway = listed.gateway();
    await_targets(&gateway, &[a.url()]);
    assert_eq!(statuses(&gateway, 2), [200; 2]);
    listed.write(&format!("- {}\n- {{ url: {}, weight: 3 }}\n", a.url(), b.url()));
    await_targets(&gateway, &[a.url(), b.url()]);
    assert_eq!(statuses(&gateway, 8), [200; 8]);
    assert_eq!((a.received().len(), b.received().len()), (4, 6));
    let row = gateway.settled_stats().into_iter().find(|row| row["targetUrl"] == a.url()).unwrap();
    assert_eq!(row["requests"], 4, "the counts of who stays go on");
    let swapped = Listed::new(&format!("- {}\n", b.url()));
    fs::remove_file(listed.file()).unwrap();
    symlink(swapped.file(), listed.file()).unwrap();
    await_targets(&gateway, &[b.url()]);
}

/// As an editor may do it, or a shell: the file stays the same one, and may even be as long as before.
#[test]
fn a_file_that_is_written_over_is_read_again() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let listed = Listed::new(&format!("- {}\n", a.url()));
    let gateway = listed.gateway();
    await_targets(&gateway, &[a.url()]);
    fs::write(listed.file(), format!("- {}\n- {}\n", a.url(), b.url())).unwrap();
    await_targets(&gateway, &[a.url(), b.url()]);
    fs::write(listed.file(), format!("- {}\n", a.url())).unwrap();
    await_targets(&gateway, &[a.url()]);
    // By whatever clock the file system goes, the next one is written later.
    let modified = || fs::metadata(listed.file()).unwrap().modified().unwrap();
    eventually("another time", || modified().elapsed().ok().filter(|age| *age > Duration::from_millis(20)));
    assert_eq!(a.url().len(), b.url().len());
    fs::write(listed.file(), format!("- {}\n", b.url())).unwrap();
    await_targets(&gateway, &[b.url()]);
    assert_eq!((statuses(&gateway, 3), a.received().len()), (vec![200; 3], 0));
}

/// As Kubernetes does it: the file is a link into `..data`, which is a link to the folder of a version. Nothing of the
/// link that the config names changes, and the versions may be of one length and age.
#[test]
fn a_file_behind_a_link_that_is_aimed_elsewhere_is_read_again() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let volume = directory();
    let version = |name: &str, upstream: &Upstream| {
        fs::create_dir(volume.join(name)).unwrap();
        let file = volume.join(name).join("targets.yaml");
        fs::write(&file, format!("- {}\n", upstream.url())).unwrap();
        fs::File::open(&file).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        symlink(name, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    version("..first", &a);
    symlink("..data/targets.yaml", volume.join("targets.yaml")).unwrap();
    let gateway = Listed(volume.clone()).gateway();
    await_targets(&gateway, &[a.url()]);
    assert_eq!(statuses(&gateway, 2), [200; 2]);
    version("..second", &b);
    await_targets(&gateway, &[b.url()]);
    assert_eq!((statuses(&gateway, 3), a.received().len()), (vec![200; 3], 2));
    assert!(!gateway.stderr().contains("stay as they are"), "{}", gateway.stderr());
}

#[test]
fn a_file_that_disappears_or_is_wrong_changes_nothing_and_is_told_of_once() {
    let upstream = Upstream::start();
    let good = format!("- {}\n", upstream.url());
    let listed = Listed::new(&good);
    let gateway = listed.gateway();
    await_targets(&gateway, &[upstream.url()]);
    let error = |part: &str| {
        eventually(part, || {
            discovery(&gateway)["error"].as_str().filter(|error| error.contains(part)).map(str::to_owned)
        })
    };
    fs::remove_file(listed.file()).unwrap();
    error("No such file");
    listed.write("- ftp://a\n");
    assert!(error("unknown scheme").contains("targets.yaml:1:3: [0]"));
    listed.write("[]\n");
    error("there is no target");
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.stderr().matches("its targets stay as they are").count(), 3, "{}", gateway.stderr());
    listed.write(&good);
    eventually("it to be well again", || discovery(&gateway)["error"].is_null().then_some(()));
}

/// What is under way to a target that is gone ends as it would have.
#[test]
fn a_target_that_is_gone_is_drained() {
    let slow = Upstream::with(|_| {
        std::thread::sleep(Duration::from_millis(2_500));
        Reply::ok()
    });
    let other = Upstream::start();
    let listed = Listed::new(&format!("- {}\n", slow.url()));
    let gateway = listed.gateway();
    await_targets(&gateway, &[slow.url()]);
    let mut connection = gateway.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("it to be under way", || (slow.received().len() == 1).then_some(()));
    listed.write(&format!("- {}\n", other.url()));
    await_targets(&gateway, &[other.url()]);
    assert_eq!(statuses(&gateway, 3), [200; 3]);
    assert_eq!(connection.answer(false).status, 200);
    assert_eq!((slow.received().len(), other.received().len()), (1, 3));
}

/// Answers of DNS that name a few at a time closed the circuits of those that they left out.
#[test]
fn a_target_that_comes_back_has_the_circuit_that_it_had() {
    let (well, broken) = (Upstream::start(), Upstream::with(|_| Reply::status(500, "broken")));
    let listed = Listed::new(&format!("- {}\n- {}\n", well.url(), broken.url()));
    let gateway = listed.gateway();
    await_targets(&gateway, &[well.url(), broken.url()]);
    eventually("its circuit to open", || {
        gateway.get("/");
        gateway.states().contains(&"OPEN".to_owned()).then_some(())
    });
    let before = broken.received().len();
    listed.write(&format!("- {}\n", well.url()));
    await_targets(&gateway, &[well.url()]);
    listed.write(&format!("- {}\n- {}\n", well.url(), broken.url()));
    await_targets(&gateway, &[well.url(), broken.url()]);
    let row = gateway.stats().into_iter().find(|row| row["targetUrl"] == broken.url()).unwrap();
    assert_eq!((&row["state"], &row["trips"]), (&"OPEN".into(), &1.into()), "{row}");
    assert_eq!((statuses(&gateway, 4), broken.received().len()), (vec![200; 4], before));
}

#[test]
fn what_the_config_says_of_a_target_counts_and_a_source_that_says_otherwise_is_told_once() {
    let (named, other) = (Upstream::start(), Upstream::start());
    let listed = Listed::new(&format!("- {}\n", named.url()));
    let over = |breaker: &str| {
        gateway(format!(
            "routes:\n  - {{ path: /a, target: {}, breaker: {{ failures: 5 }} }}\n  - {{ path: /b, target: 'file://{}', {breaker} }}\n",
            named.url(),
            listed.file().display()
        ))
    };
    let told = |gateway: &Gateway| gateway.stderr().matches("is known with another breaker or healthCheck").count();
    let same = over("timeouts: { firstByte: 1s }, breaker: { failures: 5 }");
    let another = over("breaker: { failures: 1 }");
    let checked = over("breaker: off, healthCheck: { interval: 1s }");
    listed.write(&format!("- {}\n- {}\n", named.url(), other.url()));
    for (gateway, times) in [(&same, 0), (&another, 1), (&checked, 1)] {
        await_targets(gateway, &[named.url(), named.url(), other.url()]);
        eventually("it to be told", || (told(gateway) >= times).then_some(()));
        assert_eq!(told(gateway), times, "{}", gateway.stderr());
    }
}

/// A target of copies had no breaker and no checks, whoever found it later.
#[test]
fn a_target_that_copies_go_to_is_guarded_as_its_source_says() {
    let (well, failing) = (
        Upstream::start(),
        Upstream::with(|request| match request.path() {
            "/health" => Reply::ok(),
            _ => Reply::status(500, "broken"),
        }),
    );
    let listed = Listed::new(&format!("- {}\n", failing.url()));
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /a, target: {}, mirror: {{ target: {} }} }}\n  - {{ path: /b, target: 'file://{}', breaker: {{ failures: 1 }}, healthCheck: {{ path: /health }} }}\n",
        well.url(),
        failing.url(),
        listed.file().display()
    ));
    await_targets(&gateway, &[well.url(), failing.url()]);
    let row = || gateway.stats().swap_remove(1);
    eventually("its check", || (row()["health"]["state"] == "HEALTHY").then_some(()));
    assert_eq!((gateway.get("/b").status, row()["state"].as_str()), (500, Some("OPEN")));
    assert_eq!(gateway.get("/a").status, 200);
    eventually("the copy", || (gateway.stats()[0]["route"]["mirror"]["sent"] == 1).then_some(()));
}

/// A pod that is restarted while somebody drains it got requests again.
#[test]
fn a_target_that_is_held_open_is_so_when_it_comes_back_until_it_is_reset() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let both = format!("- {}\n- {}\n", one.url(), other.url());
    let listed = Listed::new(&both);
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nroutes: [{{ path: /, target: 'file://{}' }}]\n",
        listed.file().display()
    ));
    await_targets(&gateway, &[one.url(), other.url()]);
    let act = |action: &str| {
        let answer = gateway.operate("POST", &format!("/circuits/{action}?target={}", one.url()), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let leave_and_return = |meanwhile: &dyn Fn()| {
        listed.write(&format!("- {}\n", other.url()));
        await_targets(&gateway, &[other.url()]);
        meanwhile();
        listed.write(&both);
        await_targets(&gateway, &[one.url(), other.url()]);
    };
    act("open");
    leave_and_return(&|| {});
    assert_eq!((statuses(&gateway, 4), one.received().len()), (vec![200; 4], 0));
    leave_and_return(&|| act("reset"));
    assert_eq!((statuses(&gateway, 4), one.received().len()), (vec![200; 4], 2));
}
