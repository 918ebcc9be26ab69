//! Programs of a few instructions, which ask the kernel for what the machine has only in part: 32-bit system calls, the
//! vsyscall page, virtual machines.

use anyhow::{Context, Result, ensure};
use tare_qemu::{Vm, secs};

/// What makes the kernel run old programs, as `docs/docker.md` has it.
pub(crate) const CMDLINE: &str = "ia32_emulation=on vsyscall=xonly";

/// The status with which a program ends that gets as far as that.
const WELL: u8 = 42;

/// `exit(42)` by the 32-bit way into the kernel.
const IA32: &[u8] = &[
    0xb8, 1, 0, 0, 0, // mov eax, exit
    0xbb, WELL, 0, 0, 0, // mov ebx, 42
    0xcd, 0x80, // int 0x80
];

/// `time(NULL)` at its place in the vsyscall page, then `exit(42)`.
const VSYSCALL: &[u8] = &[
    0x31, 0xff, // xor edi, edi
    0x48, 0xc7, 0xc0, 0x00, 0x04, 0x60, 0xff, // mov rax, 0xffffffffff600400
    0xff, 0xd0, // call rax
    0xbf, WELL, 0, 0, 0, // mov edi, 42
    0xb8, 60, 0, 0, 0, // mov eax, exit
    0x0f, 0x05, // syscall
];

/// `exit(ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0))`
const KVM: &[u8] = &[
    0x48, 0x8d, 0x3d, 37, 0, 0, 0, // lea rdi, [rip + 37]: the path
    0xbe, 2, 0, 0, 0, // mov esi, O_RDWR
    0xb8, 2, 0, 0, 0, // mov eax, open
    0x0f, 0x05, // syscall
    0x89, 0xc7, // mov edi, eax
    0xbe, 0x01, 0xae, 0, 0, // mov esi, KVM_CREATE_VM
    0x31, 0xd2, // xor edx, edx
    0xb8, 16, 0, 0, 0, // mov eax, ioctl
    0x0f, 0x05, // syscall
    0x89, 0xc7, // mov edi, eax
    0xb8, 60, 0, 0, 0, // mov eax, exit
    0x0f, 0x05, // syscall
    b'/', b'd', b'e', b'v', b'/', b'k', b'v', b'm', 0,
];

/// The descriptor of the virtual machine, after those of standard streams and of `/dev/kvm`.
const MACHINE: u8 = 4;

/// Where a program is in memory.
const BASE: u32 = 0x40_0000;

/// On a machine whose command line is the image's.
pub(crate) fn old_ones_do_not_run(vm: &Vm) -> Result<()> {
    let said = run(vm, &elf32(IA32), "")?;
    ensure!(
        said.contains("exec format error"),
        "a 32-bit program: {said}"
    );
    let said = run(vm, &elf64(VSYSCALL), "")?;
    // 128 and SIGSEGV.
    ensure!(said == "139\n", "a program from before 2013: {said}");
    Ok(())
}

/// On a machine with [`CMDLINE`].
pub(super) fn old_ones_run(vm: &Vm) -> Result<()> {
    for program in [elf32(IA32), elf64(VSYSCALL)] {
        let said = run(vm, &program, "")?;
        ensure!(said == format!("{WELL}\n"), "{said}");
    }
    Ok(())
}

/// A container makes a virtual machine, if the processor has what that takes; QEMU's emulated one has.
pub(super) fn virtual_machines(vm: &Vm) -> Result<()> {
    if vm.ssh("grep -Ec '^flags.* (svm|vmx)( |$)' /proc/cpuinfo || true")? == "0\n" {
        return Ok(());
    }
    let said = run(vm, &elf64(KVM), "--device /dev/kvm")?;
    ensure!(said == format!("{MACHINE}\n"), "{said}");
    Ok(())
}

/// What `program` prints in a container with `options`, and its status.
fn run(vm: &Vm, program: &[u8], options: &str) -> Result<String> {
    let octal: String = program.iter().map(|byte| format!("\\0{byte:o}")).collect();
    let run = format!(
        "printf '%b' '{octal}' > /srv/tiny && chmod 755 /srv/tiny && \
         docker run --rm {options} -v /srv:/srv:ro tare/demo /srv/tiny 2>&1; echo $?"
    );
    vm.ssh_within(&run, secs(60)).context("a tiny program")
}

/// A static program for i386 (elf(5)).
fn elf32(code: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    let size = HEADERS + code.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable, for i386, in version 1.
    halves(&mut elf, &[2, 3]);
    words(&mut elf, &[1, BASE + HEADERS, 52, 0, 0]);
    halves(&mut elf, &[52, 32, 1, 0, 0, 0]);
    // All of it is read and executed.
    words(&mut elf, &[1, 0, BASE, BASE, size, size, 5, 0x1000]);
    elf.extend_from_slice(code);
    elf
}

/// A static program for x86-64 (elf(5)).
fn elf64(code: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 64 + 56;
    let size = HEADERS + code.len() as u32;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    halves(&mut elf, &[2, 62]);
    words(&mut elf, &[1, BASE + HEADERS, 0, 64, 0, 0, 0, 0]);
    halves(&mut elf, &[64, 56, 1, 0, 0, 0]);
    words(
        &mut elf,
        &[1, 5, 0, 0, BASE, 0, BASE, 0, size, 0, size, 0, 0x1000, 0],
    );
    elf.extend_from_slice(code);
    elf
}

fn halves(elf: &mut Vec<u8>, values: &[u16]) {
    elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn words(elf: &mut Vec<u8>, values: &[u32]) {
    elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
