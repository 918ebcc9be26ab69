//! Old names of keys.

use super::*;
use crate::layers::moved::{Moved, Now};

const MOVED: &[Moved] = &[
    Moved {
        from: &["log", "size"],
        since: "0.2",
        now: Now::Renamed(&["log", "total"]),
    },
    Moved {
        from: &["network", "interfaces", "*", "ip"],
        since: "0.2",
        now: Now::Renamed(&["network", "interfaces", "*", "addresses"]),
    },
    Moved {
        from: &["ntp"],
        since: "0.3",
        now: Now::Renamed(&["time"]),
    },
    Moved {
        from: &["greeting"],
        since: "0.3",
        now: Now::Renamed(&["log", "forward", "to"]),
    },
    Moved {
        from: &["engine", "tls"],
        since: "0.2",
        now: Now::Removed("write `engine.tlsverify`"),
    },
];

/// What the last of `sources` was, what is wrong, and the keys that are set.
fn moved(sources: &[&str]) -> (Added, Vec<String>, Vec<String>) {
    let image = image();
    let mut layers = Layers::new(&image);
    layers.moved = MOVED;
    let mut added = Added::Whole;
    let names = &["weak", "u"][2 - sources.len()..];
    for (name, text) in names.iter().zip(sources) {
        added = layers.add(name, text.as_bytes());
    }
    let set = layers.settings();
    let set = set
        .iter()
        .map(|(key, setting)| format!("{key} = {}", setting.value));
    let set = set.collect();
    let problems = layers.finish().problems;
    let problems = problems.iter().map(ToString::to_string).collect();
    (added, problems, set)
}

#[test]
fn an_old_name_works_and_says_the_new_one() {
    for (sources, problems, set) in [
        (
            &["log.size = '1GiB'"][..],
            vec!["u:1:5: `log.size` is called `log.total` since 0.2"],
            vec!["log.total = \"1GiB\""],
        ),
        (
            &["[log]\nsize = '1GiB'\ntotal = '2GiB'"],
            vec![
                "u:2:1: `log.size` is called `log.total` since 0.2; both are set, and `log.total` is in force",
            ],
            vec!["log.total = \"2GiB\""],
        ),
        (
            &["log.total = '2GiB'", "log.size = '1GiB'"],
            vec!["u:1:5: `log.size` is called `log.total` since 0.2"],
            vec!["log.total = \"1GiB\""],
        ),
        (
            &["log.size = '2GiB'", "log.total = '1GiB'"],
            vec!["weak:1:5: `log.size` is called `log.total` since 0.2"],
            vec!["log.total = \"1GiB\""],
        ),
        (
            &["[network.interfaces.a]\nip = ['10.0.0.2/24']\n[network.interfaces.b]\nip = []"],
            vec![
                "u:2:1: `network.interfaces.a.ip` is called `network.interfaces.a.addresses` since 0.2",
                "u:4:1: `network.interfaces.b.ip` is called `network.interfaces.b.addresses` since 0.2",
            ],
            vec![
                "network.interfaces.a.addresses = [\"10.0.0.2/24\"]",
                "network.interfaces.b.addresses = []",
            ],
        ),
        (
            &["[ntp]\nservers = ['a.example']"],
            vec!["u:1:2: `ntp` is called `time` since 0.3"],
            vec!["time.servers = [\"a.example\"]"],
        ),
        (
            &["greeting = 'udp://a'"],
            vec!["u:1:1: `greeting` is called `log.forward.to` since 0.3"],
            vec!["log.forward.to = \"udp://a\""],
        ),
    ] {
        let want = (
            Added::Whole,
            problems.iter().map(ToString::to_string).collect(),
            set.iter().map(ToString::to_string).collect(),
        );
        assert_eq!(moved(sources), want);
    }
}

#[test]
fn a_wrong_value_of_an_old_name_costs_itself() {
    let (added, problems, set) = moved(&["log.size = 5\nlog.rate = 1"]);
    assert_eq!(added, Added::InPart);
    assert_eq!(
        problems,
        [
            "u:1:5: `log.size` is called `log.total` since 0.2",
            "u:1:12: `log.total` is left out: invalid type: integer, expected a string",
        ]
    );
    assert_eq!(set, ["log.rate = 1"]);
}

#[test]
fn an_old_name_can_be_taken_back() {
    let (_, problems, set) = moved(&["log.total = '1GiB'\nlog.rate = 1", "unset = ['log.size']"]);
    assert_eq!(
        problems,
        ["u:1:10: `log.size` is called `log.total` since 0.2"]
    );
    assert_eq!(set, ["log.rate = 1"]);
    let (_, problems, set) = moved(&["ntp.servers = ['a']", "unset = ['ntp.servers']"]);
    assert_eq!(
        problems,
        [
            "weak:1:1: `ntp` is called `time` since 0.3",
            "u:1:10: `ntp.servers` is called `time.servers` since 0.3",
        ]
    );
    assert_eq!(set, [""; 0]);
}

/// It may have kept the engine safe.
#[test]
fn a_removed_key_is_refused_and_says_what_to_write() {
    let text = "hostname = 'a'\n[engine]\ntls = { verify = true }\nhosts = ['tcp://0.0.0.0:2376']\ndebug = true";
    let (added, problems, set) = moved(&[text]);
    assert_eq!(added, Added::InPart);
    assert_eq!(
        problems,
        [
            "u:3:1: `engine.tls` is left out: unknown key since 0.2: write `engine.tlsverify`",
            "u:4:1: `engine.hosts` is left out: it needs engine.tls",
        ]
    );
    assert_eq!(set, ["engine.debug = true", "hostname = \"a\""]);
}
