//! Apps that were started and are no longer configured.
//!
//! One whose containers cannot be removed delays others at most once: it is marked as late then, and stays so until it is gone
//! or is configured again.

use crate::compose;
use crate::started::Started;
use anyhow::{Result, bail};
use serde_json::{Map, Value};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long an app waits for ports and names of those that are being taken down: it may be one of them, renamed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to take one down; containers have 10 s to end unless they say otherwise. What the engine has
/// begun by then continues.
pub(crate) const LIMIT: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(200);

/// Takes them down, those that are late last.
///
/// # Errors
/// If one could not be taken down; the others are.
pub(crate) fn take_down(apps: &Map<String, Value>, started: &Started) -> Result<()> {
    let (late, prompt): (Vec<_>, Vec<_>) = removed(apps, started)?
        .into_iter()
        .partition(|name| started.is_late(name));
    let mut failures = 0;
    for name in prompt.iter().chain(&late) {
        match compose::down(name, LIMIT).and_then(|()| started.remove(name)) {
            Ok(()) => eprintln!("{name}: taken down: no longer configured"),
            Err(error) => {
                eprintln!("<3>{name}: {error:#}");
                failures += 1;
                if let Err(error) = started.mark_late(name) {
                    eprintln!("<3>{error:#}");
                }
            }
        }
    }
    if failures > 0 {
        bail!("{failures} apps could not be taken down");
    }
    Ok(())
}

/// Waits until they are gone, or are late.
///
/// # Errors
/// The folder with what was started cannot be read or written.
pub(crate) fn wait_for(apps: &Map<String, Value>, started: &Started) -> Result<()> {
    wait(apps, started, PATIENCE)
}

fn wait(apps: &Map<String, Value>, started: &Started, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        let mut awaited = removed(apps, started)?;
        awaited.retain(|name| !started.is_late(name));
        if awaited.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            return awaited.iter().try_for_each(|name| started.mark_late(name));
        }
        sleep(LOOK);
    }
}

fn removed(apps: &Map<String, Value>, started: &Started) -> Result<Vec<String>> {
    let mut names = started.names()?;
    names.retain(|name| !apps.contains_key(name));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::started::testing::Folder;
    use serde_json::json;

    #[test]
    fn one_that_does_not_go_is_waited_for_once() {
        let folder = Folder::new("removed");
        let started = Started::at(folder.path());
        let apps = json!({"shop": {}});
        let apps = apps.as_object().unwrap();
        for name in ["blog", "shop"] {
            started.add(name).unwrap();
        }
        let waited = |patience| {
            let begin = Instant::now();
            wait(apps, &started, patience).unwrap();
            begin.elapsed()
        };
        let patience = Duration::from_millis(300);
        assert!(waited(patience) >= patience);
        assert!(waited(PATIENCE) < PATIENCE / 2);
        // It was configured, and removed, once more.
        started.add("blog").unwrap();
        assert!(waited(patience) >= patience);
        started.remove("blog").unwrap();
        assert_eq!(started.names().unwrap(), ["shop"]);
        assert!(!started.is_late("blog"));
    }
}
