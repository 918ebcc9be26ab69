//! The sections of the machine's configuration that a service asked to read.

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
}
