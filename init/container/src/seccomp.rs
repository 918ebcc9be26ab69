//! Which system calls a service may make: one profile, in OCI form for `runc` and `crun`, and as
//! the BPF program that [`crate::launch()`] loads.

#[cfg(target_arch = "x86_64")]
#[path = "seccomp/x86_64.rs"]
mod architecture;
mod bpf;

use architecture::{ALWAYS, ARCHITECTURE, BY_CAPABILITY, CLONE, CLONE3, TESTED};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};
use std::collections::BTreeMap;
use tare_config::Service;
use tare_config::service::SeccompProfile;

/// A system call: its number and its name.
type Call = (u32, &'static str);

/// A test of the low 32 bits of a call's first argument; for the calls tested, the kernel ignores the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    /// Less than this.
    Below(u32),
    /// Equal to this.
    Equal(u32),
    /// None of these bits is set.
    Clear(u32),
}

/// What happens to a call of the profile. All other known calls fail with `EPERM`; newer ones fail with `ENOSYS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    /// Allowed if one of the tests holds.
    AllowIf(&'static [Test]),
    /// Refused with this error.
    Refuse(u32),
}

/// The calls of a service, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile(BTreeMap<u32, (&'static str, Verdict)>);

impl Profile {
    /// The profile of `service`; `None` if it is unconfined.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        let capabilities = service.process.capabilities.iter();
        match service.sandbox.seccomp {
            SeccompProfile::Unconfined => None,
            SeccompProfile::Default => Some(Self::with(capabilities.map(|held| held.name()))),
        }
    }

    /// Docker's default profile for a process with these capabilities.
    fn with<'a>(capabilities: impl Iterator<Item = &'a str>) -> Self {
        let mut profile = Self(BTreeMap::new());
        profile.allow(ALWAYS);
        for (call, tests) in TESTED.iter().chain([&CLONE]) {
            profile.set(*call, Verdict::AllowIf(tests));
        }
        profile.set(CLONE3, Verdict::Refuse(libc::ENOSYS.unsigned_abs()));
        for held in capabilities {
            let of_held = BY_CAPABILITY.iter().filter(|(name, _)| *name == held);
            of_held.for_each(|(_, calls)| profile.allow(calls));
        }
        profile
    }

    fn allow(&mut self, calls: &[Call]) {
        calls
            .iter()
            .for_each(|call| self.set(*call, Verdict::Allow));
    }

    fn set(&mut self, (number, name): Call, verdict: Verdict) {
        self.0.insert(number, (name, verdict));
    }

    /// The program for `seccomp(2)`: an array of `struct sock_filter` in the machine's byte order, as stored in a
    /// bundle's `seccomp.bpf`.
    #[must_use]
    pub fn program(&self) -> Vec<u8> {
        bpf::assemble(
            self.0
                .iter()
                .map(|(number, (_, verdict))| (*number, *verdict)),
        )
    }

    /// The same in the runtime spec's terms (config-linux.md, "Seccomp").
    #[must_use]
    pub fn oci(&self) -> LinuxSeccomp {
        let mut seccomp = LinuxSeccomp::default();
        seccomp
            .set_default_action(LinuxSeccompAction::ScmpActErrno)
            .set_default_errno_ret(Some(libc::EPERM.unsigned_abs()))
            .set_architectures(Some(vec![ARCHITECTURE]))
            .set_syscalls(Some(self.oci_syscalls()));
        seccomp
    }

    /// One entry for all calls that are always allowed, then one for each test. Entries with the same name are
    /// alternatives.
    fn oci_syscalls(&self) -> Vec<LinuxSyscall> {
        let allowed = self
            .0
            .values()
            .filter(|(_, verdict)| *verdict == Verdict::Allow);
        let names: Vec<&str> = allowed.map(|(name, _)| *name).collect();
        let mut entries = vec![entry(&names, LinuxSeccompAction::ScmpActAllow)];
        for (name, verdict) in self.0.values() {
            match verdict {
                Verdict::Allow => {}
                Verdict::AllowIf(tests) => entries.extend(tests.iter().map(|t| tested(name, *t))),
                Verdict::Refuse(errno) => entries.push(refused(name, *errno)),
            }
        }
        entries
    }
}

fn entry(names: &[&str], action: LinuxSeccompAction) -> LinuxSyscall {
    let mut entry = LinuxSyscall::default();
    entry
        .set_names(names.iter().map(|&name| name.to_owned()).collect())
        .set_action(action);
    entry
}

fn refused(name: &str, errno: u32) -> LinuxSyscall {
    let mut entry = entry(&[name], LinuxSeccompAction::ScmpActErrno);
    entry.set_errno_ret(Some(errno));
    entry
}

fn tested(name: &str, test: Test) -> LinuxSyscall {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpLt, ScmpCmpMaskedEq};
    let argument = LinuxSeccompArgBuilder::default();
    let argument = match test {
        Test::Below(limit) => argument.op(ScmpCmpLt).value(limit),
        Test::Equal(value) => argument.op(ScmpCmpEq).value(value),
        // The first value is the mask, the second the required result.
        Test::Clear(mask) => argument.op(ScmpCmpMaskedEq).value(mask).value_two(0_u64),
    };
    let mut entry = entry(&[name], LinuxSeccompAction::ScmpActAllow);
    // No field is required, so building cannot fail. The type has no setters to use instead.
    entry.set_args(Some(vec![argument.build().unwrap_or_default()]));
    entry
}

#[cfg(test)]
mod tests;
