//! From the sources of this machine to its configuration.

use crate::effect::files::read_bounded;
use crate::effect::userdata::{LOCAL, ONCE, SOURCES};
use crate::effect::zones;
use crate::job::Sources;
use crate::paths::DEFAULTS;
use crate::plan::cmdline::CMDLINE;
use crate::plan::generations::{Kept, Texts};
use log::Level;
use std::collections::BTreeMap;
use std::path::Path;
use tare_config::service::Services;
use tare_config::{Added, Layers, MAX_BYTES, Machine, Severity};
use tare_control::Source;

/// How many problems of one source are named. `tare config validate` names all.
const NAMED: usize = 20;

/// The result of merging the layers.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) machine: Machine,
    /// Problems with user-data, one sentence each.
    pub(crate) problems: Vec<String>,
    /// Those of sources that could not be used at all.
    pub(crate) unusable: Vec<String>,
    /// Those with what commands of this machine have set, for good or until the next boot.
    pub(crate) local: Vec<String>,
    /// The texts in force, from the weakest to the strongest.
    pub(crate) sources: Vec<Source>,
    /// The services that run.
    pub(crate) services: Services,
    /// What to log, problems included: the configuration is read twice if `storage` takes long.
    pub(crate) lines: Vec<(Level, String)>,
}

impl Loaded {
    /// The texts in force that a generation consists of.
    pub(crate) fn texts(&self) -> Texts {
        let others = [IMAGE, ONCE, CMDLINE];
        let mine = |source: &&Source| !others.contains(&source.name.as_str());
        let texts = self.sources.iter().filter(mine);
        texts
            .map(|source| (source.name.clone(), source.text.clone()))
            .collect()
    }
}

/// What is set on this machine itself, above all user-data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Local<'t> {
    /// By commands, for good.
    pub(crate) saved: Option<&'t str>,
    /// By commands, until the next boot.
    pub(crate) once: Option<&'t str>,
    /// On the kernel's command line.
    pub(crate) cmdline: Option<&'t str>,
}

/// The image's own source.
const IMAGE: &str = "image";

/// Merges the layers in order: the image's, then each source's. What is wrong in a source is left out. One that cannot be
/// read at all is replaced by what was `kept` of it, if there is something. Nothing here can fail.
pub(crate) fn load(
    services: &Services,
    sources: &Sources,
    kept: &Kept,
    local: Local<'_>,
) -> Loaded {
    let image = read_bounded(Path::new(DEFAULTS), MAX_BYTES);
    let mut stack = Stack {
        layers: Layers::new(services).with_zones(zones::check),
        sources: Vec::new(),
        problems: Vec::new(),
        unusable: Vec::new(),
        lines: Vec::new(),
    };
    if let Ok(bytes) = &image {
        stack.add(IMAGE, bytes);
    }
    let mut in_force = BTreeMap::new();
    for source in SOURCES {
        let rejected = match sources.get(source) {
            Some(Ok(bytes)) => match stack.add(source, bytes) {
                Added::Rejected => true,
                added => {
                    in_force.insert(source, (bytes, added));
                    continue;
                }
            },
            Some(Err(error)) => {
                let problem = format!("user-data is rejected: {error}");
                stack.unusable.push(problem.clone());
                stack.complain(problem);
                true
            }
            None => false,
        };
        let last = kept.get(source);
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
    let local = [
        (LOCAL, local.saved),
        (ONCE, local.once),
        (CMDLINE, local.cmdline),
    ];
    for (source, text) in local {
        if let Some(text) = text {
            stack.add(source, text.as_bytes());
        }
    }
    let before = stack.layers.problems().len();
    let configuration = stack.layers.finish();
    // Only the whole shows what does not fit the image's services.
    for problem in &configuration.problems[before..] {
        if let Some((_, added)) = in_force.get_mut(problem.location.source.as_str()) {
            *added = Added::InPart;
        }
        let problem = format!("user-data: {problem}");
        stack.lines.push((Level::Error, problem.clone()));
        stack.problems.push(problem);
    }
    for (source, (bytes, added)) in in_force {
        let how = match added {
            Added::Whole => "in force",
            _ => "in force in part",
        };
        let text = format!("user-data of {source}: {} bytes, {how}", bytes.len());
        stack.lines.push((Level::Info, text));
    }
    let of_local = configuration
        .problems
        .iter()
        .filter(|problem| [LOCAL, ONCE].contains(&problem.location.source.as_str()))
        .filter(|problem| problem.severity == Severity::Error);
    Loaded {
        local: of_local.map(ToString::to_string).collect(),
        machine: configuration.machine,
        problems: stack.problems,
        unusable: stack.unusable,
        sources: stack.sources,
        services: configuration.services,
        lines: stack.lines,
    }
}

/// The layers so far.
#[derive(Debug)]
struct Stack<'t> {
    layers: Layers<'t>,
    /// Their texts.
    sources: Vec<Source>,
    /// Problems with user-data.
    problems: Vec<String>,
    /// Those of sources that could not be used at all.
    unusable: Vec<String>,
    lines: Vec<(Level, String)>,
}

impl<'t> Stack<'t> {
    /// Adds what `source` holds as the top layer.
    fn add(&mut self, source: &str, bytes: &'t [u8]) -> Added {
        let before = self.layers.problems().len();
        let added = self.layers.add(source, bytes);
        if added != Added::Rejected {
            self.sources.push(Source {
                name: source.to_owned(),
                // What is in force is UTF-8.
                text: String::from_utf8_lossy(bytes).into_owned(),
            });
        }
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
        if added == Added::Rejected {
            self.unusable.extend(named.iter().cloned());
        }
        named.into_iter().for_each(|problem| self.complain(problem));
        added
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
        let old = "hostname = 'old'";
        let in_part = "hostname = 'new'\n[log]\nrat = 1";
        for (sources, want, in_force, problems) in [
            (sources(&[("fw_cfg", good)]), Some("new"), good, vec![]),
            (sources(&[]), Some("old"), old, vec![]),
            (
                sources(&[("fw_cfg", in_part)]),
                Some("new"),
                in_part,
                vec![
                    "user-data: fw_cfg:3:1: `log.rat` is left out: unknown key `rat`, did you mean `rate`?",
                ],
            ),
            (
                sources(&[("fw_cfg", "hostname = new")]),
                Some("old"),
                old,
                vec![
                    "user-data is rejected: fw_cfg:1:12: this is not a value: text must be in quotation marks",
                ],
            ),
            (
                unreadable,
                Some("old"),
                old,
                vec!["user-data is rejected: fw_cfg: no answer"],
            ),
        ] {
            let loaded = load(
                &Services::new(),
                &sources,
                &bytes(&[("fw_cfg", old)]),
                Local::default(),
            );
            let texts = loaded.texts();
            let hostname = loaded.machine.hostname.map(|name| name.as_str().to_owned());
            assert_eq!(hostname.as_deref(), want);
            assert_eq!(
                (texts, loaded.problems),
                (
                    Texts::from([("fw_cfg".to_owned(), in_force.to_owned())]),
                    problems.into_iter().map(str::to_owned).collect()
                )
            );
        }
    }

    #[test]
    fn what_does_not_fit_the_services_is_left_out_and_named() {
        let text = "process = { args = ['/x'] }";
        let service = |name: &str| {
            let text = format!("description = 'x'\n{text}");
            (
                name.to_owned(),
                tare_config::parse(name, text.as_bytes()).unwrap(),
            )
        };
        let services = Services::from(["log", "ssh"].map(service));
        let layers = [
            ("nocloud", "services.log.lifecycle.after = ['ssh:ready']"),
            ("fw_cfg", "[services.ssh.lifecycle]\nafter = ['log:ready']"),
        ];
        let sources = bytes(&layers)
            .into_iter()
            .map(|(name, held)| (name, Ok(held)));
        let loaded = load(
            &services,
            &sources.collect(),
            &BTreeMap::new(),
            Local::default(),
        );
        let why = "is left out: services wait for each other: log -> ssh -> log";
        assert_eq!(
            loaded.problems,
            [
                format!("user-data: fw_cfg:2:1: `services.ssh.lifecycle.after` {why}"),
                format!("user-data: nocloud:1:24: `services.log.lifecycle.after` {why}"),
            ]
        );
        let in_part = "user-data of nocloud: 44 bytes, in force in part";
        assert_eq!(loaded.lines[3], (Level::Info, in_part.to_owned()));
    }

    #[test]
    fn a_layer_that_conflicts_with_those_before_is_in_force_but_for_that() {
        let total = "[log]\ntotal = '4MiB'";
        let file = "hostname = 'b'\n[log]\nfile = '4MiB'";
        let sources = bytes(&[("nocloud", total), ("fw_cfg", file)]);
        let sources = sources.into_iter().map(|(name, held)| (name, Ok(held)));
        let loaded = load(
            &Services::new(),
            &sources.collect(),
            &BTreeMap::new(),
            Local::default(),
        );
        assert_eq!(loaded.machine.hostname.unwrap().as_str(), "b");
        assert_eq!(loaded.machine.log.total, tare_config::Bytes::mib(4));
        assert_eq!(
            loaded.problems,
            [
                "user-data: fw_cfg:3:1: `log.file` is left out: log.file is 4MiB: it must be half of log.total, 4MiB, at most, \
                 given nocloud"
            ]
        );
    }

    #[test]
    fn what_commands_have_set_is_stronger_than_user_data() {
        let sources = bytes(&[("fw_cfg", "hostname = 'a'\nlog.rate = 1")]);
        let sources: Sources = sources
            .into_iter()
            .map(|(name, held)| (name, Ok(held)))
            .collect();
        for (saved, once, hostname, problems) in [
            (Some("hostname = 'b'"), None, Some("b"), vec![]),
            (
                Some("hostname = 'b'"),
                Some("hostname = 'c'"),
                Some("c"),
                vec![],
            ),
            (
                Some("hostname = 'b'"),
                Some("unset = ['hostname']"),
                None,
                vec![],
            ),
            (Some("unset = ['hostname']"), None, None, vec![]),
            (
                Some("hostnam = 'b'"),
                Some("hostname = 1"),
                Some("a"),
                vec![
                    "local:1:1: `hostnam` is left out: unknown key `hostnam`, did you mean `hostname`?",
                    "once:1:12: `hostname` is left out: invalid type: integer, expected a string",
                ],
            ),
        ] {
            let loaded = load(
                &Services::new(),
                &sources,
                &Kept::new(),
                Local {
                    saved,
                    once,
                    cmdline: None,
                },
            );
            let texts = loaded.texts();
            let got = loaded.machine.hostname.map(|name| name.as_str().to_owned());
            assert_eq!(
                (got.as_deref(), loaded.local),
                (hostname, problems.into_iter().map(str::to_owned).collect())
            );
            assert_eq!(loaded.machine.log.rate, 1);
            let kept: Vec<&str> = texts.keys().map(String::as_str).collect();
            assert_eq!(kept, ["fw_cfg", "local"]);
        }
    }

    #[test]
    fn the_command_line_is_strongest_and_no_part_of_a_generation() {
        let local = Local {
            saved: Some("hostname = 'a'"),
            once: Some("hostname = 'b'"),
            cmdline: Some("hostname = 'c'"),
        };
        let loaded = load(&Services::new(), &Sources::new(), &Kept::new(), local);
        assert_eq!(loaded.texts().into_keys().collect::<Vec<_>>(), ["local"]);
        assert_eq!(loaded.machine.hostname.unwrap().as_str(), "c");
    }

    #[test]
    fn of_many_problems_the_first_are_named() {
        let text: String = (0..25).map(|n| format!("k{n} = 1\n")).collect();
        let sources = Sources::from([("fw_cfg".to_owned(), Ok(text.into_bytes()))]);
        let problems = load(
            &Services::new(),
            &sources,
            &BTreeMap::new(),
            Local::default(),
        )
        .problems;
        assert_eq!(problems.len(), 21);
        assert_eq!(problems[20], "user-data: fw_cfg has 5 more errors");
    }
}
