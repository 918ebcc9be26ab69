//! Mount options as the runtime spec writes them (config.md, "Linux mount options").

use nix::mount::MsFlags;
use std::ffi::CString;

/// The options of one mount, in the kernel's terms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MountOptions {
    /// A view of what is already mounted.
    pub(super) bind: bool,
    /// Includes the mounts below it.
    pub(super) recursive: bool,
    /// One of private, slave and shared. Only for a bind mount; a new mount is private.
    pub(super) propagation: MsFlags,
    pub(super) flags: MsFlags,
    /// Options of the filesystem itself, separated by commas.
    pub(super) data: CString,
}

/// The flags that mean the same to `mount(2)` and, bit for bit, to `mount_setattr(2)` (linux/mount.h).
const ATTRIBUTES: MsFlags = MsFlags::MS_RDONLY
    .union(MsFlags::MS_NOSUID)
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

impl MountOptions {
    /// Reads the options of one mount.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(super) fn parse(options: &[String]) -> Result<Self, String> {
        let mut parsed = Self {
            bind: false,
            recursive: false,
            propagation: MsFlags::MS_PRIVATE,
            flags: MsFlags::empty(),
            data: CString::default(),
        };
        let mut data = Vec::new();
        for option in options {
            if !parsed.take(option) {
                data.push(&**option);
            }
        }
        if parsed.bind && !data.is_empty() {
            return Err(format!("a bind mount takes no option `{}`", data[0]));
        }
        parsed.data = CString::new(data.join(",")).map_err(|_| "NUL in an option".to_owned())?;
        Ok(parsed)
    }

    /// Applies `option` if it is one of the kernel's, and returns whether it is. Others are the filesystem's.
    fn take(&mut self, option: &str) -> bool {
        match option {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "private" | "rprivate" => self.propagation = MsFlags::MS_PRIVATE,
            "slave" | "rslave" => self.propagation = MsFlags::MS_SLAVE,
            "shared" | "rshared" => self.propagation = MsFlags::MS_SHARED,
            "rw" => {}
            "ro" | "rro" => self.flags |= MsFlags::MS_RDONLY,
            "nosuid" => self.flags |= MsFlags::MS_NOSUID,
            "nodev" => self.flags |= MsFlags::MS_NODEV,
            "noexec" => self.flags |= MsFlags::MS_NOEXEC,
            _ => return false,
        }
        true
    }

    /// For `mount_setattr(2)`.
    pub(super) fn attributes(&self) -> u64 {
        (self.flags & ATTRIBUTES).bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Result<(bool, bool, u64, u64, String), String> {
        let options: Vec<String> = options.split(' ').map(str::to_owned).collect();
        let parsed = MountOptions::parse(&options)?;
        let data = parsed.data.to_str().unwrap().to_owned();
        let propagation = parsed.propagation.bits();
        Ok((
            parsed.bind,
            parsed.recursive,
            parsed.attributes(),
            propagation,
            data,
        ))
    }

    #[test]
    fn options_are_flags_propagation_and_data() {
        const PRIVATE: u64 = 1 << 18;
        const SLAVE: u64 = 1 << 19;
        const SHARED: u64 = 1 << 20;
        for (options, want) in [
            ("nosuid nodev noexec ro", (false, false, 0xf, PRIVATE, "")),
            (
                "nosuid mode=755 size=1m",
                (false, false, 2, PRIVATE, "mode=755,size=1m"),
            ),
            ("bind rshared rw", (true, false, 0, SHARED, "")),
            ("rbind rslave rro", (true, true, 1, SLAVE, "")),
        ] {
            let (bind, recursive, attributes, propagation, data) = want;
            let want = (bind, recursive, attributes, propagation, data.to_owned());
            assert_eq!(parse(options), Ok(want));
        }
        let refused = "a bind mount takes no option `mode=755`";
        assert_eq!(parse("bind mode=755"), Err(refused.to_owned()));
    }
}
