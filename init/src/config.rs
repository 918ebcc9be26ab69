//! From the sources of this machine to its configuration.

use crate::effect::files::read_bounded;
use crate::effect::userdata;
use crate::paths::DEFAULTS;
use std::path::Path;
use tare_config::{Layer, MAX_BYTES, Machine, merge};

/// Loads every layer: the image's, then each source's. A bad layer is refused whole and what that source held when it
/// was last good stands in; nothing here can fail. Without the state nothing is remembered.
pub(crate) fn load(services: &[&str], with_state: bool) -> Machine {
    let mut stack = Stack::default();
    if let Ok(bytes) = read_bounded(Path::new(DEFAULTS), MAX_BYTES) {
        stack.add("image", &bytes, services);
    }
    for source in userdata::SOURCES {
        add_user_layer(&mut stack, source, services, with_state);
    }
    stack.machine
}

fn add_user_layer(stack: &mut Stack, source: &str, services: &[&str], with_state: bool) {
    let read = userdata::read(source).unwrap_or_else(|error| {
        log::error!("user-data of {source} cannot be read: {error}");
        None
    });
    if let Some(bytes) = read {
        if stack.add(source, &bytes, services) {
            log::info!("user-data of {source}: {} bytes, in force", bytes.len());
            if with_state {
                userdata::remember(source, &bytes).unwrap_or_else(|error| {
                    log::warn!("user-data of {source} cannot be remembered: {error}")
                });
            }
            return;
        }
        log::error!("user-data of {source} is refused whole; the last good one is used, or none");
    }
    if userdata::remembered(source).is_some_and(|bytes| stack.add(source, &bytes, services)) {
        log::info!("user-data of {source}: as it was when it was last good");
    }
}

/// The layers that are good, alone and together, and what they make.
#[derive(Debug, Default)]
struct Stack {
    layers: Vec<Layer>,
    machine: Machine,
}

impl Stack {
    /// Lays what `source` holds over the others; false, and nothing has changed, if it is refused.
    fn add(&mut self, source: &str, bytes: &[u8], services: &[&str]) -> bool {
        let added = Layer::parse(source, bytes, services)
            .map_err(|error| error.to_string())
            .and_then(|layer| self.lay(layer));
        added
            .inspect_err(|error| log::error!("user-data: {error}"))
            .is_ok()
    }

    /// Layers that are right alone may be wrong together: one names a receiver at `udp://`, another a
    /// certificate, which is for `tls://` only.
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
