//! What user-data may change about a service of the image.
//!
//! Rights are excluded: namespaces, capabilities and mounts belong to the image, which is verified. Configuration is
//! not.

use crate::Bytes;
use crate::Span;
use crate::service::{
    Backoff, Condition, Health, Lifecycle, Limit, RestartPolicy, Schedule, Service, Start,
    StopSignal, program, range,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Changes to one service. Absent keys leave the image's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Override {
    /// Whether it starts at all.
    pub enabled: Option<bool>,
    /// Variables to add or replace.
    #[serde(deserialize_with = "program::environment")]
    pub environment: BTreeMap<String, String>,
    /// The program.
    pub process: ProcessOverride,
    /// Its lifecycle.
    pub lifecycle: LifecycleOverride,
    /// Its resource limits.
    pub resources: ResourcesOverride,
}

/// Changes to `[process]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProcessOverride {
    /// Program and arguments, in place of the image's.
    #[serde(deserialize_with = "program::args")]
    pub args: Option<Vec<String>>,
}

/// Changes to `[lifecycle]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LifecycleOverride {
    /// What makes it start.
    pub start: Option<Start>,
    /// When a periodic service runs.
    pub schedule: Option<Schedule>,
    /// What it waits for, in place of the image's conditions.
    pub after: Option<Vec<Condition>>,
    /// How long it may take to become ready or done.
    pub start_timeout: Option<Span>,
    /// Its health check.
    pub health: Option<Health>,
    /// Changes to `[lifecycle.restart]`.
    pub restart: RestartOverride,
    /// Changes to `[lifecycle.stop]`.
    pub stop: StopOverride,
}

/// Changes to `[lifecycle.restart]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RestartOverride {
    /// Whether it is restarted.
    pub policy: Option<RestartPolicy>,
    /// How long to wait before a restart.
    pub backoff: Option<Backoff>,
    /// After a run of this length the next backoff is the minimum again.
    pub stable: Option<Span>,
    /// How often it may be started.
    pub limit: Option<Limit>,
}

/// Changes to `[lifecycle.stop]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StopOverride {
    /// The signal sent first.
    pub signal: Option<StopSignal>,
    /// How long it has before its cgroup is killed.
    pub grace: Option<Span>,
}

/// Changes to `[resources]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ResourcesOverride {
    /// `memory.max`.
    #[serde(deserialize_with = "range::memory_max")]
    pub memory_max: Option<Bytes>,
    /// `memory.min`.
    pub memory_min: Option<Bytes>,
    /// `pids.max`.
    #[serde(deserialize_with = "range::pids_max")]
    pub pids_max: Option<u32>,
    /// `cpu.weight`.
    #[serde(deserialize_with = "range::cpu_weight")]
    pub cpu_weight: Option<u16>,
    /// `RLIMIT_NOFILE`.
    #[serde(deserialize_with = "range::open_files")]
    pub open_files: Option<u32>,
}

impl Override {
    /// `service` with these changes.
    #[must_use]
    pub fn apply(&self, mut service: Service) -> Service {
        replace(&mut service.enabled, self.enabled);
        service.environment.extend(self.environment.clone());
        replace(&mut service.process.args, self.process.args.clone());
        self.lifecycle.apply(&mut service.lifecycle);
        let limits = &mut service.resources;
        limits.memory_max = self.resources.memory_max.or(limits.memory_max);
        limits.memory_min = self.resources.memory_min.or(limits.memory_min);
        replace(&mut limits.pids_max, self.resources.pids_max);
        replace(&mut limits.cpu_weight, self.resources.cpu_weight);
        replace(&mut limits.open_files, self.resources.open_files);
        service
    }
}

impl LifecycleOverride {
    fn apply(&self, lifecycle: &mut Lifecycle) {
        replace(&mut lifecycle.start, self.start);
        replace(&mut lifecycle.after, self.after.clone());
        replace_some(&mut lifecycle.schedule, &self.schedule);
        replace_some(&mut lifecycle.start_timeout, &self.start_timeout);
        replace_some(&mut lifecycle.health, &self.health);
        let restart = &mut lifecycle.restart;
        replace(&mut restart.policy, self.restart.policy);
        replace(&mut restart.backoff, self.restart.backoff);
        replace(&mut restart.stable, self.restart.stable);
        replace_some(&mut restart.limit, &self.restart.limit);
        replace(&mut lifecycle.stop.signal, self.stop.signal);
        replace(&mut lifecycle.stop.grace, self.stop.grace);
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

fn replace_some<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        old.clone_from(new);
    }
}
