//! Reboot and power off, and the keys that ask for them.

use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};

/// How a machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    PowerOff,
    Reboot,
}

/// Makes ctrl-alt-del a `SIGINT` to us instead of an instant reboot (`reboot(2)`).
pub(crate) fn take_ctrl_alt_del() -> nix::Result<()> {
    set_cad_enabled(false)
}

/// Ends the machine at once. Everything must be written and unmounted by now.
pub(crate) fn end(ending: Ending) -> ! {
    let mode = match ending {
        Ending::PowerOff => RebootMode::RB_POWER_OFF,
        Ending::Reboot => RebootMode::RB_AUTOBOOT,
    };
    let error = reboot(mode);
    log::error!("{ending:?} refused by the kernel: {error:?}");
    loop {
        nix::unistd::pause();
    }
}
