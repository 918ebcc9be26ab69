//! What user-data may change of a service that the image brings.
//!
//! Rights are not among it: namespaces, capabilities and mounts belong to the image, which is
//! verified; configuration is not.

use crate::Bytes;
use crate::service::{Backoff, RestartPolicy, Service};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Changes to one service; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Override {
    /// Whether it starts at all.
    pub enabled: Option<bool>,
    /// Variables to add or replace.
    pub environment: BTreeMap<String, String>,
    /// The program.
    pub process: ProcessOverride,
    /// Its life.
    pub lifecycle: LifecycleOverride,
    /// Its limits.
    pub resources: ResourcesOverride,
}

/// Changes to `[process]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProcessOverride {
    /// Program and arguments, in place of the image's.
    pub args: Option<Vec<String>>,
}

/// Changes to `[lifecycle]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LifecycleOverride {
    /// Changes to `[lifecycle.restart]`.
    pub restart: RestartOverride,
}

/// Changes to `[lifecycle.restart]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RestartOverride {
    /// Whether it is started again.
    pub policy: Option<RestartPolicy>,
    /// How long to wait before.
    pub backoff: Option<Backoff>,
}

/// Changes to `[resources]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ResourcesOverride {
    /// `memory.max`.
    pub memory_max: Option<Bytes>,
    /// `memory.min`.
    pub memory_min: Option<Bytes>,
    /// `pids.max`.
    pub pids_max: Option<u32>,
    /// `cpu.weight`.
    pub cpu_weight: Option<u16>,
    /// `RLIMIT_NOFILE`.
    pub open_files: Option<u32>,
}

impl Override {
    /// `service` with these changes.
    #[must_use]
    pub fn apply(&self, mut service: Service) -> Service {
        replace(&mut service.enabled, self.enabled);
        service.environment.extend(self.environment.clone());
        replace(&mut service.process.args, self.process.args.clone());
        let restart = &mut service.lifecycle.restart;
        replace(&mut restart.policy, self.lifecycle.restart.policy);
        replace(&mut restart.backoff, self.lifecycle.restart.backoff);
        let limits = &mut service.resources;
        limits.memory_max = self.resources.memory_max.or(limits.memory_max);
        limits.memory_min = self.resources.memory_min.or(limits.memory_min);
        replace(&mut limits.pids_max, self.resources.pids_max);
        replace(&mut limits.cpu_weight, self.resources.cpu_weight);
        replace(&mut limits.open_files, self.resources.open_files);
        service
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}
