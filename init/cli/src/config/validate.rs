//! `tare config validate`: what is wrong with a text, shown in it.

use super::services;
use crate::Failed;
use crate::run::Context;
use crate::style::Style;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use tare_config::service::Services;
use tare_config::{Layers, MAX_BYTES, Problem, Severity};
use tare_control::{CallError, GetConfiguration, Method};

include!(concat!(env!("OUT_DIR"), "/services.rs"));

/// Checks `file` as the user-data of this machine, or if this is none, of one with the image of this release.
pub(super) fn validate(context: &Context, file: &Path) -> Result<(), Failed> {
    let (name, bytes) = read(file)?;
    let (services, image) = image(context)?;
    let problems = problems(&name, &bytes, &services, &image);
    context.show(&answers(&problems), |_, style| {
        text(&problems, &name, &bytes, style)
    })?;
    match problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count()
    {
        0 => Ok(()),
        count => Err(Failed::NotSo(verdict(&name, count, &problems))),
    }
}

pub(super) fn read(file: &Path) -> Result<(String, Vec<u8>), Failed> {
    let name = name(file);
    let most = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = match file == Path::new("-") {
        true => io::stdin().take(most).read_to_end(&mut bytes),
        false => File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok((name, bytes)),
        Err(error) => Err(Failed::NotSo(format!("read {name}: {error}"))),
    }
}

const STDIN: &str = "standard input";

/// The names of a machine's sources.
const SOURCES: [&str; 4] = [IMAGE, "nocloud", "fw_cfg", super::change::LOCAL];

const IMAGE: &str = "image";

/// What `file` is called in messages: its path, in a form that is not the name of something else.
fn name(file: &Path) -> String {
    let path = file.display().to_string();
    match path.as_str() {
        "-" => STDIN.to_owned(),
        name if name == STDIN || SOURCES.contains(&name) => format!("./{name}"),
        _ => path,
    }
}

/// The services of the image, and its own configuration.
fn image(context: &Context) -> Result<(Services, String), Failed> {
    match context.call::<GetConfiguration>(&Method::GetConfiguration {}) {
        Ok(told) => {
            let image = told.sources.into_iter().find(|source| source.name == IMAGE);
            let text = image.map(|source| source.text).unwrap_or_default();
            Ok((services(told.services)?, text))
        }
        Err(Failed::Call(CallError::Connect { source, .. }))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Ok((built_in()?, String::new()))
        }
        Err(failed) => Err(failed),
    }
}

/// The services of the image that this release builds.
fn built_in() -> Result<Services, Failed> {
    let service = |(name, text): &(&str, &str)| {
        let read = tare_config::parse(name, text.as_bytes());
        read.map(|service| ((*name).to_owned(), service))
    };
    let services: Result<Services, _> = SERVICES.iter().map(service).collect();
    services.map_err(|error| Failed::NotSo(error.to_string()))
}

/// What is wrong with the text of `name` over the image's configuration.
fn problems(name: &str, bytes: &[u8], services: &Services, image: &str) -> Vec<Problem> {
    let mut layers = Layers::new(services);
    layers.add(IMAGE, image.as_bytes());
    layers.add(name, bytes);
    let mut problems = layers.finish().problems;
    problems.retain(|problem| problem.location.source == name);
    problems
}

fn verdict(name: &str, count: usize, problems: &[Problem]) -> String {
    let errors = match count {
        1 => "an error".to_owned(),
        _ => format!("{count} errors"),
    };
    let cost = match problems.iter().any(Problem::is_whole) {
        true => "a machine would reject all of it",
        false => "a machine would leave out these keys, and take the rest",
    };
    format!("{name} has {errors}: {cost}")
}

/// A problem as JSON.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    severity: &'static str,
    /// The dotted key that is left out; empty if that is the whole text.
    key: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
}

fn answers(problems: &[Problem]) -> Vec<Answer<'_>> {
    problems
        .iter()
        .map(|problem| Answer {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            key: &problem.key,
            line: problem.location.line,
            column: problem.location.column,
            message: &problem.message,
        })
        .collect()
}

/// Each problem with its line, as compilers show them.
fn text(problems: &[Problem], name: &str, bytes: &[u8], style: Style) -> String {
    if problems.is_empty() {
        return format!("{name}: no error\n");
    }
    let renderer = match style.colors {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return problems
            .iter()
            .map(|problem| format!("error: {problem}\n"))
            .collect();
    };
    // The renderer reads all that it is given, for each problem again.
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let report = problems
        .iter()
        .map(|problem| renderer.render(&[group(problem, name, &lines)]) + "\n\n");
    report.collect()
}

/// `problem` as it is shown, with the one of `lines` that it begins in; at the end of the text, the last one.
fn group<'a>(problem: &'a Problem, name: &'a str, lines: &[&'a str]) -> Group<'a> {
    let number = problem.location.line.min(lines.len()).max(1);
    let line = lines.get(number - 1).copied().unwrap_or_default();
    let column = match number == problem.location.line {
        true => problem.location.column,
        false => usize::MAX,
    };
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut mark = AnnotationKind::Primary.span(place(column, problem.length, line));
    if problem.severity == Severity::Error && !problem.is_whole() {
        mark = mark.label(format!("`{}` is left out", problem.key));
    }
    let snippet = Snippet::source(line)
        .line_start(number)
        .path(name)
        .annotation(mark);
    level
        .primary_title(problem.message.as_str())
        .element(snippet)
}

/// The bytes of `line` from `column`, from 1, that are marked. A value of many lines is marked at its first.
fn place(column: usize, length: usize, line: &str) -> Range<usize> {
    let start = line.char_indices().nth(column - 1);
    let start = start.map_or(line.len(), |(at, _)| at);
    let rest = line[start..].trim_end_matches('\n').len();
    let mut end = start + length.min(rest);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colors: false };

    #[test]
    fn the_image_of_this_release_is_known() {
        let services = built_in().unwrap();
        assert!(services.contains_key("ssh") && services.contains_key("engine"));
        assert_eq!(tare_config::service::check(&services), Ok(()));
    }

    #[test]
    fn problems_are_shown_in_the_text() {
        let services = built_in().unwrap();
        let text_of = |text: &str| {
            let found = problems("user-data.toml", text.as_bytes(), &services, "");
            text_with(&found, text)
        };
        let shown = text_of(
            "hostnam = 'edge'\nunset = ['log.rate']\n[network]\ndns = ['1.1.1.1', 'ein.äöü']\n\
             [services.ssh.lifecycle]\nafter = ['log:redy']\n[log.forward]\nto = 'tls://a'\n\
             [apps.shop]\ncompose = 5\n",
        );
        crate::golden::check("config-validate.txt", &shown);
        crate::golden::check(
            "config-validate-toml.txt",
            &text_of("hostname = edge\n[log\nrate = 5"),
        );
        // Its end is after the last line.
        crate::golden::check(
            "config-validate-end.txt",
            &text_of("hostname = 'a'\nmodules = '''\nip_vs\n"),
        );
        assert_eq!(text_of("hostname = 'a'"), "user-data.toml: no error\n");
    }

    fn text_with(problems: &[Problem], written: &str) -> String {
        text(problems, "user-data.toml", written.as_bytes(), PLAIN)
    }

    #[test]
    fn what_the_image_says_counts() {
        let services = built_in().unwrap();
        let found = problems(
            "u",
            b"[log]\nfile = '4MiB'",
            &services,
            "[log]\ntotal = '4MiB'",
        );
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "u:2:1: `log.file` is left out: log.file is 4MiB: it must be half of log.total, 4MiB, at most, given image"
            ]
        );
    }

    #[test]
    fn a_file_is_never_called_as_a_source() {
        for (file, want) in [
            ("-", "standard input"),
            ("standard input", "./standard input"),
            ("image", "./image"),
            ("nocloud", "./nocloud"),
            ("fw_cfg", "./fw_cfg"),
            ("local", "./local"),
            ("./-", "./-"),
            ("a/image", "a/image"),
            ("user-data.toml", "user-data.toml"),
        ] {
            assert_eq!(name(Path::new(file)), want);
        }
        let image = "[log]\nrate = 'x'";
        let file = name(Path::new("image"));
        assert_eq!(
            problems(&file, b"hostname = 'a'", &Services::new(), image),
            []
        );
    }

    #[test]
    fn what_is_no_text_is_named() {
        let found = problems("u", b"a = '\xff'", &Services::new(), "");
        assert_eq!(
            text(&found, "u", b"a = '\xff'", PLAIN),
            "error: u:1:6: not UTF-8: byte 0xff\n"
        );
        assert_eq!(
            verdict("u", 1, &found),
            "u has an error: a machine would reject all of it"
        );
    }
}
