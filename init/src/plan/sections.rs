//! The sections of the machine's configuration that a service asked to read.

use serde_json::Value;
use tare_config::{Machine, Service};

/// Name and JSON of each section that `service` names; one that does not exist is `null`.
pub(crate) fn of(service: &Service, machine: &Machine) -> Vec<(String, String)> {
    if service.process.config.is_empty() {
        return Vec::new();
    }
    // Every key and value of the configuration has a form in JSON.
    let whole = serde_json::to_value(machine).unwrap_or_default();
    let section = |name: &String| {
        (
            name.clone(),
            whole.get(name).cloned().unwrap_or_default().to_string(),
        )
    };
    service.process.config.iter().map(section).collect()
}

/// Name and JSON of sections.
pub(crate) type Sections = [(String, String)];

/// Whether a change of its sections from `old` to `new` concerns `service`. Of the section that it is an instance of, only its
/// own key does: an app need not start again because another is added.
pub(crate) fn concern(service: &Service, old: &Sections, new: &Sections) -> bool {
    let own = |(name, json): &(String, String)| {
        let is_ours = service.for_each.as_ref() == Some(name);
        let key = service.process.args.last().filter(|_| is_ours)?;
        let section: Value = serde_json::from_str(json).ok()?;
        section.get(key).cloned()
    };
    let differs = |(old, new): (&(String, String), &(String, String))| {
        old != new && (own(old).is_none() || own(old) != own(new))
    };
    old.len() != new.len() || old.iter().zip(new).any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_reads_what_it_names() {
        let machine =
            tare_config::parse("t", b"[apps.a.services.w]\nimage = 'x'\nports = ['80:80']")
                .unwrap();
        let service = tare_config::parse(
            "t",
            b"description='x'\nprocess={args=['/a'],config=['apps']}",
        )
        .unwrap();
        let want = r#"{"a":{"services":{"w":{"image":"x","ports":["80:80"]}}}}"#;
        assert_eq!(
            of(&service, &machine),
            [("apps".to_owned(), want.to_owned())]
        );
    }

    #[test]
    fn an_instance_is_concerned_by_its_own_key() {
        let machine = |text: &str| -> Machine { tare_config::parse("t", text.as_bytes()).unwrap() };
        let old = machine("[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'y'");
        let all = "description='x'\nprocess={args=['/a'],config=['apps','log']}";
        let all: Service = tare_config::parse("t", all.as_bytes()).unwrap();
        let mut instance = Service {
            for_each: Some("apps".to_owned()),
            ..all.clone()
        };
        instance.process.args.push("a".to_owned());
        for (new, one, whole) in [
            (
                "[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'y'",
                false,
                false,
            ),
            (
                "[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'z'",
                false,
                true,
            ),
            ("[apps.a]\ncompose = 'x'", false, true),
            (
                "[apps.a]\ncompose = 'z'\n[apps.b]\ncompose = 'y'",
                true,
                true,
            ),
            (
                "log.rate = 1\n[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'y'",
                true,
                true,
            ),
        ] {
            let new = machine(new);
            for (service, want) in [(&instance, one), (&all, whole)] {
                assert_eq!(
                    concern(service, &of(service, &old), &of(service, &new)),
                    want
                );
            }
        }
    }
}
