//! What nobody writes, but anybody may send: as much of it as is read, and more.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};
use tare_config::{MAX_BYTES, validate};
use tare_hostile::TARGETS;

/// How long a text may take, without optimisation and on a busy machine.
const MOST: Duration = Duration::from_secs(30);

/// How much memory the whole test may take, in KiB, the longest text among it.
const MOST_MEMORY: u64 = 600 << 10;

/// How long texts are, in bytes: as much as is read, if the build is not for tests (`--release`).
const SIZE: usize = if cfg!(debug_assertions) {
    32 << 10
} else {
    MAX_BYTES
};

/// `unit` again and again.
fn full(start: &str, unit: &str) -> Vec<u8> {
    let times = (SIZE - start.len()) / unit.len();
    [start, &unit.repeat(times)].concat().into_bytes()
}

/// Texts by what is in them.
fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let inner = |key: &str, times: usize| format!("{}{key}", format!("{key}.").repeat(times - 1));
    let deep = format!("{} = {{ ", inner("a", 79)).repeat(79);
    vec![
        ("100 MB", vec![b'#'; 100_000_000]),
        ("nothing", Vec::new()),
        ("NUL bytes", vec![0; MAX_BYTES]),
        ("not UTF-8", vec![0xff; MAX_BYTES]),
        ("comments", full("", "# a\r\n")),
        ("empty lines", full("\u{feff}", "\r\n")),
        ("lists in lists", full("a = ", "[")),
        ("tables in tables", full("a = ", "{a=")),
        ("tables by dotted keys", full("", &format!("{deep}\n"))),
        ("such an app", full(&format!("apps.{deep}\n"), "#")),
        ("a dotted key", full("", "a.")),
        ("a name", full("", "a")),
        ("a name of a service", full("[services.", "a")),
        ("a name of an option", full("engine.", "a")),
        ("headers", full("", "[a]\n")),
        ("headers of lists", full("", "[[a]]\n")),
        ("equals signs", full("", "=")),
        ("quotation marks", full("", "\"")),
        ("escapes", full("hostname = \"", "\\u0000")),
        ("a text", full("hostname = \"", "a")),
        ("texts of 128 KiB", {
            let text = format!("A{{}} = \"{}\"\n", "a".repeat(128 << 10));
            let lines = (0..7).map(|number| text.replace("{}", &number.to_string()));
            let lines: String = lines.collect();
            format!("[services.ssh.environment]\n{lines}").into_bytes()
        }),
        ("wrong elements", full("network.dns = [", "'a',")),
        ("duplicates", full("", "a = 1\n")),
    ]
}

#[test]
fn no_text_takes_long_or_much_memory() {
    for (what, text) in texts() {
        let start = Instant::now();
        let problems = validate("u", &text, &Default::default());
        let took = start.elapsed();
        assert!(took < MOST, "{what}: {took:?}");
        let said: usize = problems
            .iter()
            .map(|problem| problem.to_string().len())
            .sum();
        assert!(said < 64 * SIZE, "{what}: {said} bytes are said");
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.unwrap().trim().trim_end_matches(" kB").parse::<u64>();
    assert!(most.clone().unwrap() < MOST_MEMORY, "{most:?} KiB");
}

#[test]
fn no_target_takes_long() {
    for (target, read) in TARGETS {
        for (what, text) in texts() {
            let start = Instant::now();
            read(&text[..text.len().min(SIZE)]);
            let took = start.elapsed();
            assert!(took < MOST, "{target} reads {what}: {took:?}");
        }
    }
}
