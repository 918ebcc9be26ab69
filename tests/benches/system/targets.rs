//! Our targets, and whether they are met.

use std::fmt;

use crate::figures::{Figure, Unit};
use crate::launcher::Means;
use crate::logging::Keeper;
use crate::results::Results;
use crate::spread::Spread;
use crate::systems::Name;

const MIB: f64 = 1_048_576.0;

/// A limit for one of Tare's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most this many times another system's.
    Ratio(Figure, Name, f64),
    /// At most this many times another figure of that system.
    Between(Figure, Name, Figure, f64),
    /// At most this much.
    Most(Figure, f64),
    /// Starting a container our way takes at most this many times as long as by another means.
    Start(Means, f64),
    /// The same, until its program runs.
    UntilExec(Means, f64),
    /// Tare's log takes at most this many times as long for the same lines as rsyslog.
    Log(f64),
}

/// The targets of the first release.
pub(crate) const TARGETS: [Target; 18] = [
    Target::Ratio(Figure::Ssh, Name::Debian, 0.25),
    Target::Ratio(Figure::Ssh, Name::Floor, 1.0),
    Target::Ratio(Figure::Docker, Name::Debian, 0.5),
    Target::Ratio(Figure::Docker, Name::Floor, 1.1),
    Target::Ratio(Figure::Memory, Name::Debian, 0.85),
    Target::Between(Figure::MemoryOnDemand, Name::Debian, Figure::Memory, 0.2),
    Target::Ratio(Figure::ImageZstd, Name::Debian, 0.5),
    Target::UntilExec(Means::Bare, 2.0),
    Target::Start(Means::Bare, 2.0),
    Target::Start(Means::Crun, 0.25),
    Target::Start(Means::Crun, 0.125),
    Target::Start(Means::Runc, 0.05),
    Target::Log(1.0),
    Target::Most(Figure::Pid1Binary, 4.0 * MIB),
    Target::Most(Figure::Pid1Rss, 8.0 * MIB),
    Target::Most(Figure::Growth, 0.0),
    Target::Most(Figure::WakeUps, 1.0),
    Target::Between(Figure::StartLast, Name::Tare, Figure::StartFirst, 1.2),
];

/// `met` or `MISSED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The target is met.
    Met,
    /// The target is missed.
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::Missed => "**MISSED**",
        })
    }
}

impl Target {
    /// What is limited.
    pub(crate) fn what(self) -> String {
        match self {
            Self::Ratio(figure, ..) | Self::Between(figure, ..) | Self::Most(figure, _) => {
                figure.label().to_owned()
            }
            Self::Start(..) => "start of a service container".to_owned(),
            Self::UntilExec(..) => {
                "start of a service container, until its program runs".to_owned()
            }
            Self::Log(_) => "time for lines of the log".to_owned(),
        }
    }

    /// The limit as text.
    pub(crate) fn limit(self) -> String {
        match self {
            Self::Ratio(_, name, limit) => format!("≤ {limit} × {}", name.label()),
            Self::Between(_, name, other, limit) => {
                format!("≤ {limit} × {}, {}", name.label(), other.label())
            }
            Self::Most(figure, limit) => format!("≤ {}", figure.unit().write(limit)),
            Self::Start(means, limit) | Self::UntilExec(means, limit) => {
                format!("≤ {limit} × {}", means.label())
            }
            Self::Log(limit) => format!("≤ {limit} × {}", Keeper::Rsyslog.label()),
        }
    }

    /// What was measured, and the verdict; `None` if something was not measured.
    pub(crate) fn judge(self, results: &Results) -> Option<(String, Verdict)> {
        let (measured, unit, limit) = match self {
            Self::Ratio(figure, name, limit) => (ratio(results, figure, name)?, None, limit),
            Self::Between(figure, name, other, limit) => {
                let own = results.median(Name::Tare, figure)?;
                (own / results.median(name, other)?, None, limit)
            }
            Self::Most(figure, limit) => {
                let unit = Some(figure.unit());
                (results.median(Name::Tare, figure)?, unit, limit)
            }
            Self::Start(means, limit) => {
                let spread = |means| results.container(means);
                (start_ratio(spread, means)?, None, limit)
            }
            Self::UntilExec(means, limit) => {
                let spread = |means| results.until_exec(means);
                (start_ratio(spread, means)?, None, limit)
            }
            Self::Log(limit) => (log_ratio(results)?, None, limit),
        };
        let text = unit.map_or_else(
            || format!("{measured:.2} ×"),
            |unit: Unit| unit.write(measured),
        );
        Some((text, verdict(measured, limit)))
    }
}

fn verdict(measured: f64, limit: f64) -> Verdict {
    if measured <= limit {
        Verdict::Met
    } else {
        Verdict::Missed
    }
}

/// Tare's figure as a multiple of another system's.
pub(crate) fn ratio(results: &Results, figure: Figure, other: Name) -> Option<f64> {
    Some(results.median(Name::Tare, figure)? / results.median(other, figure)?)
}

fn log_ratio(results: &Results) -> Option<f64> {
    let took = |keeper| results.log(keeper, |kept| kept.took);
    Some(took(Keeper::Tare)?.median / took(Keeper::Rsyslog)?.median)
}

fn start_ratio(spread: impl Fn(Means) -> Option<Spread>, other: Means) -> Option<f64> {
    Some(spread(Means::Tare)?.median / spread(other)?.median)
}
