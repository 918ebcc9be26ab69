//! Merges several fragments into one.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::fragment::Request;

/// All requests, each option once, in the order of the fragments. A fragment may repeat what another
/// says, so that it can be read on its own.
///
/// # Errors
/// Two requests for one option differ; both are named.
pub(super) fn merge(fragments: Vec<Vec<Request>>) -> Result<Vec<Request>> {
    let mut merged: Vec<Request> = Vec::new();
    let mut index = HashMap::new();
    for request in fragments.into_iter().flatten() {
        match index.get(&request.option) {
            None => {
                index.insert(request.option.clone(), merged.len());
                merged.push(request);
            }
            Some(&at) => require_same(&merged[at], &request)?,
        }
    }
    Ok(merged)
}

/// The requests as a file that Kconfig reads.
pub(super) fn render(requests: &[Request]) -> String {
    let mut text = String::new();
    for Request { option, value, .. } in requests {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "CONFIG_{option}={value}");
    }
    text
}

fn require_same(first: &Request, second: &Request) -> Result<()> {
    if first.value != second.value {
        bail!(
            "{}: CONFIG_{}={} contradicts CONFIG_{}={} at {}",
            second.place,
            second.option,
            second.value,
            first.option,
            first.value,
            first.place
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fragment::parse;
    use super::*;

    fn merged(boot: &str, metal: &str) -> Result<Vec<Request>> {
        let fragments = [("boot.config", boot), ("metal.config", metal)];
        let parsed = fragments.map(|(name, text)| parse(name, text).unwrap());
        merge(parsed.into())
    }

    #[test]
    fn later_fragments_add() {
        for (boot, metal, want) in [
            ("", "", ""),
            ("CONFIG_B=y", "CONFIG_A=m", "CONFIG_B=y\nCONFIG_A=m\n"),
            ("CONFIG_A=y", "CONFIG_A=y\n", "CONFIG_A=y\n"),
            (
                "# CONFIG_A is not set",
                "CONFIG_A=n\nCONFIG_N=64",
                "CONFIG_A=n\nCONFIG_N=64\n",
            ),
        ] {
            assert_eq!(render(&merged(boot, metal).unwrap()), want);
        }
    }

    #[test]
    fn a_contradiction_names_both_sides() {
        for (boot, metal, want) in [
            (
                "\nCONFIG_A=y",
                "CONFIG_A=m",
                "metal.config:1: CONFIG_A=m contradicts CONFIG_A=y at boot.config:2",
            ),
            (
                "CONFIG_A=1",
                "CONFIG_B=y\nCONFIG_A=n",
                "metal.config:2: CONFIG_A=n contradicts CONFIG_A=1 at boot.config:1",
            ),
        ] {
            assert_eq!(merged(boot, metal).unwrap_err().to_string(), want);
        }
    }
}
