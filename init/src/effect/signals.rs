//! Signals that PID 1 has no handler for, which the kernel therefore does not deliver to it (`kill(2)`).

use nix::sys::signal::{SigHandler, Signal, signal};

/// Restores the default actions of SIGSEGV and SIGBUS. Rust installs handlers to report stack overflow, and any
/// process that may signal us could run them; their alternate stack has room for two or three. A fault of our own
/// ends in a kernel panic and a reboot.
///
/// # Errors
/// The kernel's.
pub(crate) fn leave_faults() -> nix::Result<()> {
    for fault in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default runs no code of ours.
        unsafe { signal(fault, SigHandler::SigDfl) }?;
    }
    Ok(())
}
