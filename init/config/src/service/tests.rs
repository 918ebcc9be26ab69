use super::*;
use crate::{Override, Span, parse};

const SSH: &str = r#"
description = "OpenSSH server"
[image]
packages = ["openssh-server"]
[process]
args = ["/usr/sbin/sshd", "-D"]
capabilities = ["CAP_SETUID"]
[sandbox]
host-namespaces = ["network"]
[[mounts]]
volume = "ssh"
target = "/etc/ssh/keys"
[lifecycle]
after = ["network:online", "log:ready"]
ready = { tcp = 22 }
restart = { policy = "always", backoff = "100ms..30s" }
stop = { signal = "SIGTERM", grace = "10s" }
[resources]
memory-max = "64MiB"
"#;

fn ssh() -> Service {
    parse("ssh", SSH.as_bytes()).unwrap()
}

#[test]
fn a_service_is_closed_but_for_what_it_names() {
    let service = ssh();
    assert!(service.sandbox.joins(Namespace::Network));
    assert!(!service.sandbox.joins(Namespace::Pid));
    assert!(service.sandbox.read_only_rootfs && service.sandbox.no_new_privileges);
    assert_eq!(service.sandbox.seccomp, SeccompProfile::Default);
    assert_eq!(service.process.capabilities[0].number(), 7);
    assert_eq!(service.lifecycle.ready, Ready::Tcp(22));
    assert_eq!(
        service.lifecycle.after,
        [Condition::NetworkOnline, Condition::Ready("log".to_owned())]
    );
    assert_eq!(service.mounts[0].source, Source::Volume("ssh".to_owned()));
}

#[test]
fn a_service_survives_json_and_toml() {
    let text = toml::to_string(&ssh()).unwrap();
    assert_eq!(parse::<Service>("again", text.as_bytes()).unwrap(), ssh());
}

#[test]
fn an_override_changes_what_it_names_and_nothing_else() {
    let change: Override = parse(
        "u",
        b"enabled = false\n[resources]\npids-max = 9\n[lifecycle.restart]\nbackoff = '1s..2s'\n",
    )
    .unwrap();
    let changed = change.apply(ssh());
    assert!(!changed.enabled);
    assert_eq!(changed.resources.pids_max, 9);
    assert_eq!(changed.resources.memory_max, Some(Bytes::mib(64)));
    assert_eq!(changed.lifecycle.restart.policy, RestartPolicy::Always);
    assert_eq!(changed.lifecycle.restart.backoff.most, Span::seconds(2));
}

#[test]
fn refusals() {
    for (from, to, want) in [
        (
            "CAP_SETUID",
            "CAP_SETUIDS",
            "s:7:16: unknown capability `CAP_SETUIDS`, did you mean `CAP_SETUID`?",
        ),
        (
            "volume = \"ssh\"",
            "volume = \"../x\"",
            "s:10:1: `../x` is not a name: write a letter, then letters, digits or `-`, all lower case, 63 at most",
        ),
        (
            "volume = \"ssh\"",
            "volume = \"a\"\nhost = \"/b\"",
            "s:10:1: mount on /etc/ssh/keys must name exactly one of volume, shared, host, tmpfs",
        ),
        (
            "\"/etc/ssh/keys\"",
            "\"/a/../b\"",
            "s:10:1: `/a/../b` must be an absolute path without `..`",
        ),
        (
            "100ms..30s",
            "30s..1s",
            "s:16:42: `30s..1s` must go from a wait above zero to one at least as long",
        ),
        (
            "log:ready",
            "log",
            "s:14:9: `log` is not a condition: write `network:online`, `state:mounted`, `NAME:ready` or `NAME:done`",
        ),
    ] {
        let text = SSH.replace(from, to);
        assert_eq!(
            parse::<Service>("s", text.as_bytes())
                .unwrap_err()
                .to_string(),
            want
        );
    }
}
