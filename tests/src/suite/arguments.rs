//! The command line: the options of cargo's own test programs that make sense for machines.

use clap::Parser;

use super::Test;

/// Whole-system tests in virtual machines.
#[derive(Debug, Default, Parser)]
#[command(bin_name = "cargo test -p tare-tests --test machines --")]
pub struct Arguments {
    /// Only tests whose names contain one of these
    filters: Vec<String>,

    /// Names must be these, whole
    #[arg(long)]
    exact: bool,

    /// Not the tests whose names contain this
    #[arg(long, value_name = "FILTER")]
    skip: Vec<String>,

    /// Only the tests that take very long
    #[arg(long)]
    ignored: bool,

    /// Those too
    #[arg(long)]
    include_ignored: bool,

    /// Show the tests' names and run none
    #[arg(long)]
    pub(super) list: bool,

    // Accepted because all test programs get the same command line from cargo.
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(short, long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
}

impl Arguments {
    /// Parses this process's arguments; exits if they are invalid.
    pub(super) fn read() -> Self {
        Self::parse()
    }

    /// Whether the command line selects the test.
    pub(super) fn names(&self, test: &Test) -> bool {
        let matches = |filter: &String| match self.exact {
            true => test.name == filter,
            false => test.name.contains(filter.as_str()),
        };
        let named = self.filters.is_empty() || self.filters.iter().any(matches);
        named && !self.skip.iter().any(matches)
    }

    /// Whether a selected test runs.
    pub(super) fn runs(&self, test: &Test) -> bool {
        match test.ignored {
            true => self.ignored || self.include_ignored,
            false => !self.ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_words_choose() {
        let test = |name, ignored| Test {
            name,
            seconds: 1,
            ignored,
            image: crate::image,
            run: |_| Ok(()),
        };
        let tests = [
            test("a::x", false),
            test("a::xy", false),
            test("b::z", true),
        ];
        for (words, want) in [
            (&[][..], &["a::x", "a::xy"][..]),
            (&["a::"], &["a::x", "a::xy"]),
            (&["x", "z"], &["a::x", "a::xy"]),
            (&["--exact", "a::x"], &["a::x"]),
            (&["--skip", "xy"], &["a::x"]),
            (&["--ignored"], &["b::z"]),
            (&["--include-ignored", "z", "xy"], &["a::xy", "b::z"]),
            (&["--nocapture", "no"], &[]),
        ] {
            let words = std::iter::once(&"machines").chain(words);
            let arguments = Arguments::try_parse_from(words).unwrap();
            let chosen = tests.iter().filter(|test| arguments.names(test));
            let names = chosen
                .filter(|test| arguments.runs(test))
                .map(|test| test.name);
            assert_eq!(names.collect::<Vec<_>>(), want);
        }
    }
}
