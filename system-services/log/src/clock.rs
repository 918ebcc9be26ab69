//! The kernel's clock.

use nix::libc;

/// Whether it follows a time source (`adjtimex(2)`, `STA_UNSYNC`).
pub(crate) fn is_synced() -> bool {
    // SAFETY: all zeroes is a valid `timex`; mode 0 changes nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes only to `timex`, which outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    state >= 0 && timex.status & libc::STA_UNSYNC == 0
}
