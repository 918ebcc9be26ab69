//! A profile as a classic BPF program: a binary search over the ranges of numbers that share a verdict.
//!
//! When a filter is loaded the kernel runs it once for every number to learn which calls are always allowed
//! (`seccomp_cache_prepare`), so its length slows down every start of a container. The search takes 7 steps where a
//! chain of comparisons takes hundreds.

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

// Combinations from linux/bpf_common.h, as far as we need them.
const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half: both architectures we may ever support are little-endian.
const ARGUMENT_0: u32 = 16;

// linux/seccomp.h
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;

/// Assembles the program of a profile whose numbers ascend. Numbers in between get `EPERM`, numbers above the
/// kernel's last get `ENOSYS`.
pub(super) fn assemble(calls: impl Iterator<Item = (u32, Verdict)>) -> Vec<u8> {
    let mut program = Program::default();
    // There is more than one range, so the root of the search ends up in front.
    program.search(&ranges(calls));
    let number = program.statement(LOAD_WORD, NUMBER);
    let kill = program.statement(RETURN, KILL_PROCESS);
    program.jump(JUMP_EQUAL, AUDIT_ARCHITECTURE, number, kill);
    program.statement(LOAD_WORD, ARCHITECTURE);
    program.instructions.iter().rev().flat_map(bytes).collect()
}

/// The verdicts from 0 up as (first number, verdict). Each range ends at the next.
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

/// A position in a program, counted from its end.
type Label = usize;

/// A program built from its last instruction to its first: jumps only go forward, so their targets exist already.
#[derive(Default)]
struct Program {
    instructions: Vec<Instruction>,
    verdicts: Vec<(Verdict, Label)>,
}

impl Program {
    fn push(&mut self, instruction: Instruction) -> Label {
        self.instructions.push(instruction);
        self.instructions.len()
    }

    fn statement(&mut self, code: u16, k: u32) -> Label {
        self.push(Instruction {
            code,
            if_true: 0,
            if_false: 0,
            k,
        })
    }

    fn jump(&mut self, code: u16, k: u32, if_true: Label, if_false: Label) -> Label {
        let (if_true, if_false) = (self.distance(if_true), self.distance(if_false));
        self.push(Instruction {
            code,
            if_true,
            if_false,
            k,
        })
    }

    /// How many instructions lie between the next one pushed and `label`.
    #[expect(
        clippy::expect_used,
        reason = "the tables are fixed, and tests run every call"
    )]
    fn distance(&self, label: Label) -> u8 {
        u8::try_from(self.instructions.len() - label)
            .expect("a whole profile takes less than 256 instructions")
    }

    /// Jumps to the verdict of the loaded number.
    fn search(&mut self, ranges: &[(u32, Verdict)]) -> Label {
        if let [(_, verdict)] = ranges {
            return self.verdict(*verdict);
        }
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let if_high = self.search(high);
        let if_low = self.search(low);
        self.jump(JUMP_AT_LEAST, high[0].0, if_high, if_low)
    }

    /// The place that returns `verdict`, shared by all its ranges.
    fn verdict(&mut self, verdict: Verdict) -> Label {
        let known = self.verdicts.iter().find(|(known, _)| *known == verdict);
        if let Some((_, label)) = known {
            return *label;
        }
        let label = match verdict {
            Verdict::Allow => self.statement(RETURN, ALLOW),
            Verdict::Refuse(errno) => self.statement(RETURN, ERRNO | errno),
            Verdict::AllowIf(tests) => self.allow_if(tests),
        };
        self.verdicts.push((verdict, label));
        label
    }

    /// A failed test jumps to the next test, the last one to a refusal.
    fn allow_if(&mut self, tests: &[Test]) -> Label {
        let allow = self.verdict(Verdict::Allow);
        let mut otherwise = self.verdict(Verdict::Refuse(libc::EPERM.unsigned_abs()));
        for test in tests.iter().rev() {
            otherwise = match test {
                Test::Below(limit) => self.jump(JUMP_AT_LEAST, *limit, otherwise, allow),
                Test::Equal(value) => self.jump(JUMP_EQUAL, *value, allow, otherwise),
                Test::Clear(mask) => self.jump(JUMP_IF_SET, *mask, otherwise, allow),
            };
        }
        self.statement(LOAD_WORD, ARGUMENT_0)
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
