//! Helpers for the tests of several modules.

use crate::service::Services;

/// The code blocks of `page` whose opening fence ends with `kind`.
pub(crate) fn examples<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    let blocks = page.split(&*fence).skip(1);
    blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect()
}

/// Services by name, from what their descriptions say besides `description`.
pub(crate) fn services_of(services: &[(&str, &str)]) -> Services {
    let service = |(name, text): &(&str, &str)| {
        let text = format!("description = 'x'\n{text}");
        (
            (*name).to_owned(),
            crate::parse(name, text.as_bytes()).unwrap(),
        )
    };
    services.iter().map(service).collect()
}
