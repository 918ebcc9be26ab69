//! The engine's `hosts` without TLS make anyone who reaches them root.

use super::*;

const HOSTS: &str = "[engine]\nmtu = 1400\nhosts = ['tcp://0.0.0.0:2376']";
const TLS: &str = "[engine]\ntlsverify = true\ntlscacert = '/a'\ntlscert = '/b'\ntlskey = '/c'";
const BOTH: &str = "[engine]\nhosts = ['tcp://0.0.0.0:2376']\ntlsverify = true\ntlscacert = '/a'\ntlscert = '/b'\ntlskey = '/c'";

/// What the sources `image`, `fw_cfg` and `local` set of the engine, and what is said about `image`.
fn engine(sources: [&str; 3]) -> (Vec<String>, Vec<String>) {
    let [image, fw_cfg, local] = sources;
    let made = merge(&[("image", image), ("fw_cfg", fw_cfg), ("local", local)]);
    let said = made.problems.iter().map(ToString::to_string);
    let said = said.filter(|problem| problem.starts_with("image"));
    (origins(&made), said.collect())
}

#[test]
fn hosts_of_a_weaker_source_fall_with_a_wrong_key_of_tls() {
    for (wrong, key) in [
        ("tlsverify = 'yes'", "tlsverify"),
        ("tlsverify = true", "tlsverify"),
        ("tlskey = 'x'", "tlskey"),
        ("tlsverfy = true", "tlsverfy"),
        ("tslverify = true", "tslverify"),
        ("tls = true", "tls"),
        ("hosts = 'x'", "hosts"),
    ] {
        let (set, said) = engine([HOSTS, &format!("[engine]\n{wrong}"), ""]);
        assert_eq!(set, ["engine.mtu: image"], "{wrong}");
        let why = format!("it needs engine.{key}, which is wrong in fw_cfg");
        let want = format!("image:3:1: `engine.hosts` is left out: {why}");
        assert_eq!(said, [want], "{wrong}");
    }
    let (set, said) = engine([HOSTS, "engine = true", ""]);
    assert_eq!(set, ["engine.mtu: image"]);
    let why = "it needs engine, which is wrong in fw_cfg";
    let want = format!("image:3:1: `engine.hosts` is left out: {why}");
    assert_eq!(said, [want]);
}

#[test]
fn tls_of_a_weaker_source_does_not_stand_in_for_what_is_wrong() {
    let (set, said) = engine([BOTH, "engine.tlscacert = 'x'", ""]);
    assert_eq!(set, [""; 0]);
    let why = "it needs engine.tlscacert, which is wrong in fw_cfg";
    let keys = ["hosts", "tlsverify", "tlscacert", "tlscert", "tlskey"];
    let want = keys
        .iter()
        .zip(2..)
        .map(|(key, line)| format!("image:{line}:1: `engine.{key}` is left out: {why}"));
    assert_eq!(said, want.collect::<Vec<_>>());
}

#[test]
fn hosts_of_a_stronger_source_need_tls_of_their_own_then() {
    for image in ["", TLS, HOSTS] {
        let (set, _) = engine([image, "engine.tlskey = 'x'", HOSTS]);
        assert_eq!(set, ["engine.mtu: local"]);
        let (set, _) = engine([image, "engine.tlskey = 'x'", BOTH]);
        assert!(set.contains(&"engine.hosts: local".to_owned()), "{set:?}");
    }
}

#[test]
fn hosts_without_tls_stay_where_nothing_of_tls_is_wrong() {
    let (set, _) = engine([HOSTS, "engine.mtu = 'x'\nhostnam = 'a'", ""]);
    assert_eq!(set, ["engine.hosts: image", "engine.mtu: image"]);
}
