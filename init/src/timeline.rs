//! How the boot went: what began and ended when, and what waited for what.

use std::time::Duration;
use tare_config::service::{Condition, Lifecycle};
use tare_control::{GetBootTimeline, Span, SpanKind};

/// The kernel, until it ran PID 1.
pub(crate) const KERNEL: &str = "kernel";
/// Base mounts, cgroups, event loop.
pub(crate) const BASE: &str = "base";
/// Mounting the state and reading the configuration on it.
pub(crate) const CONFIGURATION: &str = "configuration";
/// Waiting for a default route.
pub(crate) const NETWORK: &str = "network";

/// The spans of a boot, in the order of their start.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    spans: Vec<Span>,
    ready_at: Option<u64>,
    /// What begins or ends later does not belong to the boot.
    closes_at: Option<Duration>,
}

impl Timeline {
    /// The timeline of a boot in which the kernel ran PID 1 at `started`.
    pub(crate) fn new(started: Duration) -> Self {
        let mut timeline = Self::default();
        timeline.stage(KERNEL, Duration::ZERO, &[]);
        timeline.stage_ended(KERNEL, started);
        timeline.stage(BASE, started, &[KERNEL]);
        timeline
    }

    /// A stage begins, after others.
    pub(crate) fn stage(&mut self, name: &str, at: Duration, after: &[&str]) {
        let after = after.iter().map(ToString::to_string).collect();
        self.begin(span(name, SpanKind::Stage, at, after));
    }

    /// A stage ends.
    pub(crate) fn stage_ended(&mut self, name: &str, at: Duration) {
        self.end(name, SpanKind::Stage, at);
    }

    /// The program of a service is started.
    pub(crate) fn service(&mut self, name: &str, at: Duration, lifecycle: &Lifecycle) {
        // Before the configuration, only the service that makes it readable is started.
        let earliest = match self.is_there(CONFIGURATION) {
            true => CONFIGURATION,
            false => BASE,
        };
        let mut after: Vec<String> = lifecycle.after.iter().map(span_of).collect();
        if after.is_empty() {
            after.push(earliest.to_owned());
        }
        self.begin(Span {
            required: lifecycle.required,
            ..span(name, SpanKind::Service, at, after)
        });
    }

    /// A service is ready or done, or has failed.
    pub(crate) fn service_ended(&mut self, name: &str, at: Duration) {
        self.end(name, SpanKind::Service, at);
    }

    /// All required services are ready.
    pub(crate) fn ready(&mut self, at: Duration) {
        self.ready_at.get_or_insert(micros(at));
    }

    /// When all required services became ready.
    pub(crate) fn ready_at(&self) -> Option<u64> {
        self.ready_at
    }

    /// The boot is over at `at`: what begins or ends later does not belong to it.
    pub(crate) fn close_at(&mut self, at: Duration) {
        self.closes_at = Some(at);
    }

    /// The timeline for the control interface.
    pub(crate) fn tell(&self) -> GetBootTimeline {
        GetBootTimeline {
            spans: self.spans.clone(),
            ready_at: self.ready_at,
            firmware: None,
            loader: None,
        }
    }

    /// Only the first start counts: a service that is started again is not ready yet.
    fn begin(&mut self, span: Span) {
        if self.is_open(span.began) && self.find(&span.name, span.kind).is_none() {
            self.spans.push(span);
        }
    }

    /// Only the first end counts.
    fn end(&mut self, name: &str, kind: SpanKind, at: Duration) {
        let at = micros(at);
        let open = self.is_open(at);
        if let Some(span) = self.find(name, kind).filter(|_| open) {
            span.ended.get_or_insert(at);
        }
    }

    fn is_open(&self, at: u64) -> bool {
        self.closes_at.is_none_or(|close| at <= micros(close))
    }

    fn find(&mut self, name: &str, kind: SpanKind) -> Option<&mut Span> {
        self.spans
            .iter_mut()
            .find(|span| span.kind == kind && span.name == name)
    }

    fn is_there(&self, stage: &str) -> bool {
        self.spans.iter().any(|span| span.name == stage)
    }
}

fn span(name: &str, kind: SpanKind, at: Duration, after: Vec<String>) -> Span {
    Span {
        name: name.to_owned(),
        kind,
        required: false,
        began: micros(at),
        ended: None,
        after,
    }
}

/// The span whose end makes `condition` hold.
fn span_of(condition: &Condition) -> String {
    match condition {
        Condition::NetworkOnline => NETWORK.to_owned(),
        Condition::StateMounted => CONFIGURATION.to_owned(),
        Condition::Ready(name) | Condition::Done(name) => name.clone(),
        // No span of the boot makes these hold.
        Condition::TimeSynced | Condition::Path(_) => condition.to_string(),
    }
}

/// The interface's unit of time.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn after(conditions: &[&str]) -> Lifecycle {
        let condition = |text: &&str| Condition::try_from((*text).to_owned()).unwrap();
        Lifecycle {
            after: conditions.iter().map(condition).collect(),
            ..Lifecycle::default()
        }
    }

    /// A span as one line: name, from, to, after.
    fn lines(timeline: &Timeline) -> Vec<String> {
        let line = |span: &Span| {
            let ended = span
                .ended
                .map_or("…".to_owned(), |at| (at / 1000).to_string());
            let after = span.after.join(" ");
            format!("{} {}..{ended} {after}", span.name, span.began / 1000)
        };
        timeline.tell().spans.iter().map(line).collect()
    }

    #[test]
    fn a_boot() {
        let mut timeline = Timeline::new(MS(300));
        timeline.service("storage", MS(320), &after(&[]));
        timeline.stage_ended(BASE, MS(321));
        timeline.service_ended("storage", MS(400));
        timeline.stage(CONFIGURATION, MS(401), &["storage"]);
        timeline.stage_ended(CONFIGURATION, MS(420));
        timeline.service("dhcp", MS(421), &after(&[]));
        timeline.service("ssh", MS(422), &after(&["state:mounted"]));
        timeline.service("apps", MS(500), &after(&["network:online", "ssh:ready"]));
        timeline.service_ended("ssh", MS(450));
        timeline.service("ssh", MS(600), &after(&[]));
        timeline.service_ended("ssh", MS(650));
        timeline.close_at(MS(660));
        timeline.service("late", MS(700), &after(&[]));
        timeline.service_ended("apps", MS(700));
        let want = [
            "kernel 0..300 ",
            "base 300..321 kernel",
            "storage 320..400 base",
            "configuration 401..420 storage",
            "dhcp 421..… configuration",
            "ssh 422..450 configuration",
            "apps 500..… network ssh",
        ];
        assert_eq!(lines(&timeline), want);
    }

    #[test]
    fn a_machine_is_ready_once() {
        let mut timeline = Timeline::new(MS(300));
        timeline.ready(MS(500));
        timeline.ready(MS(600));
        assert_eq!(timeline.tell().ready_at, Some(500_000));
    }
}
