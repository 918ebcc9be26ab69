//! Runs the examples of a page of the documentation, exactly as written.

use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};

/// Matches any text within a line; on a line of its own, any lines.
const ANY: &str = "…";

/// A command and what it shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// As it is typed.
    pub command: String,
    /// The lines below it.
    pub shows: Vec<String>,
}

/// The contents of the blocks of `page` marked `kind`, such as `toml`.
pub fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    let blocks = page.split(&*fence).skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .collect()
}

/// The examples of `page`: what follows `$ ` in blocks marked `console`.
pub fn of(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (inside, line, line.strip_prefix("$ ")) {
            (_, "```console", _) => inside = true,
            (_, "```", _) => inside = false,
            (true, _, Some(command)) => examples.push(Example {
                command: command.to_owned(),
                shows: Vec::new(),
            }),
            (true, line, None) => {
                if let Some(example) = examples.last_mut() {
                    example.shows.push(line.to_owned());
                }
            }
            _ => {}
        }
    }
    examples
}

/// Runs `example` over ssh and compares its output.
///
/// # Errors
/// The output differs.
pub fn run(vm: &Vm, example: &Example) -> Result<()> {
    // The examples show errors as a terminal does, and one of them exits with 1.
    let command = format!("{} 2>&1 || true", example.command);
    let said = vm.ssh_within(&command, secs(60))?;
    let lines: Vec<&str> = said.lines().collect();
    let wanted: Vec<&str> = example.shows.iter().map(String::as_str).collect();
    ensure!(
        lines_match(&lines, &wanted),
        "`{}` shows\n{said}\nand should\n{}",
        example.command,
        example.shows.join("\n")
    );
    Ok(())
}

fn lines_match(lines: &[&str], wanted: &[&str]) -> bool {
    match wanted.split_first() {
        None => lines.is_empty(),
        Some((&ANY, rest)) => (0..=lines.len()).any(|n| lines_match(&lines[n..], rest)),
        Some((want, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| line_matches(line, want) && lines_match(others, rest)),
    }
}

/// Columns are as wide as their contents, so any number of blanks counts as one.
fn line_matches(line: &str, wanted: &str) -> bool {
    let single = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, wanted) = (single(line), single(wanted));
    let Some((first, rest)) = wanted.split_once(ANY) else {
        return line == wanted;
    };
    let (middle, last) = rest.rsplit_once(ANY).unwrap_or(("", rest));
    let inner = line
        .strip_prefix(first.trim_end())
        .and_then(|line| line.strip_suffix(last.trim_start()));
    let found = inner.and_then(|inner| {
        let mut parts = middle.split(ANY).map(str::trim);
        parts.try_fold(inner, |line, part| {
            line.split_once(part).map(|(_, after)| after)
        })
    });
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_a_page() {
        let page = "# x\n```console\n$ a b\nc\n…\n$ d\n```\n$ no\n```sh\n$ no\n```\n";
        let example = |command: &str, shows: &[&str]| Example {
            command: command.to_owned(),
            shows: shows.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(of(page), [example("a b", &["c", "…"]), example("d", &[])]);
    }

    #[test]
    fn dots_stand_for_anything() {
        for (lines, wanted, want) in [
            (&["a", "b"][..], &["a", "b"][..], true),
            (&["a", "b"], &["a"], false),
            (&["a", "b", "c"], &["a", "…"], true),
            (&["a", "b", "c"], &["…", "c"], true),
            (&["a"], &["a", "…"], true),
            (&["up 3 min", "x"], &["up …", "x"], true),
            (&["a   b  c"], &["a b …"], true),
            (&["12 of 13 MiB available"], &["… of … MiB available"], true),
            (&["12 of 13 MiB used"], &["… of … MiB available"], false),
            (&["ready for 3 s"], &["ready for …"], true),
            (&["not ready for 3 s"], &["ready for …"], false),
        ] {
            assert_eq!(lines_match(lines, wanted), want, "{lines:?} {wanted:?}");
        }
    }
}
