//! A profile as a classic BPF program: a binary search for the ranges of numbers that share a verdict.
//!
//! When a filter is loaded the kernel runs it once for every number to learn which calls are always
//! allowed (`seccomp_cache_prepare`), so its length is paid at every start of a container. The
//! search takes 6 steps where the usual chain of comparisons takes up to 700.

use super::architecture::{AUDIT_ARCHITECTURE, LAST};
use super::{Test, Verdict};

/// `struct sock_filter` (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

// linux/bpf_common.h, put together as far as we need them.
const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half, as both machines we may ever know are little-endian.
const ARGUMENT_0: u32 = 16;

// linux/seccomp.h
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;

/// The program of a profile, given by ascending numbers: `EPERM` for the numbers between,
/// `ENOSYS` above the last that the kernel has.
pub(super) fn assemble(calls: impl Iterator<Item = (u32, Verdict)>) -> Vec<u8> {
    let mut program = vec![
        statement(LOAD_WORD, ARCHITECTURE),
        jump(JUMP_EQUAL, AUDIT_ARCHITECTURE, 1, 0),
        statement(RETURN, KILL_PROCESS),
        statement(LOAD_WORD, NUMBER),
    ];
    program.extend(search(&ranges(calls)));
    program.iter().flat_map(bytes).collect()
}

/// The verdicts from 0 up as (first number, verdict), each up to the next.
fn ranges(calls: impl Iterator<Item = (u32, Verdict)>) -> Vec<(u32, Verdict)> {
    let denied = Verdict::Refuse(libc::EPERM.unsigned_abs());
    let mut ranges = Vec::new();
    let mut next = 0;
    for (number, verdict) in calls {
        if number > next {
            ranges.push((next, denied));
        }
        ranges.push((number, verdict));
        next = number + 1;
    }
    if next <= LAST {
        ranges.push((next, denied));
    }
    ranges.push((LAST + 1, Verdict::Refuse(libc::ENOSYS.unsigned_abs())));
    ranges.dedup_by_key(|(_, verdict)| *verdict);
    ranges
}

#[expect(
    clippy::expect_used,
    reason = "the tables are fixed, and the tests run every call"
)]
fn search(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    let [(_, verdict)] = ranges else {
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let low_code = search(low);
        let skip = u8::try_from(low_code.len())
            .expect("half of some 40 ranges is less than 255 instructions");
        let mut code = vec![jump(JUMP_AT_LEAST, high[0].0, skip, 0)];
        code.extend(low_code);
        code.extend(search(high));
        return code;
    };
    decide(*verdict)
}

fn decide(verdict: Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Allow => vec![statement(RETURN, ALLOW)],
        Verdict::Refuse(errno) => vec![statement(RETURN, ERRNO | errno)],
        Verdict::AllowIf(tests) => allow_if(tests),
    }
}

/// Each test that fails falls through to the next; the last lets a refusal follow it.
fn allow_if(tests: &[Test]) -> Vec<Instruction> {
    let mut code = vec![statement(LOAD_WORD, ARGUMENT_0)];
    for test in tests {
        code.push(match test {
            Test::Below(limit) => jump(JUMP_AT_LEAST, *limit, 1, 0),
            Test::Equal(value) => jump(JUMP_EQUAL, *value, 0, 1),
            Test::Clear(mask) => jump(JUMP_IF_SET, *mask, 1, 0),
        });
        code.push(statement(RETURN, ALLOW));
    }
    code.push(statement(RETURN, ERRNO | libc::EPERM.unsigned_abs()));
    code
}

fn statement(code: u16, k: u32) -> Instruction {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        k,
    }
}

fn bytes(instruction: &Instruction) -> [u8; 8] {
    let [c0, c1] = instruction.code.to_ne_bytes();
    let [k0, k1, k2, k3] = instruction.k.to_ne_bytes();
    [
        c0,
        c1,
        instruction.if_true,
        instruction.if_false,
        k0,
        k1,
        k2,
        k3,
    ]
}
