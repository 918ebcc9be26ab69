//! From the sources of this machine to its configuration.

use crate::effect::files::read_bounded;
use crate::effect::userdata::SOURCES;
use crate::job::Sources;
use crate::paths::DEFAULTS;
use crate::plan::services::Complaint;
use log::Level;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tare_config::{Added, Layers, MAX_BYTES, Machine, Origin, Origins};

/// How many problems of one source are named. `tare config validate` names all.
const NAMED: usize = 20;

/// The result of merging the layers.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) machine: Machine,
    /// The user-data in force, by source; saved once the machine is ready with it.
    pub(crate) accepted: BTreeMap<String, Vec<u8>>,
    /// Problems with user-data, one sentence each.
    pub(crate) problems: Vec<String>,
    /// Where each key was set.
    pub(crate) origins: Origins,
    /// What to log, problems included: the configuration is read twice if `storage` takes long.
    pub(crate) lines: Vec<(Level, String)>,
}

/// The problem that `complaint` is about, with the places of its keys.
pub(crate) fn ignored(origins: &Origins, complaint: &Complaint) -> String {
    let of = |key: &str| {
        let rests = complaint.keys.iter().filter_map(|of| key.strip_prefix(of));
        rests
            .into_iter()
            .any(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let places = origins.iter().filter(|(key, _)| of(key));
    let places: BTreeSet<&Origin> = places.map(|(_, origin)| origin).collect();
    let places = Vec::from_iter(places.into_iter().map(Origin::to_string));
    let at = match places.is_empty() {
        // An empty table sets no key.
        true => String::new(),
        false => format!("{}: ", places.join(" and ")),
    };
    format!("user-data: {at}{}", complaint.text)
}

/// Merges the layers in order: the image's, then each source's. What is wrong in a source is left out; the source is not
/// saved then. One that cannot be read at all is replaced by its last accepted version, if there is one. Nothing here can
/// fail.
pub(crate) fn load(
    services: &[&str],
    sources: &Sources,
    remembered: &BTreeMap<String, Vec<u8>>,
) -> Loaded {
    let image = read_bounded(Path::new(DEFAULTS), MAX_BYTES);
    let mut stack = Stack {
        layers: Layers::new(services),
        problems: Vec::new(),
        lines: Vec::new(),
    };
    if let Ok(bytes) = &image {
        stack.add("image", bytes);
    }
    let mut accepted = BTreeMap::new();
    for source in SOURCES {
        let rejected = match sources.get(source) {
            Some(Ok(bytes)) => match stack.add(source, bytes) {
                Added::Whole => {
                    stack.note(source, bytes, "in force");
                    accepted.insert(source.to_owned(), bytes.clone());
                    continue;
                }
                Added::InPart => {
                    stack.note(source, bytes, "in force in part");
                    continue;
                }
                Added::Rejected => true,
            },
            Some(Err(error)) => {
                stack.complain(format!("user-data is rejected: {error}"));
                true
            }
            None => false,
        };
        let last = remembered.get(source);
        let stands_in = last.is_some_and(|bytes| stack.add(source, bytes) != Added::Rejected);
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
    let configuration = stack.layers.finish();
    Loaded {
        machine: configuration.machine,
        accepted,
        problems: stack.problems,
        origins: configuration.origins,
        lines: stack.lines,
    }
}

/// The layers so far.
#[derive(Debug)]
struct Stack<'t> {
    layers: Layers<'t>,
    /// Problems with user-data.
    problems: Vec<String>,
    lines: Vec<(Level, String)>,
}

impl<'t> Stack<'t> {
    /// Adds what `source` holds as the top layer.
    fn add(&mut self, source: &str, bytes: &'t [u8]) -> Added {
        let before = self.layers.problems().len();
        let added = self.layers.add(source, bytes);
        let verdict = match added {
            Added::Rejected => "user-data is rejected",
            Added::Whole | Added::InPart => "user-data",
        };
        let problems = &self.layers.problems()[before..];
        let mut named: Vec<String> = problems
            .iter()
            .take(NAMED)
            .map(|problem| format!("{verdict}: {problem}"))
            .collect();
        let more = problems.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("{verdict}: {source} has {more} more errors"));
        }
        named.into_iter().for_each(|problem| self.complain(problem));
        added
    }

    fn complain(&mut self, problem: String) {
        self.lines.push((Level::Error, problem.clone()));
        self.problems.push(problem);
    }

    fn note(&mut self, source: &str, bytes: &[u8], how: &str) {
        let text = format!("user-data of {source}: {} bytes, {how}", bytes.len());
        self.lines.push((Level::Info, text));
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
                sources(&[("fw_cfg", "hostname = 'new'\n[log]\nrat = 1")]),
                Some("new"),
                0,
                vec![
                    "user-data: fw_cfg:3:1: `log.rat` is left out: unknown key `rat`, did you mean `rate`?",
                ],
            ),
            (
                sources(&[("fw_cfg", "hostname = new")]),
                Some("old"),
                0,
                vec![
                    "user-data is rejected: fw_cfg:1:12: this is not a value: text must be in quotation marks",
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
    fn what_is_ignored_names_the_places_that_say_it() {
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
        for (names, want) in [
            (vec!["ssh"], "fw_cfg:1: "),
            (vec!["log"], "nocloud:1: "),
            (vec!["app", "log"], "nocloud:1: "),
            (
                vec!["ssh", "log", "apps", "ssh"],
                "fw_cfg:1 and fw_cfg:2 and nocloud:1: ",
            ),
            (vec!["app"], ""),
        ] {
            let keys = names.iter().map(|name| format!("services.{name}"));
            let complaint = Complaint {
                keys: keys.collect(),
                text: "x".to_owned(),
            };
            let want = format!("user-data: {want}x");
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
                "user-data: fw_cfg:3:1: `log.file` is left out: log.file is 4MiB: it must be half of log.total, 4MiB, at most, \
                 with what nocloud says"
            ]
        );
    }

    #[test]
    fn of_many_problems_the_first_are_named() {
        let text: String = (0..25).map(|n| format!("k{n} = 1\n")).collect();
        let sources = Sources::from([("fw_cfg".to_owned(), Ok(text.into_bytes()))]);
        let problems = load(&[], &sources, &BTreeMap::new()).problems;
        assert_eq!(problems.len(), 21);
        assert_eq!(problems[20], "user-data: fw_cfg has 5 more errors");
    }
}
