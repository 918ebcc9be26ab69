//! A minimal container: `clone3`, a bundle's mounts, `pivot_root`, `execve`. No cgroup, user namespace, rights,
//! limits, filter or `/dev` nodes, and failures are not explained.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, chdir, execve, mkdir, pipe2, pivot_root, read};
use tare_container::Bundle;

const NONE: Option<&str> = None;
/// Every service gets its own of each, except for host namespaces that it names.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// A container, ready to start.
#[derive(Debug)]
pub(crate) struct Bare {
    rootfs: String,
    mounts: Vec<Mount>,
    args: Vec<CString>,
}

#[derive(Debug)]
struct Mount {
    fstype: String,
    source: String,
    target: String,
    flags: MsFlags,
    data: String,
}

impl Bare {
    /// Takes from `bundle` what is needed here.
    ///
    /// # Errors
    /// The bundle has no program.
    pub(crate) fn of(bundle: &Bundle) -> Result<Self> {
        let process = bundle.spec.process().as_ref();
        let args = process.and_then(|process| process.args().as_ref());
        let args = args.context("the bundle has no program")?;
        let mounts = bundle.spec.mounts().iter().flatten();
        Ok(Self {
            rootfs: bundle.path.join("rootfs").display().to_string(),
            mounts: mounts.map(Mount::of).collect(),
            args: args
                .iter()
                .map(|arg| Ok(CString::new(arg.as_str())?))
                .collect::<Result<_>>()?,
        })
    }

    /// Starts it and waits until its program runs.
    ///
    /// # Errors
    /// The program does not start.
    pub(crate) fn start(&self) -> Result<Pid> {
        let (running, runs) = pipe2(OFlag::O_CLOEXEC)?;
        let pid = self.clone(runs)?;
        match read(&running, &mut [0; 1])? {
            0 => Ok(pid),
            _ => bail!("a bare container could not be made"),
        }
    }

    fn clone(&self, runs: OwnedFd) -> nix::Result<Pid> {
        // SAFETY: all zeroes is a valid `clone_args`: no flags, no pointers.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = u64::from(NAMESPACES as u32);
        args.exit_signal = libc::SIGCHLD as u64;
        // SAFETY: without a stack this is a fork, and this process has one thread.
        let child = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
        if Errno::result(child)? > 0 {
            return Ok(Pid::from_raw(
                i32::try_from(child).map_err(|_| Errno::EOVERFLOW)?,
            ));
        }
        // On error one byte is written; on success `execve` closes the pipe.
        let _ = self.become_program();
        let _ = nix::unistd::write(&runs, b"!");
        // SAFETY: `_exit` takes a number and does not return.
        unsafe { libc::_exit(127) }
    }

    fn become_program(&self) -> nix::Result<Infallible> {
        let rootfs = Path::new(&self.rootfs);
        let bind = MsFlags::MS_BIND;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        mount(Some(rootfs), rootfs, NONE, bind, NONE)?;
        mount(
            NONE,
            rootfs,
            NONE,
            bind | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
            NONE,
        )?;
        chdir(rootfs)?;
        pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        self.mounts.iter().try_for_each(Mount::make)?;
        execve(&self.args[0], &self.args, &[] as &[CString])
    }
}

impl Mount {
    fn of(mount: &oci_spec::runtime::Mount) -> Self {
        let text = |path: Option<&Path>| path.unwrap_or(Path::new("none")).display().to_string();
        let mut flags = MsFlags::empty();
        let mut data = Vec::new();
        for option in mount.options().iter().flatten() {
            match option.as_str() {
                "nosuid" => flags |= MsFlags::MS_NOSUID,
                "nodev" => flags |= MsFlags::MS_NODEV,
                "noexec" => flags |= MsFlags::MS_NOEXEC,
                "ro" => flags |= MsFlags::MS_RDONLY,
                other => data.push(other),
            }
        }
        Self {
            fstype: mount.typ().clone().unwrap_or_default(),
            source: text(mount.source().as_deref()),
            target: text(Some(mount.destination())),
            flags,
            data: data.join(","),
        }
    }

    fn make(&self) -> nix::Result<()> {
        if self.target.starts_with("/dev/") {
            mkdir(self.target.as_str(), Mode::S_IRWXU)?;
        }
        mount(
            Some(self.source.as_str()),
            self.target.as_str(),
            Some(self.fstype.as_str()),
            self.flags,
            Some(self.data.as_str()),
        )
    }
}
