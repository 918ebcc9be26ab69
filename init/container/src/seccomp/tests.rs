use super::*;

/// What the kernel answers: allowed, refused with an errno, or the process killed.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Allowed,
    Errno(i32),
    Killed,
}

/// Runs `program` as the kernel would for a call of `number` with `argument` on `architecture`.
fn run(program: &[u8], architecture: u32, number: u32, argument: u64) -> Answer {
    let mut data = [0_u8; 64];
    data[..4].copy_from_slice(&number.to_ne_bytes());
    data[4..8].copy_from_slice(&architecture.to_ne_bytes());
    data[16..24].copy_from_slice(&argument.to_ne_bytes());
    let word = |bytes: &[u8]| u32::from_ne_bytes(bytes[..4].try_into().unwrap());
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let instruction = &program[at * 8..at * 8 + 8];
        let k = word(&instruction[4..]);
        let jump = |holds: bool| usize::from(instruction[if holds { 2 } else { 3 }]);
        at += 1;
        match u16::from_ne_bytes(instruction[..2].try_into().unwrap()) {
            0x20 => accumulator = word(&data[k as usize..]),
            0x15 => at += jump(accumulator == k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x06 => return answer(k),
            code => panic!("no such instruction: {code:#x}"),
        }
    }
}

fn answer(value: u32) -> Answer {
    match value & 0xffff_0000 {
        0x7fff_0000 => Answer::Allowed,
        0x0005_0000 => Answer::Errno((value & 0xffff) as i32),
        0x8000_0000 => Answer::Killed,
        other => panic!("no such answer: {other:#x}"),
    }
}

fn program(capabilities: &[&str]) -> Vec<u8> {
    Profile::with(capabilities.iter().copied()).program()
}

const X86_64: u32 = 0xc000_003e;

#[test]
fn calls_are_answered_as_by_docker() {
    let (plain, admin) = (program(&[]), program(&["CAP_SYS_ADMIN"]));
    let denied = || Answer::Errno(libc::EPERM);
    for (name, number, argument, plainly, as_admin) in [
        ("read", 0, 0, Answer::Allowed, Answer::Allowed),
        ("mount", 165, 0, denied(), Answer::Allowed),
        ("kexec_load", 246, 0, denied(), denied()),
        (
            "clone of a thread",
            56,
            0x3d_0f00,
            Answer::Allowed,
            Answer::Allowed,
        ),
        (
            "clone of a user namespace",
            56,
            0x1000_0000,
            denied(),
            Answer::Allowed,
        ),
        (
            "clone3",
            435,
            0,
            Answer::Errno(libc::ENOSYS),
            Answer::Allowed,
        ),
        ("socket of AF_INET", 41, 2, Answer::Allowed, Answer::Allowed),
        ("socket of AF_ALG", 41, 38, denied(), denied()),
        ("socket of AF_XDP", 41, 44, Answer::Allowed, Answer::Allowed),
        ("socket of AF_VSOCK", 41, 40, denied(), denied()),
        (
            "the same with bits that the kernel ignores",
            41,
            (1 << 32) | 40,
            denied(),
            denied(),
        ),
        (
            "personality of Linux",
            135,
            0,
            Answer::Allowed,
            Answer::Allowed,
        ),
        (
            "personality without address randomisation",
            135,
            0x004_0000,
            denied(),
            denied(),
        ),
        ("mseal", 462, 0, Answer::Allowed, Answer::Allowed),
        (
            "one that is not there yet",
            463,
            0,
            Answer::Errno(libc::ENOSYS),
            Answer::Errno(libc::ENOSYS),
        ),
        (
            "an x32 one",
            0x4000_0000,
            0,
            Answer::Errno(libc::ENOSYS),
            Answer::Errno(libc::ENOSYS),
        ),
    ] {
        assert_eq!(run(&plain, X86_64, number, argument), plainly, "{name}");
        assert_eq!(
            run(&admin, X86_64, number, argument),
            as_admin,
            "{name}, CAP_SYS_ADMIN"
        );
    }
}

#[test]
fn every_number_gets_its_verdict() {
    let profile = Profile::with(["CAP_SYS_TIME"].into_iter());
    let program = profile.program();
    for number in 0..=architecture::LAST {
        let want = match profile.0.get(&number) {
            Some((_, Verdict::Allow)) => Answer::Allowed,
            Some((_, Verdict::Refuse(errno))) => Answer::Errno(*errno as i32),
            // Argument 38 passes no test except that of `clone`.
            Some(("clone", Verdict::AllowIf(_))) => Answer::Allowed,
            _ => Answer::Errno(libc::EPERM),
        };
        assert_eq!(run(&program, X86_64, number, 38), want, "call {number}");
    }
}

#[test]
fn another_architecture_is_killed() {
    const I386: u32 = 0x4000_0003;
    assert_eq!(run(&program(&[]), I386, 0, 0), Answer::Killed);
}

#[test]
fn a_program_is_short() {
    assert_eq!(program(&[]).len() / 8, 90);
}

/// Numbers are written by hand in one place; libc has most of them from the kernel's headers.
#[test]
fn numbers_are_those_of_the_kernel() {
    let profile = Profile::with(["CAP_SYS_ADMIN", "CAP_SYS_TIME", "CAP_SYS_BOOT"].into_iter());
    for (name, number) in [
        ("read", libc::SYS_read),
        ("mount", libc::SYS_mount),
        ("clock_settime", libc::SYS_clock_settime),
        ("reboot", libc::SYS_reboot),
        ("execveat", libc::SYS_execveat),
        ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
        ("fchmodat2", libc::SYS_fchmodat2),
        ("mseal", libc::SYS_mseal),
    ] {
        let found = profile.0.get(&u32::try_from(number).unwrap());
        assert_eq!(found.map(|(name, _)| *name), Some(name));
    }
}

/// A capability and its system calls per line; calls without a capability are allowed to all.
const DOCKER: &str = include_str!("docker.txt");

/// Whether Docker allows `call` to a process with `capability`, whatever the arguments are.
fn docker_allows(capability: &str, call: &str) -> bool {
    let lines = DOCKER.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(": ").unwrap_or(("", line)))
        .filter(|(of, _)| of.is_empty() || *of == capability)
        .any(|(_, calls)| calls.split(' ').any(|allowed| allowed == call))
}

#[test]
fn nothing_is_allowed_that_docker_refuses() {
    let held = BY_CAPABILITY.iter().map(|(capability, _)| *capability);
    for capability in held.chain([""]) {
        for (name, verdict) in Profile::with([capability].into_iter()).0.values() {
            match verdict {
                Verdict::Allow => assert!(docker_allows(capability, name), "{capability} {name}"),
                // Their arguments are tested below.
                Verdict::AllowIf(_) => assert!(["clone", "personality", "socket"].contains(name)),
                Verdict::Refuse(_) => {}
            }
        }
    }
    let program = program(&[]);
    let allowed = |call, argument| run(&program, X86_64, call, argument) == Answer::Allowed;
    for family in (0..100).filter(|family| allowed(41, *family)) {
        assert!(![38, 40].contains(&family), "family {family}");
    }
    for persona in (0..1 << 20).filter(|persona| allowed(135, *persona)) {
        assert!([0, 8, 0x20000, 0x20008].contains(&persona), "{persona:#x}");
    }
    for flag in (0..32)
        .map(|bit| 1 << bit)
        .filter(|flag| allowed(56, *flag))
    {
        assert_eq!(flag & 0x7e02_0000, 0, "{flag:#x}");
    }
}
