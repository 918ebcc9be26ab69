//! From the sources of this machine to its configuration.

use crate::effect::files::read_bounded;
use crate::effect::userdata::SOURCES;
use crate::job::Sources;
use crate::paths::DEFAULTS;
use std::collections::BTreeMap;
use std::path::Path;
use tare_config::{Layer, MAX_BYTES, Machine, merge};

/// The result of merging the layers.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) machine: Machine,
    /// The user-data in force, by source; saved once the machine is ready with it.
    pub(crate) accepted: BTreeMap<String, Vec<u8>>,
    /// Problems with user-data, one sentence each.
    pub(crate) problems: Vec<String>,
}

/// Merges the layers in order: the image's, then each source's. A bad layer is rejected as a whole and replaced by
/// the last accepted version of its source, if there is one; nothing here can fail.
pub(crate) fn load(
    services: &[&str],
    sources: &Sources,
    remembered: &BTreeMap<String, Vec<u8>>,
) -> Loaded {
    let mut stack = Stack::default();
    if let Ok(bytes) = read_bounded(Path::new(DEFAULTS), MAX_BYTES) {
        stack.add("image", &bytes, services);
    }
    let mut loaded = Loaded::default();
    for source in SOURCES {
        match sources.get(source) {
            Some(Ok(bytes)) if stack.add(source, bytes, services) => {
                log::info!("user-data of {source}: {} bytes, in force", bytes.len());
                loaded.accepted.insert(source.to_owned(), bytes.clone());
            }
            rejected => {
                if let Some(Err(error)) = rejected {
                    stack.complain(error.clone());
                }
                let last = remembered.get(source);
                let stands_in = last.is_some_and(|bytes| stack.add(source, bytes, services));
                let outcome = match stands_in {
                    true => "using the last accepted version",
                    false => "there is no accepted version",
                };
                if rejected.is_some() {
                    log::error!("user-data of {source} is rejected; {outcome}");
                } else if stands_in {
                    log::info!("user-data of {source} is not there; {outcome}");
                }
            }
        }
    }
    for problem in stack.machine.ssh_authorized_keys.problems() {
        stack.problems.push(format!("user-data: {problem}"));
        log::error!("user-data: {problem}");
    }
    loaded.machine = stack.machine;
    loaded.problems = stack.problems;
    loaded
}

/// The layers that are valid, alone and together, and their result.
#[derive(Debug, Default)]
struct Stack {
    layers: Vec<Layer>,
    machine: Machine,
    /// Problems with user-data.
    problems: Vec<String>,
}

impl Stack {
    /// Adds what `source` holds as the top layer. Returns false and keeps the layers as they are if it is rejected.
    fn add(&mut self, source: &str, bytes: &[u8], services: &[&str]) -> bool {
        let added = Layer::parse(source, bytes, services)
            .map_err(|error| error.to_string())
            .and_then(|layer| self.lay(layer));
        match added {
            Ok(()) => true,
            Err(error) => {
                self.complain(error);
                false
            }
        }
    }

    fn complain(&mut self, problem: String) {
        log::error!("user-data: {problem}");
        self.problems
            .push(format!("user-data is rejected: {problem}"));
    }

    /// Individually valid layers can still conflict when merged: one names a receiver at `udp://`, another a
    /// certificate, which is only for `tls://`.
    fn lay(&mut self, layer: Layer) -> Result<(), String> {
        self.layers.push(layer);
        let merged = merge(&self.layers);
        if merged.is_err() {
            self.layers.pop();
        }
        self.machine = merged?.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: &str = "[log.forward]\nto = 'tls://a'\nca = '-----BEGIN CERTIFICATE-----'";
    const UDP: &str = "hostname = 'b'\n[log.forward]\nto = 'udp://b'";

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
    fn a_layer_that_does_not_go_with_those_before_is_the_only_one_refused() {
        let mut stack = Stack::default();
        for (source, text, want) in [
            ("image", TLS, true),
            ("nocloud", UDP, false),
            ("fw_cfg", "[network]\nsearch = ['c']", true),
        ] {
            assert_eq!(stack.add(source, text.as_bytes(), &[]), want, "{source}");
        }
        let machine = stack.machine;
        assert_eq!(machine.hostname, None);
        assert_eq!(machine.log.forward.unwrap().to.host, "a");
        assert_eq!(machine.network.search.len(), 1);
    }
}
