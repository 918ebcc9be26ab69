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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Override {
    /// Whether the service starts.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [false],
        "x-tare-default" = "the image's, true as a rule",
    )))]
    pub enabled: Option<bool>,
    /// Variables to add or replace.
    #[serde(deserialize_with = "program::environment")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::environment")
    )]
    pub environment: BTreeMap<String, String>,
    /// The program.
    pub process: ProcessOverride,
    /// When it starts, restarts and stops.
    pub lifecycle: LifecycleOverride,
    /// Its limits.
    pub resources: ResourcesOverride,
}

/// Changes to `[process]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProcessOverride {
    /// Program and arguments, in place of the image's. The program is an absolute path.
    #[serde(deserialize_with = "program::args")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::args",
        extend("examples" = [["/usr/sbin/sshd", "-D"]], "x-tare-default" = "the image's"),
    ))]
    pub args: Option<Vec<String>>,
}

/// Changes to `[lifecycle]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LifecycleOverride {
    /// What makes it start.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["on-demand"],
        "x-tare-default" = "the image's",
    )))]
    pub start: Option<Start>,
    /// When a periodic service runs: an interval of a second or more, or a calendar expression as in systemd.time(7),
    /// in UTC.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["15m", "Mon..Fri *-*-* 03:00"],
        "x-tare-default" = "the image's",
        "x-tare-see" = "services.md#when-it-starts",
    )))]
    pub schedule: Option<Schedule>,
    /// What it waits for, in place of the image's conditions: `network:online`, `state:mounted`, `time:synced`,
    /// `path:/ABSOLUTE`, `NAME:ready` of a daemon, `NAME:done` of any other service.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["network:online", "engine:ready"]],
        "x-tare-default" = "the image's",
        "x-tare-see" = "services.md#when-it-starts",
        "x-tare-type" = "list of conditions",
    )))]
    pub after: Option<Vec<Condition>>,
    /// How long it may take to become ready or done; 0 means no limit.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["90s"],
        "x-tare-default" = "the image's",
    )))]
    pub start_timeout: Option<Span>,
    /// Its health check, with exactly one of `tcp`, `unix`, `http` and `exec`.
    pub health: Option<Health>,
    /// What happens when it ends without being told to.
    pub restart: RestartOverride,
    /// How it is stopped.
    pub stop: StopOverride,
}

/// Changes to `[lifecycle.restart]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RestartOverride {
    /// When it is restarted.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["always"],
        "x-tare-default" = "the image's",
    )))]
    pub policy: Option<RestartPolicy>,
    /// How long to wait before a restart: the wait doubles with every try, from the least to the most.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["100ms..30s"],
        "x-tare-default" = "the image's",
    )))]
    pub backoff: Option<Backoff>,
    /// After a run of this length the next wait is the least again.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["60s"],
        "x-tare-default" = "the image's",
    )))]
    pub stable: Option<Span>,
    /// How often it may be started.
    pub limit: Option<Limit>,
}

/// Changes to `[lifecycle.stop]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StopOverride {
    /// The signal sent first.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["SIGINT"],
        "x-tare-default" = "the image's",
    )))]
    pub signal: Option<StopSignal>,
    /// How long it has before its processes are killed.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["10s"],
        "x-tare-default" = "the image's",
    )))]
    pub grace: Option<Span>,
}

/// Changes to `[resources]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ResourcesOverride {
    /// The most memory that it may use (`memory.max`).
    #[serde(deserialize_with = "range::memory_max")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::memory_max",
        extend("examples" = ["64MiB"], "x-tare-default" = "the image's"),
    ))]
    pub memory_max: Option<Bytes>,
    /// Memory that is not taken from it (`memory.min`).
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["16MiB"],
        "x-tare-default" = "the image's",
    )))]
    pub memory_min: Option<Bytes>,
    /// The most processes and threads (`pids.max`); 0: as many as the machine has.
    #[serde(deserialize_with = "range::pids_max")]
    #[cfg_attr(feature = "schema", schemars(
        range(min = 0, max = 4194304),
        extend("examples" = [64], "x-tare-default" = "the image's"),
    ))]
    pub pids_max: Option<u32>,
    /// Its share of the processors, where all want them (`cpu.weight`).
    #[serde(deserialize_with = "range::cpu_weight")]
    #[cfg_attr(feature = "schema", schemars(
        range(min = 1, max = 10000),
        extend("examples" = [200], "x-tare-default" = "the image's"),
    ))]
    pub cpu_weight: Option<u16>,
    /// The most open files (`RLIMIT_NOFILE`).
    #[serde(deserialize_with = "range::open_files")]
    #[cfg_attr(feature = "schema", schemars(
        range(min = 16, max = 1048576),
        extend("examples" = [1024], "x-tare-default" = "the image's"),
    ))]
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
