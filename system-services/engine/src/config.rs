//! dockerd's configuration, which it reads again when the machine ends.

use std::fs;
use std::io;

/// As it is in the image.
const IMAGE: &str = "/etc/docker/daemon.json";
/// What dockerd reads.
pub(crate) const FILE: &str = "/run/tare-engine/daemon.json";
const KEEP: &str = "\"live-restore\": true";
const STOP: &str = "\"live-restore\": false";

/// What happens to containers when dockerd is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Containers {
    /// They run on.
    Keep,
    /// They are stopped before, each with its own signal and grace, and are started at the next boot
    /// if they are to be.
    Stop,
}

/// Writes dockerd's configuration.
pub(crate) fn write(containers: Containers) -> io::Result<()> {
    let text = fs::read_to_string(IMAGE)?;
    fs::write(FILE, with(&text, containers))
}

fn with(text: &str, containers: Containers) -> String {
    match containers {
        Containers::Keep => text.to_owned(),
        Containers::Stop => text.replace(KEEP, STOP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_kept_until_they_are_to_be_stopped() {
        let text = include_str!("../rootfs/etc/docker/daemon.json");
        assert_eq!(with(text, Containers::Keep), text);
        assert_eq!(text.matches(KEEP).count(), 1);
        assert_eq!(with(text, Containers::Stop).matches(STOP).count(), 1);
    }
}
