//! Runs disk images in QEMU, for people (`cargo boot`) and for tests.
//!
//! ```no_run
//! use tare_qemu::{Base, Vm};
//! # fn main() -> anyhow::Result<()> {
//! # let image: Base = unimplemented!();
//! let vm = Vm::of(image).user_data("hostname = 'a'").boot()?;
//! vm.wait_ready()?;
//! assert_eq!(vm.ssh("hostname")?, "a\n");
//! vm.power_button()?;
//! vm.wait_exit(tare_qemu::secs(30))?;
//! # Ok(())
//! # }
//! ```
//!
//! QEMU's configuration is pure data ([`Shape`]) and becomes a command line without I/O ([`Shape::argv`]). A
//! [`Machine`] is what outlives a boot: its disk, its firmware variables. A [`Vm`] is one run of it, ended when the
//! value is dropped.

mod accel;
mod argv;
mod banner;
mod builder;
mod console;
pub mod evidence;
mod http;
mod image;
mod lost;
mod machine;
mod paths;
mod ports;
mod qmp;
mod seed;
mod shape;
mod ssh;
mod talk;
mod user_data;
mod vm;
mod wait;

pub use accel::{Accel, Acceleration};
pub use builder::{Base, Builder};
pub use console::{Console, FORBIDDEN};
pub use http::Response;
pub use lost::Lost;
pub use machine::Machine;
pub use paths::target;
pub use ports::{Forward, free_port};
pub use qmp::Qmp;
pub use seed::Seed;
pub use shape::{ConsoleTo, Disk, DiskBus, DiskFormat, Firmware, Network, Shape, Watchdog};
pub use ssh::{Key, Ssh};
pub use user_data::with_key;
pub use vm::{Exit, Vm};
pub use wait::{limit_waits, secs, unlimit_waits};
