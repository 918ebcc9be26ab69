//! The power button, as the kernel's input layer reports it.

use nix::libc;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// `EV_KEY` and `KEY_POWER` (`include/uapi/linux/input-event-codes.h`).
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// The size of `struct input_event` on a 64-bit kernel: a 16-byte time, type, code, value.
const EVENT_SIZE: usize = 24;

/// Every input device that has a power key.
pub(crate) fn find() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/sys/class/input") else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let events = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("event"));
    events
        .filter(|name| has_power_key(name))
        .map(|name| Path::new("/dev/input").join(name))
        .collect()
}

/// Reads the device's bitmap of keys: 64-bit words in hexadecimal, the highest first.
fn has_power_key(event: &str) -> bool {
    let path = format!("/sys/class/input/{event}/device/capabilities/key");
    fs::read_to_string(path).is_ok_and(|words| bit(&words, KEY_POWER))
}

fn bit(words: &str, number: u16) -> bool {
    let word = words.split_whitespace().rev().nth(usize::from(number / 64));
    word.and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (number % 64) & 1 == 1)
}

/// Returns when the power key of `device` is pressed.
///
/// # Errors
/// If the device cannot be read, for example because it was unplugged.
pub(crate) async fn pressed(device: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(device)?;
    // SAFETY: the registration owns the file, which therefore stays open and the same until it is
    // dropped with it.
    let mut device = unsafe { AsyncFd::register(file) }?;
    loop {
        let mut guard = device.readable_mut().await?;
        match guard.try_io(|file| read_press(file.get_mut())) {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

fn read_press(file: &mut File) -> io::Result<bool> {
    let mut event = [0_u8; EVENT_SIZE];
    file.read_exact(&mut event)?;
    Ok(is_press(&event))
}

fn is_press(event: &[u8; EVENT_SIZE]) -> bool {
    let field = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    field(16) == EV_KEY && field(18) == KEY_POWER && field(20) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_bitmap_is_read_from_its_end() {
        for (words, want) in [
            ("10000000000000 0\n", true),
            ("0\n", false),
            ("0 10000000000000\n", false),
            ("x y", false),
        ] {
            assert_eq!(bit(words, KEY_POWER), want, "{words}");
        }
    }
}
