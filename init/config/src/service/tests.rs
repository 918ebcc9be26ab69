use super::*;
use crate::{Override, Span, parse};

mod docs;

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
    assert_eq!(service.process.capabilities[0].name(), "CAP_SETUID");
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
        b"enabled = false\n[resources]\npids-max = 9\n[lifecycle.restart]\nbackoff = '1s..2s'\n\
          [lifecycle]\nstart = 'on-demand'\nhealth = { tcp = 22 }\nstop = { grace = '3s' }\n",
    )
    .unwrap();
    let changed = change.apply(ssh());
    assert!(!changed.enabled);
    assert_eq!(changed.resources.pids_max, 9);
    assert_eq!(changed.resources.memory_max, Some(Bytes::mib(64)));
    assert_eq!(changed.lifecycle.restart.policy, RestartPolicy::Always);
    assert_eq!(changed.lifecycle.restart.backoff.most, Span::seconds(2));
    assert_eq!(changed.lifecycle.start, Start::OnDemand);
    assert_eq!(
        changed.lifecycle.health.map(|health| health.probe),
        Some(Probe::Tcp(22))
    );
    assert_eq!(changed.lifecycle.stop.grace, Span::seconds(3));
    assert_eq!(changed.lifecycle.stop.signal, StopSignal::Term);
    assert_eq!(changed.lifecycle.after, ssh().lifecycle.after);
}

#[test]
fn every_way_of_a_life_survives_json_and_toml() {
    for text in [
        "kind = 'periodic'\nschedule = 'Mon *-*-* 03:00'",
        "kind = 'periodic'\nschedule = '15min'\nstart-timeout = '1h'",
        "after = ['time:synced', 'path:/dev/kvm', 'a:ready', 'b:done']",
        "ready = { http = '8080/healthz' }\nwatchdog = '10s'\nstart = 'on-demand'",
        "ready = { exec = ['/bin/true', '-v'] }\nhealth = { unix = '/run/x', retries = 1 }",
        "restart = { limit = { starts = 5, within = '1min', then = 'keep-trying' }, stable = '5s' }",
    ] {
        let lifecycle: Lifecycle = parse("l", text.as_bytes()).unwrap();
        let again = toml::to_string(&lifecycle).unwrap();
        assert_eq!(
            parse::<Lifecycle>("l", again.as_bytes()).unwrap(),
            lifecycle,
            "{text}"
        );
    }
    let socket = "stream = '/run/a/b'\nmode = '0600'\ngroup = 988\nname = 'b'";
    let socket: Socket = parse("s", socket.as_bytes()).unwrap();
    let again = toml::to_string(&socket).unwrap();
    assert_eq!(parse::<Socket>("s", again.as_bytes()).unwrap(), socket);
    assert_eq!((socket.mode, socket.group), (0o600, 988));
}

#[test]
fn timeouts_have_defaults_by_kind() {
    for (text, want) in [
        ("", Some(Span::seconds(90))),
        ("start-timeout = '0s'", None),
        ("kind = 'oneshot'", None),
        (
            "kind = 'oneshot'\nstart-timeout = '5s'",
            Some(Span::seconds(5)),
        ),
    ] {
        let lifecycle: Lifecycle = parse("l", text.as_bytes()).unwrap();
        assert_eq!(lifecycle.start_timeout(), want, "{text}");
    }
}

#[test]
fn refusals_of_a_life() {
    for (text, want) in [
        (
            "health = { interval = '1s' }",
            "s:1:10: health must name exactly one of tcp, unix, http, exec",
        ),
        (
            "health = { tcp = 1, retries = 0 }",
            "s:1:10: interval, timeout and retries of health must be above zero",
        ),
        (
            "ready = { http = 'healthz' }",
            "s:1:9: this is not a port and a path: write `8080/healthz`",
        ),
        (
            "schedule = '10ms'",
            "s:1:12: `10ms` is too often: a second is the least",
        ),
        (
            "schedule = '31 o clock'",
            "s:1:12: `31 o clock` is not a schedule: write `15m`, `daily` or `Mon *-*-* 03:00`",
        ),
        (
            "after = ['path:x']",
            "s:1:9: `x` must be an absolute path without `..`",
        ),
        (
            "start = 'demand'",
            "s:1:9: unknown value `demand`, did you mean `on-demand`?",
        ),
    ] {
        let error = parse::<Lifecycle>("s", text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn refusals() {
    for (from, to, want) in [
        (
            "[[mounts]]",
            "devices = [\"kmsg\"]\n[[mounts]]",
            "s:10:11: `kmsg` is no device: write a path below /dev, or `all` alone",
        ),
        (
            "[[mounts]]",
            "devices = [\"all\", \"/dev/kmsg\"]\n[[mounts]]",
            "s:10:11: `all` is no device: write a path below /dev, or `all` alone",
        ),
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
            "s:14:9: `log` is not a condition: write `network:online`, `state:mounted`, `time:synced`, `path:/ABSOLUTE`, `NAME:ready` or `NAME:done`",
        ),
        (
            "[\"/usr/sbin/sshd\", \"-D\"]",
            "[]",
            "s:6:8: args must start with the absolute path of a program",
        ),
        (
            "\"-D\"",
            "\"-\\u0000\"",
            "s:6:8: an argument or variable must not hold a NUL byte",
        ),
        (
            "[lifecycle]",
            "[environment]\nA = \"\\u0000\"\n[lifecycle]",
            "s:14:5: an argument or variable must not hold a NUL byte",
        ),
        (
            "64MiB",
            "1023KiB",
            "s:19:14: memory-max must be 1MiB or more, is 1023KiB",
        ),
        (
            "memory-max = \"64MiB\"",
            "pids-max = 4194305",
            "s:19:12: pids-max must be 0..=4194304, is 4194305",
        ),
        (
            "memory-max = \"64MiB\"",
            "cpu-weight = 10001",
            "s:19:14: cpu-weight must be 1..=10000, is 10001",
        ),
        (
            "memory-max = \"64MiB\"",
            "oom-score-adj = -1001",
            "s:19:17: oom-score-adj must be -1000..=1000, is -1001",
        ),
        (
            "memory-max = \"64MiB\"",
            "open-files = 1048577",
            "s:19:14: open-files must be 16..=1048576, is 1048577",
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
