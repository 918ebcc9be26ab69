//! dockerd's configuration, which dockerd reloads on shutdown of the machine.

use std::fs;
use std::io;

/// The file in the image.
const IMAGE: &str = "/etc/docker/daemon.json";
/// The file that dockerd reads.
pub(crate) const FILE: &str = "/run/tare-engine/daemon.json";
const KEEP: &str = "\"live-restore\": true";
const STOP: &str = "\"live-restore\": false";

/// What happens to containers when dockerd is told to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Containers {
    /// They keep running.
    Keep,
    /// They are stopped first, each with its own signal and grace, and are restarted at the next
    /// boot if they are configured to.
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
