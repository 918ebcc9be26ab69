//! The shutdown of the service, step by step.

use std::time::{Duration, Instant};

/// How long dockerd has to report that it has reloaded its configuration; a fraction of a second is usual.
const RELOAD: Duration = Duration::from_secs(10);

/// How far the shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    No,
    Wanted,
    /// dockerd was told to reload a configuration that makes it stop containers. It is told to exit once it has, and at
    /// this time in any case.
    Reload(Instant),
    /// dockerd was told to exit.
    Dockerd,
    /// dockerd has exited, containerd was told to.
    Containerd,
}

/// What the next step depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) now: Instant,
    /// Whether the machine ends, and containers with it.
    pub(crate) machine_ends: bool,
    pub(crate) dockerd_runs: bool,
    pub(crate) dockerd_is_ready: bool,
    /// Whether dockerd has reloaded its configuration.
    pub(crate) reloaded: bool,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Makes dockerd stop containers when it exits.
    Reload,
    EndDockerd,
    EndContainerd,
}

impl End {
    /// The next step, and what it does.
    pub(crate) fn step(self, seen: &Seen) -> (Self, Option<Action>) {
        match self {
            Self::Wanted | Self::Reload(_) | Self::Dockerd if !seen.dockerd_runs => {
                (Self::Containerd, Some(Action::EndContainerd))
            }
            Self::Wanted if !seen.machine_ends => (Self::Dockerd, Some(Action::EndDockerd)),
            // Before dockerd is ready, SIGHUP would kill it.
            Self::Wanted if seen.dockerd_is_ready => {
                (Self::Reload(seen.now + RELOAD), Some(Action::Reload))
            }
            Self::Reload(late) if seen.reloaded || seen.now >= late => {
                (Self::Dockerd, Some(Action::EndDockerd))
            }
            end => (end, None),
        }
    }

    /// How long the wait for dockerd's report may take, from `now` on.
    pub(crate) fn patience(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Reload(late) => Some(late.saturating_duration_since(now)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let now = Instant::now();
        let up = Seen {
            now,
            machine_ends: false,
            dockerd_runs: true,
            dockerd_is_ready: true,
            reloaded: false,
        };
        let machine = Seen {
            machine_ends: true,
            ..up
        };
        let starts = Seen {
            dockerd_is_ready: false,
            ..machine
        };
        let reloaded = Seen {
            reloaded: true,
            ..machine
        };
        let gone = Seen {
            dockerd_runs: false,
            ..starts
        };
        let late = Seen {
            now: now + RELOAD,
            ..machine
        };
        let waits = End::Reload(now + RELOAD);
        for (end, seen, next, action) in [
            (End::No, up, End::No, None),
            (End::No, gone, End::No, None),
            (End::Wanted, up, End::Dockerd, Some(Action::EndDockerd)),
            (End::Wanted, machine, waits, Some(Action::Reload)),
            (End::Wanted, starts, End::Wanted, None),
            (
                End::Wanted,
                gone,
                End::Containerd,
                Some(Action::EndContainerd),
            ),
            (waits, machine, waits, None),
            (waits, reloaded, End::Dockerd, Some(Action::EndDockerd)),
            (waits, late, End::Dockerd, Some(Action::EndDockerd)),
            (waits, gone, End::Containerd, Some(Action::EndContainerd)),
            (End::Dockerd, up, End::Dockerd, None),
            (
                End::Dockerd,
                gone,
                End::Containerd,
                Some(Action::EndContainerd),
            ),
            (End::Containerd, gone, End::Containerd, None),
        ] {
            assert_eq!(end.step(&seen), (next, action), "{end:?} {seen:?}");
        }
        assert_eq!(waits.patience(now), Some(RELOAD));
        assert_eq!(waits.patience(now + 2 * RELOAD), Some(Duration::ZERO));
        assert_eq!(End::Dockerd.patience(now), None);
    }
}
