//! Signals that PID 1 has no handler for, which the kernel therefore keeps from it (`kill(2)`).

use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives up the handlers that Rust's runtime has for faults, to tell of a full stack: a signal that somebody sends would
/// run them, and they have a stack for two or three. A fault of our own ends in the kernel's panic and a reboot.
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
