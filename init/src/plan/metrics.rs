//! When figures are served.

use tare_config::Machine;

/// The service that serves them.
const SERVICE: &str = "metrics";

/// Who says where figures are to be served wants them served, unless the service is switched off by name.
pub(crate) fn switch(machine: &mut Machine) {
    if machine.metrics.listen.is_some() {
        let change = machine.services.entry(SERVICE.to_owned()).or_default();
        change.enabled.get_or_insert(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_switches_the_service_on() {
        for (text, want) in [
            ("", None),
            ("metrics.listen = '127.0.0.1:9100'", Some(true)),
            (
                "metrics.listen = '[::]:9100'\nservices.metrics.enabled = false",
                Some(false),
            ),
        ] {
            let mut machine: Machine = tare_config::parse("t", text.as_bytes()).unwrap();
            switch(&mut machine);
            let enabled = machine
                .services
                .get(SERVICE)
                .and_then(|change| change.enabled);
            assert_eq!(enabled, want, "{text}");
        }
    }
}
