//! Everything that was measured in one run.

use std::collections::BTreeMap;

use crate::figures::Figure;
use crate::launcher::Means;
use crate::logging::{Keeper, Kept};
use crate::spread::Spread;
use crate::systems::Name;

/// What was measured, in seconds, bytes and counts.
#[derive(Debug, Default)]
pub(crate) struct Results {
    figures: BTreeMap<(Name, Figure), Vec<f64>>,
    /// Of the boot that does not count, on a disk never booted before.
    pub(crate) first_boots: BTreeMap<Name, FirstBoot>,
    /// Each process of an idle system and its PSS in bytes, from the last boot.
    pub(crate) processes: BTreeMap<Name, Vec<(String, f64)>>,
    /// How long starting a container takes.
    pub(crate) containers: BTreeMap<Means, Starts>,
    /// How long logging many lines takes.
    pub(crate) logs: BTreeMap<Keeper, Vec<Kept>>,
    /// The versions that the systems report.
    pub(crate) versions: BTreeMap<Name, String>,
    /// Counted boots per system.
    pub(crate) runs: usize,
}

/// Times of a first boot, in seconds since QEMU's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstBoot {
    /// To the ssh banner.
    pub(crate) ssh: f64,
    /// To the answer of `docker info`.
    pub(crate) docker: f64,
}

/// Times of starting a container again and again, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// To the end of its program.
    pub(crate) whole: Vec<f64>,
    /// To the start of its program, if that can be observed.
    pub(crate) until_exec: Vec<f64>,
}

impl Results {
    /// Adds a measurement.
    pub(crate) fn add(&mut self, name: Name, figure: Figure, value: f64) {
        self.figures.entry((name, figure)).or_default().push(value);
    }

    /// The spread of a figure.
    pub(crate) fn spread(&self, name: Name, figure: Figure) -> Option<Spread> {
        Spread::of(self.figures.get(&(name, figure))?)
    }

    /// The median of a figure.
    pub(crate) fn median(&self, name: Name, figure: Figure) -> Option<f64> {
        self.spread(name, figure).map(|spread| spread.median)
    }

    /// The spread of one cost of a log daemon.
    pub(crate) fn log(&self, keeper: Keeper, cost: fn(&Kept) -> f64) -> Option<Spread> {
        let costs: Vec<f64> = self.logs.get(&keeper)?.iter().map(cost).collect();
        Spread::of(&costs)
    }

    /// The spread of one way to start a container.
    pub(crate) fn container(&self, means: Means) -> Option<Spread> {
        Spread::of(&self.containers.get(&means)?.whole)
    }

    /// The same, until its program runs.
    pub(crate) fn until_exec(&self, means: Means) -> Option<Spread> {
        Spread::of(&self.containers.get(&means)?.until_exec)
    }
}
