//! Jobs: containers that run at their times.

use super::secrets::Lookup;
use super::{Reference, Secret, checked};
use crate::Span;
use crate::service::{Lifecycle, Schedule, program};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A container that runs whenever its schedule says, and ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(extend(
    "examples" = [{ "schedule": "*-*-* 03:30", "image": "restic/restic:0.18" }],
    "x-tare-see" = "user-data.md#jobs",
)))]
pub struct Job {
    /// When it runs: an interval of a second or more, or a calendar expression as in systemd.time(7), in UTC.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["daily", "*:0/15", "Mon..Fri *-*-* 03:00", "6h"],
        "x-tare-default" = "none, and it must be set",
        "x-tare-see" = "services.md#when-it-starts",
    )))]
    pub schedule: Schedule,
    /// The container's image.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["restic/restic:0.18"],
        "x-tare-default" = "none, and it must be set",
        "x-tare-type" = "name of an image",
    )))]
    pub image: Word,
    /// Arguments of the image's program, in place of its own (`command` of Compose).
    #[serde(default, deserialize_with = "program::texts")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::texts",
        extend("examples" = [["backup", "/data"]], "x-tare-default" = "the image's"),
    ))]
    pub args: Vec<String>,
    /// Its environment, besides the image's.
    #[serde(default, deserialize_with = "program::environment_or_references")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::environment_or_references")
    )]
    pub environment: BTreeMap<String, Secret>,
    /// Folders of the machine and volumes of the engine that it has. A missing one is made.
    #[serde(default, deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["/data:/data:ro", "cache:/root/.cache"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of `SOURCE:TARGET[:OPTIONS]`",
    )))]
    pub volumes: Vec<JobVolume>,
    /// Its network: `bridge`, `host`, `none`, or that of an app (`shop_default`).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["host", "shop_default"],
        "x-tare-default" = "`bridge`",
        "x-tare-type" = "name of a network",
    )))]
    pub network: Option<Word>,
    /// The user that its program runs as.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["1000:1000"],
        "x-tare-default" = "the image's",
        "x-tare-type" = "`USER[:GROUP]`, names or numbers",
    )))]
    pub user: Option<Word>,
    /// When its image is pulled, as in Compose.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("examples" = ["always"])))]
    pub pull_policy: PullPolicy,
    /// Whether it runs once the machine is up if one of its times came while the machine was off. An interval needs no such
    /// run: it begins with one.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [true])))]
    pub catch_up: bool,
    /// How long a run may take, with the pull of its image; then it is ended, and has failed. 0 means no limit.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["2h"],
        "x-tare-default" = "no limit",
    )))]
    pub timeout: Option<Span>,
}

impl Job {
    /// Where its secrets are kept.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.environment.values().filter_map(Secret::reference)
    }

    /// Puts secrets in place of the references to them. The reference to a missing one stays: no run begins with it.
    pub(super) fn fill(&mut self, job: &str, lookup: &mut Lookup<'_>) {
        for (name, secret) in &mut self.environment {
            let Some(reference) = secret.reference() else {
                continue;
            };
            let key = format!("jobs.{job}.environment.{name}");
            let found = lookup.get(&key, reference, "its runs fail", |bytes| {
                bytes.line().map(str::to_owned)
            });
            if let Some(text) = found {
                *secret = Secret::Text(text);
            }
        }
    }

    /// Has the service of this job run as the job says.
    pub(crate) fn time(&self, lifecycle: &mut Lifecycle) {
        lifecycle.schedule = Some(self.schedule.clone());
        lifecycle.catch_up = self.catch_up;
        lifecycle.start_timeout = self.timeout.or(lifecycle.start_timeout);
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Before each run.
    Always,
    /// If the engine does not have it.
    #[default]
    Missing,
    /// Without it, a run fails.
    Never,
}

/// A name that the engine understands: of an image, a network or a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Word(String);

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
        match fits && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            true => Ok(Self(text)),
            false => Err(format!(
                "`{}` is not a name: write a letter or digit, then no space, as in `alpine:3.22`",
                text.escape_debug()
            )),
        }
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

/// What a job has of the machine's files: `SOURCE:TARGET[:OPTIONS]`, a path or a volume's name, and a path in the
/// container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobVolume(String);

impl TryFrom<String> for JobVolume {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let of_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_source = |source: &str| match source.strip_prefix('/') {
            Some(_) => true,
            None => {
                source.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && source.chars().all(of_name)
            }
        };
        let is_options = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == ',')
        };
        let fits = match text.split(':').collect::<Vec<_>>()[..] {
            [source, target] => is_source(source) && target.starts_with('/'),
            [source, target, options] => {
                is_source(source) && target.starts_with('/') && is_options(options)
            }
            _ => false,
        };
        match fits && !text.contains(|c: char| c.is_control()) {
            true => Ok(Self(text)),
            false => Err(format!(
                "`{}` is not a volume: write `/PATH:/PATH` or `NAME:/PATH`, and `:ro` behind it if it is only read",
                text.escape_debug()
            )),
        }
    }
}

impl From<JobVolume> for String {
    fn from(volume: JobVolume) -> Self {
        volume.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        for (text, want) in [
            ("/a:/b", true),
            ("cache:/b:ro", true),
            ("/a b:/b:ro,nocopy", true),
            ("/a", false),
            ("./a:/b", false),
            ("/a:b", false),
            ("/a:/b:", false),
            ("/a:/b:ro:z", false),
            ("/a:/b:RO", false),
            ("/a\n:/b", false),
            ("", false),
        ] {
            let read = JobVolume::try_from(text.to_owned());
            let want = match want {
                true => Ok(JobVolume(text.to_owned())),
                false => Err(format!(
                    "`{}` is not a volume: write `/PATH:/PATH` or `NAME:/PATH`, and `:ro` behind it if it is only read",
                    text.escape_debug()
                )),
            };
            assert_eq!(read, want, "{text}");
        }
    }
}
