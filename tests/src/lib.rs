//! Whole-system tests: the real disk image in QEMU, used as a person would use it.
//!
//! A test says in a few lines what the person does; here is what the tests share. [`on_machines`] sets up
//! what a test needs and lets at most two machines run at a time; [`Checks`] lets one boot, which costs
//! half a minute, answer several questions without one answer hiding the next.

mod attempt;
mod checks;
pub mod disk;
pub mod examples;
pub mod foreign;
pub mod guest;
mod image;
pub mod rsyslog;
mod scratch;
mod services;
mod slot;
pub mod user_data;
mod varlinkctl;

pub use attempt::{on_machines, on_machines_of};
pub use checks::Checks;
pub use image::{image, image_with_test_services};
pub use scratch::Scratch;
pub use services::{LOOPS, MANY, QUIET, enable as enable_many, enable_loops};
pub use varlinkctl::Varlinkctl;
