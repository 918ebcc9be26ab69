//! Checks that `docs/services.md` is correct.

use super::*;
use crate::testing::{examples, services_of};
use crate::validate;

const PAGE: &str = include_str!("../../../../../docs/services.md");

/// A service in the host's network.
const IMAGE: &str = "process = { args = ['/x'] }\nsandbox = { host-namespaces = ['network'] }";

#[test]
fn its_examples_are_services_and_user_data() {
    let services = examples(PAGE, "toml");
    assert_eq!(services.len(), 5);
    for text in services {
        let head = "description = 'x'\n[process]\nargs = ['/x']\n";
        let whole = match text.starts_with("description") {
            true => text.to_owned(),
            false => format!("{head}{text}"),
        };
        let service: Service = parse("docs", whole.as_bytes()).unwrap();
        let log = parse("log", head.as_bytes()).unwrap();
        let all = Services::from([("x".to_owned(), service), ("log".to_owned(), log)]);
        assert_eq!(check(&all), Ok(()), "{text}");
    }
    let user_data = examples(PAGE, "toml user-data");
    assert_eq!(user_data.len(), 2);
    for text in user_data {
        let image = ["engine", "ssh", "time"].map(|name| (name, IMAGE));
        let problems = validate("docs", text.as_bytes(), &services_of(&image));
        assert_eq!(problems, [], "{text}");
    }
}

/// The keys that the schema accepts after `before`, from the error about an unknown key.
fn keys(before: &str) -> Vec<String> {
    let text = format!("{before}\nqqqqqqqqqqqqqqqqqqqq = 1\n");
    let error = parse::<Service>("s", text.as_bytes()).unwrap_err();
    let (_, known) = error.message.split_once("known are ").unwrap();
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn it_names_every_key() {
    let mut count = 0;
    for before in [
        "",
        "[image]",
        "[process]",
        "[sandbox]",
        "[[mounts]]",
        "[[sockets]]",
        "[lifecycle]",
        "[lifecycle.health]",
        "[lifecycle.restart]",
        "[lifecycle.restart.limit]",
        "[lifecycle.stop]",
        "[resources]",
    ] {
        for key in keys(before) {
            let named = PAGE
                .split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
                .any(|word| word == key);
            assert!(named, "{before} {key}");
            count += 1;
        }
    }
    assert!(count > 60, "only {count} keys were found");
}
