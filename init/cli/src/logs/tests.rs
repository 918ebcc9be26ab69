use super::*;
use crate::args::{Arguments, Command, ServiceCommand};
use crate::golden;
use clap::Parser;

const RECORDS: &[u8] = b"\
2026-11-21T04:12:35.527Z 0.000000 3f2a90c1 5 kernel kmsg Linux version 6.12\n\
2026-11-21T04:12:36.000Z 1.250000 3f2a90c1 6 ssh stderr Server listening on 0.0.0.0 port 22.\n\
2026-11-21T04:12:36.001Z 1.251000 3f2a90c1 3 shop stdout a\\x1b[31m\xc2\x9bb\tc \"\\d\"\n\
2026-11-21T04:12:36.002Z 1.252000 3f2a90c1 4 shop dropped 7 lines dropped: more than 1000 a second\n\
2026-11-21T04:12:36.003Z 1.253000 3f2a90c1 7 caller syslog \n";

fn all(of: impl Fn(&Record<'_>) -> String) -> String {
    let lines = RECORDS.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| Record::parse(line).map(|record| of(&record)))
        .collect()
}

#[test]
fn records_for_people_and_programs() {
    let style = |colors| move |record: &Record<'_>| line(record, Style { colors });
    golden::check("logs.txt", &all(style(false)));
    golden::check("logs-colors.txt", &all(style(true)));
    golden::check("logs.json", &all(|record| record.json() + "\n"));
}

fn lines(words: &str) -> Lines {
    let words = ["tare", "logs"].into_iter().chain(words.split_whitespace());
    match Arguments::try_parse_from(words).unwrap().command {
        Command::Logs { lines, .. } => lines,
        other => panic!("{other:?}"),
    }
}

#[test]
fn with_how_much_it_begins() {
    for (words, want) in [
        ("", None),
        ("-n 3", Some(3)),
        ("-f", Some(10)),
        ("--follow --lines 0", Some(0)),
        ("-f --since 1h", None),
        ("-f --since 1h -n 2", Some(2)),
    ] {
        assert_eq!(last(&lines(words)), want, "{words}");
    }
}

#[test]
fn what_is_typed_is_understood() {
    use tare_log_format::Boot;
    for (words, want) in [
        ("--boot 0", Boot::Back(0)),
        ("--boot -1 -f", Boot::Back(1)),
        ("--boot=-2", Boot::Back(2)),
        ("--boot 3f2a90c1", Boot::Id("3f2a90c1".to_owned())),
    ] {
        assert_eq!(lines(words).boot, Some(want), "{words}");
    }
    let words = ["tare", "service", "logs", "time", "--grep", "^a"];
    let Command::Service(ServiceCommand::Logs { name, lines }) =
        Arguments::try_parse_from(words).unwrap().command
    else {
        panic!("{words:?}");
    };
    assert_eq!((&*name, lines.grep.unwrap().as_str()), ("time", "^a"));
}

#[test]
fn what_is_not_understood_is_explained() {
    for (words, want) in [
        (["--boot", "yesterday"], "`yesterday` is not a boot"),
        (["--since", "soon"], "`soon` is not a moment"),
        (["--grep", "("], "open group without closing"),
        (["--lines", "-1"], "unexpected argument '-1'"),
    ] {
        let words = ["tare", "logs"].into_iter().chain(words);
        let error = Arguments::try_parse_from(words).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
