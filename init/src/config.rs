//! From the sources of this machine to its configuration.

use crate::effect::files::read_bounded;
use crate::effect::userdata::SOURCES;
use crate::job::Sources;
use crate::paths::DEFAULTS;
use crate::plan::services::Complaint;
use log::Level;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tare_config::{Layer, MAX_BYTES, Machine, Merged, Origins};

/// The result of merging the layers.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) machine: Machine,
    /// The user-data in force, by source; saved once the machine is ready with it.
    pub(crate) accepted: BTreeMap<String, Vec<u8>>,
    /// Problems with user-data, one sentence each.
    pub(crate) problems: Vec<String>,
    /// Which source set each key.
    pub(crate) origins: Origins,
    /// What to log, problems included: the configuration is read twice if `storage` takes long.
    pub(crate) lines: Vec<(Level, String)>,
}

/// The problem that `complaint` is about the user-data of its sources.
pub(crate) fn ignored(origins: &Origins, complaint: &Complaint) -> String {
    let of = |key: &str| {
        let names = complaint.services.iter();
        let mut keys = names.map(|name| format!("services.{name}."));
        keys.any(|prefix| key.starts_with(&prefix))
    };
    let sources = origins.iter().filter(|(key, _)| of(key));
    let sources: BTreeSet<&str> = sources.map(|(_, source)| source.as_str()).collect();
    let of = match sources.is_empty() {
        // An empty table sets no key.
        true => String::new(),
        false => format!(" of {}", Vec::from_iter(sources).join(" and ")),
    };
    format!("user-data{of} is ignored: {}", complaint.text)
}

/// Merges the layers in order: the image's, then each source's. A bad layer is rejected as a whole and replaced by
/// the last accepted version of its source, if there is one. A layer that conflicts with those before loses the keys
/// that do, and is not saved. Nothing here can fail.
pub(crate) fn load(
    services: &[&str],
    sources: &Sources,
    remembered: &BTreeMap<String, Vec<u8>>,
) -> Loaded {
    let mut stack = Stack::default();
    if let Ok(bytes) = read_bounded(Path::new(DEFAULTS), MAX_BYTES) {
        stack.add("image", &bytes, services);
    }
    let mut accepted = BTreeMap::new();
    for source in SOURCES {
        let rejected = match sources.get(source) {
            Some(Ok(bytes)) => match stack.add(source, bytes, services) {
                Added::Whole => {
                    let text = format!("user-data of {source}: {} bytes, in force", bytes.len());
                    stack.lines.push((Level::Info, text));
                    accepted.insert(source.to_owned(), bytes.clone());
                    continue;
                }
                Added::InPart => continue,
                Added::Rejected => true,
            },
            Some(Err(error)) => {
                stack.reject(error.clone());
                true
            }
            None => false,
        };
        let last = remembered.get(source);
        let stands_in =
            last.is_some_and(|bytes| stack.add(source, bytes, services) != Added::Rejected);
        let outcome = match stands_in {
            true => "using the last accepted version",
            false => "there is no accepted version",
        };
        if rejected {
            let text = format!("user-data of {source} is rejected; {outcome}");
            stack.lines.push((Level::Error, text));
        } else if stands_in {
            let text = format!("user-data of {source} is not there; {outcome}");
            stack.lines.push((Level::Info, text));
        }
    }
    let keys = stack.merged.machine.ssh_authorized_keys.clone();
    for problem in keys.problems() {
        stack.complain(format!("user-data: {problem}"));
    }
    Loaded {
        machine: stack.merged.machine,
        accepted,
        problems: stack.problems,
        origins: stack.merged.origins,
        lines: stack.lines,
    }
}

/// The result of adding a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Added {
    Whole,
    /// Without keys that conflict with earlier layers.
    InPart,
    Rejected,
}

/// The layers so far.
#[derive(Debug, Default)]
struct Stack {
    merged: Merged,
    /// Problems with user-data.
    problems: Vec<String>,
    lines: Vec<(Level, String)>,
}

impl Stack {
    /// Adds what `source` holds as the top layer.
    fn add(&mut self, source: &str, bytes: &[u8], services: &[&str]) -> Added {
        let layer = match Layer::parse(source, bytes, services) {
            Ok(layer) => layer,
            Err(error) => {
                self.reject(error.to_string());
                return Added::Rejected;
            }
        };
        let left_out = self.merged.add(&layer);
        let added = match left_out.is_empty() {
            true => Added::Whole,
            false => Added::InPart,
        };
        for problem in left_out {
            self.complain(format!("user-data of {problem}"));
        }
        added
    }

    fn reject(&mut self, problem: String) {
        self.complain(format!("user-data is rejected: {problem}"));
    }

    fn complain(&mut self, problem: String) {
        self.lines.push((Level::Error, problem.clone()));
        self.problems.push(problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(layers: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let layer =
            |(source, text): &(&str, &str)| ((*source).to_owned(), text.as_bytes().to_vec());
        layers.iter().map(layer).collect()
    }

    #[test]
    fn a_source_that_is_rejected_or_gone_is_what_it_last_was() {
        let sources = |layers: &[(&str, &str)]| -> Sources {
            bytes(layers)
                .into_iter()
                .map(|(source, bytes)| (source, Ok(bytes)))
                .collect()
        };
        let mut unreadable = sources(&[]);
        unreadable.insert("fw_cfg".to_owned(), Err("fw_cfg: no answer".to_owned()));
        let good = "hostname = 'new'";
        for (sources, want, accepted, problems) in [
            (sources(&[("fw_cfg", good)]), Some("new"), 1, vec![]),
            (sources(&[]), Some("old"), 0, vec![]),
            (
                sources(&[("fw_cfg", "hostnam = 'new'")]),
                Some("old"),
                0,
                vec![
                    "user-data is rejected: fw_cfg:1:1: unknown key `hostnam`, did you mean `hostname`?",
                ],
            ),
            (
                unreadable,
                Some("old"),
                0,
                vec!["user-data is rejected: fw_cfg: no answer"],
            ),
        ] {
            let loaded = load(&[], &sources, &bytes(&[("fw_cfg", "hostname = 'old'")]));
            let hostname = loaded.machine.hostname.map(|name| name.as_str().to_owned());
            assert_eq!(hostname.as_deref(), want);
            assert_eq!(
                (loaded.accepted.len(), loaded.problems),
                (accepted, problems.into_iter().map(str::to_owned).collect())
            );
        }
    }

    #[test]
    fn what_is_ignored_names_the_sources_that_say_it() {
        let override_of = |name: &str| format!("services.{name}.lifecycle.after = []");
        let layers = [
            ("nocloud", override_of("log")),
            (
                "fw_cfg",
                format!("{}\n{}", override_of("ssh"), override_of("apps")),
            ),
        ];
        let sources = layers.map(|(name, text)| (name.to_owned(), Ok(text.into_bytes())));
        let services = ["log", "ssh", "apps", "app"];
        let loaded = load(&services, &Sources::from(sources), &BTreeMap::new());
        for (services, want) in [
            (vec!["ssh"], " of fw_cfg"),
            (vec!["log"], " of nocloud"),
            (vec!["app", "log"], " of nocloud"),
            (vec!["ssh", "log", "apps", "ssh"], " of fw_cfg and nocloud"),
            (vec!["app"], ""),
        ] {
            let complaint = Complaint {
                services: services.into_iter().map(str::to_owned).collect(),
                text: "x".to_owned(),
            };
            let want = format!("user-data{want} is ignored: x");
            assert_eq!(ignored(&loaded.origins, &complaint), want);
        }
        let in_force = |source: &str, bytes| {
            let text = format!("user-data of {source}: {bytes} bytes, in force");
            (Level::Info, text)
        };
        assert_eq!(
            loaded.lines,
            [in_force("nocloud", 33), in_force("fw_cfg", 68)]
        );
    }

    #[test]
    fn a_layer_that_conflicts_with_those_before_is_in_force_but_for_that_and_not_saved() {
        let total = "[log]\ntotal = '4MiB'";
        let file = "hostname = 'b'\n[log]\nfile = '4MiB'";
        let sources = bytes(&[("nocloud", total), ("fw_cfg", file)]);
        let sources = sources.into_iter().map(|(name, held)| (name, Ok(held)));
        let loaded = load(&[], &sources.collect(), &BTreeMap::new());
        assert_eq!(loaded.machine.hostname.unwrap().as_str(), "b");
        assert_eq!(loaded.machine.log.total, tare_config::Bytes::mib(4));
        assert_eq!(loaded.accepted.into_keys().collect::<Vec<_>>(), ["nocloud"]);
        assert_eq!(
            loaded.problems,
            [
                "user-data of fw_cfg: `log.file` is left out, because it conflicts with nocloud: log.file is 4MiB: it \
                 must be half of log.total, 4MiB, at most, in `log`"
            ]
        );
    }
}
