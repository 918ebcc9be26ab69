//! Helpers for the tests of several modules.

/// The code blocks of `page` whose opening fence ends with `kind`.
pub(crate) fn examples<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    let blocks = page.split(&*fence).skip(1);
    blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect()
}
