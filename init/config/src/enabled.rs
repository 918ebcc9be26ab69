//! Whether a service runs on a machine.

use crate::{Machine, Service};
use toml::Value;

impl Service {
    /// Whether the service runs on a machine with the configuration `machine`: it is enabled, and its `enabled-with`
    /// key is set.
    #[must_use]
    pub fn runs_on(&self, machine: &Machine) -> bool {
        let configured = |key: &String| {
            // Serializing a configuration cannot fail. If it did, the key would count as not set.
            let whole = Value::try_from(machine).ok();
            whole.is_some_and(|whole| {
                key.split('.')
                    .try_fold(&whole, |table, key| table.get(key))
                    .is_some()
            })
        };
        self.enabled && self.enabled_with.as_ref().is_none_or(configured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_for_what_is_not_configured_does_not_run() {
        let forward = "[log.forward]\nto = 'udp://a'";
        for (service, machine, want) in [
            ("", "", true),
            ("enabled = false", "", false),
            ("enabled-with = 'log.forward'", "", false),
            ("enabled-with = 'log.forward'", "[log]\nrate = 1", false),
            ("enabled-with = 'log.forward'", forward, true),
            (
                "enabled = false\nenabled-with = 'log.forward'",
                forward,
                false,
            ),
        ] {
            let text = format!("description = 'x'\n{service}\n[process]\nargs = ['/a']");
            let service: Service = crate::parse("s", text.as_bytes()).unwrap();
            let machine: Machine = crate::parse("u", machine.as_bytes()).unwrap();
            assert_eq!(service.runs_on(&machine), want, "{text}");
        }
    }
}
