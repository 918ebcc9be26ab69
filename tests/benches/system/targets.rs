//! What we want, and whether it is so.

use std::fmt;

use crate::figures::{Figure, Unit};
use crate::launcher::Means;
use crate::results::Results;
use crate::systems::Name;

const MIB: f64 = 1_048_576.0;

/// A limit for one of Tare's figures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most this many times another system's.
    Ratio(Figure, Name, f64),
    /// At most this much.
    Most(Figure, f64),
    /// A container's start by our means takes at most this many times another's.
    Start(Means, f64),
}

/// The targets of the first release.
pub(crate) const TARGETS: [Target; 9] = [
    Target::Ratio(Figure::Ssh, Name::Debian, 0.25),
    Target::Ratio(Figure::Ssh, Name::Floor, 1.0),
    Target::Ratio(Figure::Docker, Name::Debian, 0.5),
    Target::Ratio(Figure::Docker, Name::Floor, 1.1),
    Target::Ratio(Figure::Memory, Name::Debian, 0.85),
    Target::Ratio(Figure::ImageZstd, Name::Debian, 0.5),
    Target::Start(Means::Crun, 0.25),
    Target::Most(Figure::Pid1Binary, 4.0 * MIB),
    Target::Most(Figure::Pid1Rss, 8.0 * MIB),
];

/// `met` or `MISSED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as we want it.
    Met,
    /// It is not.
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
            Self::Ratio(figure, ..) | Self::Most(figure, _) => figure.label().to_owned(),
            Self::Start(..) => "start of a service container".to_owned(),
        }
    }

    /// The limit, for a person.
    pub(crate) fn limit(self) -> String {
        match self {
            Self::Ratio(_, name, limit) => format!("≤ {limit} × {}", name.label()),
            Self::Most(figure, limit) => format!("≤ {}", figure.unit().write(limit)),
            Self::Start(means, limit) => format!("≤ {limit} × {}", means.label()),
        }
    }

    /// What was measured, and the verdict; `None` if something was not measured.
    pub(crate) fn judge(self, results: &Results) -> Option<(String, Verdict)> {
        let (measured, unit, limit) = match self {
            Self::Ratio(figure, name, limit) => (ratio(results, figure, name)?, None, limit),
            Self::Most(figure, limit) => {
                let unit = Some(figure.unit());
                (results.median(Name::Tare, figure)?, unit, limit)
            }
            Self::Start(means, limit) => (start_ratio(results, means)?, None, limit),
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

/// Tare's figure in multiples of another system's.
pub(crate) fn ratio(results: &Results, figure: Figure, other: Name) -> Option<f64> {
    Some(results.median(Name::Tare, figure)? / results.median(other, figure)?)
}

fn start_ratio(results: &Results, other: Means) -> Option<f64> {
    Some(results.container(Means::Tare)?.median / results.container(other)?.median)
}
