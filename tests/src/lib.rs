//! Whole-system tests: the real disk image in QEMU, used as a person would use it.
//!
//! A test says in a few lines what the person does; this crate has what the tests share. [`suite`] runs them, at most
//! two machines at a time. [`Checks`] runs several checks on one boot, which costs half a minute, without one failure
//! hiding the next.

mod baked;
pub mod certificates;
mod checks;
pub mod debian;
pub mod disk;
pub mod examples;
pub mod foreign;
pub mod guest;
mod image;
pub mod rsyslog;
mod scratch;
mod services;
mod slot;
pub mod suite;
pub mod user_data;
mod varlinkctl;

pub use checks::Checks;
pub use image::{image, image_with_baked_app, image_with_test_services};
pub use scratch::Scratch;
pub use services::{LOOPS, MANY, QUIET, enable as enable_many, enable_loops, enable_shown};
pub use slot::asleep;
pub use suite::note;
pub use varlinkctl::Varlinkctl;
