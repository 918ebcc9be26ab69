//! Configuration: user-data, sources over one another, descriptions of services.

use std::sync::LazyLock;
use tare_config::service::{Services, check_in};
use tare_config::{Added, Configuration, Layers, Machine, Problem, Service, Severity};
use toml::{Table, Value};

/// What divides the sources of [`layers`]: a line of its own, which a source does not need.
const DIVIDER: &[u8] = b"\n#---\n";

/// The services of the image.
static IMAGE: LazyLock<Services> = LazyLock::new(|| {
    let service = |name: &str| {
        let text = format!("description = '{name}'\nprocess = {{ args = ['/x'] }}");
        let read = tare_config::parse(name, text.as_bytes());
        (name.to_owned(), read.expect("a service"))
    };
    Services::from(["engine", "log", "ssh"].map(service))
});

/// One source.
pub fn user_data(bytes: &[u8]) {
    check(&[bytes]);
}

/// Several sources, from the weakest to the strongest.
pub fn layers(bytes: &[u8]) {
    let mut sources = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(DIVIDER.len()).position(|at| at == DIVIDER) {
        sources.push(&rest[..end]);
        rest = &rest[end + DIVIDER.len()..];
    }
    sources.push(rest);
    sources.truncate(4);
    check(&sources);
}

fn check(sources: &[&[u8]]) {
    let mut layers = Layers::new(&IMAGE);
    for (number, bytes) in sources.iter().enumerate() {
        let before = layers.problems().len();
        let added = layers.add(&format!("source{number}"), bytes);
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let errors = layers.problems()[before..].iter().any(is_error);
        assert_eq!(added == Added::Whole, !errors);
    }
    let settings = layers.settings();
    let Configuration {
        machine, problems, ..
    } = layers.finish();
    for problem in &problems {
        let said = problem.to_string();
        assert!(said.len() < 8192, "a message of {} bytes", said.len());
        let lines = |bytes: &&[u8]| bytes.split(|byte| *byte == b'\n').count();
        let most = sources.iter().map(lines).max().unwrap_or_default();
        assert!((1..=most).contains(&problem.location.line), "{said}");
    }
    let written = Table::try_from(&machine).expect("a configuration can be written");
    has_no_open_hosts(&problems, &written);
    // What is written is the same configuration.
    let text = written.to_string();
    match tare_config::parse::<Machine>("written", text.as_bytes()) {
        Ok(again) => assert_eq!(
            Table::try_from(&again).map(|table| table.to_string()),
            Ok(text)
        ),
        Err(error) => panic!("{error}\n{text}"),
    }
    drop(settings);
}

/// Anyone who reaches the engine's `hosts` without TLS is root: there are none if something of TLS was left out.
fn has_no_open_hosts(problems: &[Problem], written: &Table) {
    let is_of_tls = |problem: &Problem| {
        problem.severity == Severity::Error && problem.key.starts_with("engine.tls")
    };
    let engine = written.get("engine").and_then(Value::as_table);
    let is = |key: &str| engine.and_then(|engine| engine.get(key));
    if problems.iter().any(is_of_tls) && is("hosts").is_some() {
        assert_eq!(is("tlsverify"), Some(&Value::Boolean(true)), "{problems:?}");
    }
}

/// A description of a service. It is the same once it is written, as the image's are for PID 1.
pub fn service(bytes: &[u8]) {
    let Ok(service) = tare_config::parse::<Service>("service", bytes) else {
        return;
    };
    let written = serde_json::to_vec(&service).expect("a service has a JSON form");
    let again: Service = serde_json::from_slice(&written).expect("it is a service");
    assert_eq!(again, service);
    // It may be wrong with the others.
    let _ = check_in(&service, &IMAGE);
    let services = IMAGE
        .clone()
        .into_iter()
        .chain([("new".to_owned(), service)])
        .collect();
    let _ = tare_config::service::check(&services);
}
