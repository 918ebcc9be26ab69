//! Parses the messages of a service's notify socket (`sd_notify(3)`).

use std::time::Duration;

/// The longest `STATUS=` that is kept, in characters.
const MAX_STATUS: usize = 200;

/// The keys that a service may set.
const KEYS: [&str; 9] = [
    "READY",
    "RELOADING",
    "STOPPING",
    "STATUS",
    "WATCHDOG",
    "WATCHDOG_USEC",
    "MAINPID",
    "EXTEND_TIMEOUT_USEC",
    "X_TARE_PROBLEM",
];

/// One assignment in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Ready,
    /// With the time at which it began, on `CLOCK_MONOTONIC`, if given.
    Reloading(Option<Duration>),
    Stopping,
    Status(String),
    /// Of its configuration; empty if there is none any more.
    Problem(String),
    Watchdog,
    WatchdogTrigger,
    WatchdogInterval(Duration),
    /// As the service sees it, in its own pid namespace.
    MainPid(i32),
    ExtendTimeout(Duration),
}

/// The known assignments of `message`, in its order, except that `EXTEND_TIMEOUT_USEC` comes last. Of repeated keys
/// only the last counts: each is work for PID 1, and a message may have hundreds of lines.
pub(super) fn parse(message: &str) -> Vec<Notice> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for pair in message.lines().filter_map(|line| line.split_once('=')) {
        if KEYS.contains(&pair.0) {
            pairs.retain(|(key, _)| *key != pair.0);
            pairs.push(pair);
        }
    }
    let parsed = pairs.iter();
    let mut notices: Vec<Notice> = parsed
        .filter_map(|(key, value)| parse_pair(key, value, message))
        .collect();
    // It applies to the state into which the rest of the message brings the service.
    notices.sort_by_key(|notice| matches!(notice, Notice::ExtendTimeout(_)));
    notices
}

fn parse_pair(key: &str, value: &str, message: &str) -> Option<Notice> {
    match (key, value) {
        ("READY", "1") => Some(Notice::Ready),
        ("RELOADING", "1") => {
            let begun = values(message, "MONOTONIC_USEC").next();
            Some(Notice::Reloading(begun.and_then(microseconds)))
        }
        ("STOPPING", "1") => Some(Notice::Stopping),
        ("STATUS", text) => Some(Notice::Status(printable(text))),
        ("X_TARE_PROBLEM", text) => Some(Notice::Problem(printable(text))),
        ("WATCHDOG", "1") => Some(Notice::Watchdog),
        ("WATCHDOG", "trigger") => Some(Notice::WatchdogTrigger),
        ("WATCHDOG_USEC", text) => microseconds(text).map(Notice::WatchdogInterval),
        ("MAINPID", text) => text
            .parse()
            .ok()
            .filter(|pid| *pid > 0)
            .map(Notice::MainPid),
        ("EXTEND_TIMEOUT_USEC", text) => microseconds(text).map(Notice::ExtendTimeout),
        _ => None,
    }
}

fn microseconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_micros)
}

fn printable(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_STATUS).collect()
}

/// The values of `key` in a message of `KEY=VALUE` lines.
pub(crate) fn values<'a>(message: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = message.lines().filter_map(|line| line.split_once('='));
    pairs.filter_map(move |(name, value)| (name == key).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let micros = Duration::from_micros;
        for (message, want) in [
            ("READY=1", vec![Notice::Ready]),
            (
                "READY=1\nSTATUS=a\u{1b}b=c\nX=1\n",
                vec![Notice::Ready, Notice::Status("ab=c".to_owned())],
            ),
            (
                "X_TARE_PROBLEM=a\tb\nX_TARE_PROBLEM=c",
                vec![Notice::Problem("c".to_owned())],
            ),
            ("RELOADING=1", vec![Notice::Reloading(None)]),
            (
                "RELOADING=1\nMONOTONIC_USEC=7",
                vec![Notice::Reloading(Some(micros(7)))],
            ),
            ("STOPPING=1", vec![Notice::Stopping]),
            ("WATCHDOG=1", vec![Notice::Watchdog]),
            (
                "MAINPID=1\nREADY=1\nMAINPID=2\nMAINPID=3",
                vec![Notice::Ready, Notice::MainPid(3)],
            ),
            (
                "WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG_USEC=20000000",
                vec![
                    Notice::WatchdogTrigger,
                    Notice::WatchdogInterval(micros(20_000_000)),
                ],
            ),
            ("MAINPID=42", vec![Notice::MainPid(42)]),
            (
                "EXTEND_TIMEOUT_USEC=5000000",
                vec![Notice::ExtendTimeout(micros(5_000_000))],
            ),
            (
                "EXTEND_TIMEOUT_USEC=5\nSTOPPING=1",
                vec![Notice::Stopping, Notice::ExtendTimeout(micros(5))],
            ),
            (
                "READY=0\nMAINPID=-1\nMAINPID=x\nWATCHDOG_USEC=-1\nREADY",
                vec![],
            ),
        ] {
            assert_eq!(parse(message), want, "{message}");
        }
        let long = "x".repeat(999);
        let kept = Notice::Status("x".repeat(200));
        assert_eq!(parse(&format!("STATUS={long}")), [kept]);
    }

    #[test]
    fn a_key_has_values() {
        let message = "READY=1\nX_TARE_LEASE={\"a\"=1}\nX_TARE_LEASE=2\njunk";
        let leases: Vec<_> = values(message, "X_TARE_LEASE").collect();
        assert_eq!(leases, ["{\"a\"=1}", "2"]);
        assert_eq!(values(message, "junk").count(), 0);
    }
}
