use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use object::LittleEndian as LE;
use object::elf::{
    FileHeader64, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NULL, ProgramHeader64, R_X86_64_COPY,
    R_X86_64_RELATIVE, RelocationType, SHT_DYNSYM, SHT_RELA, SHT_RELR, SectionHeader64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::slim;

type Header = FileHeader64<LE>;

/// As Debian compiles Go programs: those that move, and those that do not.
const PIE: &[&str] = &["-DGO", "-fPIE", "-pie"];
const FIXED: &[&str] = &["-DGO", "-fno-pie", "-no-pie"];

/// What `tests.c` prints. With other symbols it would be 1 for `replaced` and so 342, 40 for its own `counter`, no
/// variable, or 0 for `hook`.
const OUTPUT: &str = "4452500 257 343 41 5 A=b 1\n";

/// Programs of `tests.c` in a folder of their own, with the library that they need.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tare-slim-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let workshop = Self(folder);
        workshop.compile("libtest.so", &["-DLIBRARY", "-shared", "-fPIC"]);
        workshop
    }

    fn program(&self, options: &[&[&str]]) -> Vec<u8> {
        let library = self.0.join("libtest.so");
        let library = library.to_str().unwrap();
        let linked = ["-rdynamic", "-Wl,-rpath,$ORIGIN", library];
        let mut file = self.compile("program", &[&options.concat(), &linked[..]].concat());
        // What is there does not count: the relocation has the addend. GNU ld puts it there too.
        for address in relocations(&file, R_X86_64_RELATIVE) {
            let offset = offset(&file, address);
            file[offset..offset + 8].fill(0xee);
        }
        file
    }

    fn compile(&self, name: &str, options: &[&str]) -> Vec<u8> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rootfs/slim/tests.c");
        let linker = "-Wl,--hash-style=gnu,-z,separate-code,-z,now,-z,nopack-relative-relocs";
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-D_GNU_SOURCE", "-s", linker, "-o"]);
        cc.arg(self.0.join(name)).arg(source).args(options);
        assert!(cc.status().unwrap().success(), "{cc:?}");
        fs::read(self.0.join(name)).unwrap()
    }

    fn run(&self, program: &[u8]) -> Output {
        let path = self.0.join("run");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(path);
        command.env_clear().env("A", "b").arg("*").output().unwrap()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that has a slim form.
pub(in crate::rootfs) fn go_program() -> Vec<u8> {
    Workshop::new("layer").program(&[PIE])
}

fn sections(file: &[u8]) -> &[SectionHeader64<LE>] {
    let header = Header::parse(file).unwrap();
    header.section_headers(LE, file).unwrap()
}

fn segments(file: &[u8]) -> &[ProgramHeader64<LE>] {
    let header = Header::parse(file).unwrap();
    header.program_headers(LE, file).unwrap()
}

/// Where in `file` the byte at `address` is.
fn offset(file: &[u8], address: u64) -> usize {
    let mut loads = segments(file)
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD);
    let below = |segment: &ProgramHeader64<LE>| address.checked_sub(segment.p_vaddr(LE));
    let is_in = |segment: &&ProgramHeader64<LE>| {
        below(segment).is_some_and(|below| below < segment.p_filesz(LE))
    };
    let segment = loads.find(is_in).unwrap();
    usize::try_from(segment.p_offset(LE) + below(segment).unwrap()).unwrap()
}

/// The addresses of the relocations of type `typ`.
fn relocations(file: &[u8], typ: RelocationType) -> Vec<u64> {
    let tables = sections(file)
        .iter()
        .filter(|section| section.sh_type(LE) == SHT_RELA);
    let all = tables.flat_map(|table| table.rela(LE, file).unwrap().unwrap().0);
    let all = all.filter(|rela| rela.r_type(LE, false) == typ);
    all.map(|rela| rela.r_offset.get(LE)).collect()
}

/// The addresses of the packed relocations.
fn packed(file: &[u8]) -> Vec<u64> {
    let tables = sections(file)
        .iter()
        .filter(|section| section.sh_type(LE) == SHT_RELR);
    tables
        .flat_map(|table| table.relr(LE, file).unwrap().unwrap())
        .collect()
}

/// The names of the dynamic symbols.
fn names(file: &[u8]) -> HashSet<String> {
    let header = Header::parse(file).unwrap();
    let sections = header.sections(LE, file).unwrap();
    let symbols = sections.symbols(LE, file, SHT_DYNSYM).unwrap();
    let name = |symbol| symbols.symbol_name(LE, symbol).unwrap();
    symbols
        .iter()
        .map(|symbol| String::from_utf8(name(symbol).to_vec()).unwrap())
        .collect()
}

/// The addresses and bytes of the segments that are not the first.
fn memory(file: &[u8]) -> Vec<(u64, &[u8])> {
    let loads = segments(file)
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD);
    let loads = loads.skip(1);
    loads
        .map(|segment| (segment.p_vaddr(LE), segment.data(LE, file).unwrap()))
        .collect()
}

#[test]
fn a_slim_program_does_the_same() {
    let workshop = Workshop::new("same");
    for (options, relative) in [(PIE, true), (FIXED, false)] {
        let program = workshop.program(&[options]);
        let slim = slim(&program).unwrap();
        let mut before = relocations(&program, R_X86_64_RELATIVE);
        before.sort_unstable();
        assert_eq!(!before.is_empty(), relative);
        assert_eq!(packed(&slim), before);
        assert_eq!(relocations(&slim, R_X86_64_RELATIVE), [0; 0]);
        let copies = relocations(&program, R_X86_64_COPY);
        assert_eq!(copies.len(), 3); // stdout, environ, counter
        assert_eq!(relocations(&slim, R_X86_64_COPY), copies);
        for (before, output) in [(true, workshop.run(&program)), (false, workshop.run(&slim))] {
            assert_eq!(
                String::from_utf8_lossy(&output.stderr),
                "",
                "before: {before}"
            );
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                OUTPUT,
                "before: {before}"
            );
            assert_eq!(
                output.status.code(),
                Some(i32::from(b'*')),
                "before: {before}"
            );
        }
        let removed: Vec<String> = names(&program).difference(&names(&slim)).cloned().collect();
        assert_eq!(removed.len(), 1000);
        assert!(removed.iter().all(|name| name.starts_with("main.f")));
        assert!(program.len() - slim.len() > 40_000, "{} bytes", slim.len());
        assert_eq!(super::slim(&slim), None);
    }
}

#[test]
fn code_and_data_stay_where_they_are() {
    let workshop = Workshop::new("place");
    let program = workshop.program(&[PIE]);
    let slim = slim(&program).unwrap();
    let changed: HashSet<u64> = packed(&slim)
        .into_iter()
        .flat_map(|word| word..word + 8)
        .collect();
    let dynamic = segments(&slim)
        .iter()
        .find(|segment| segment.p_type(LE) == PT_DYNAMIC)
        .unwrap();
    let dynamic = dynamic.p_vaddr(LE)..dynamic.p_vaddr(LE) + dynamic.p_memsz(LE);
    for ((address, before), (now, after)) in memory(&program).into_iter().zip(memory(&slim)) {
        assert_eq!((now, after.len()), (address, before.len()));
        let bytes = before.iter().zip(after).zip(address..);
        for ((before, after), address) in bytes.filter(|((before, after), _)| before != after) {
            let may = changed.contains(&address) || dynamic.contains(&address);
            assert!(may, "{before} is {after} at {address:#x}");
        }
    }
    for segment in segments(&slim)
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD)
    {
        let place = (segment.p_offset(LE) % 4096, segment.p_vaddr(LE) % 4096);
        assert_eq!(place.0, place.1);
    }
}

/// `file` with the segment of type `PT_INTERP` gone.
fn without_interpreter(mut file: Vec<u8>) -> Vec<u8> {
    let place = segments(&file)
        .iter()
        .position(|segment| segment.p_type(LE) == PT_INTERP);
    let offset = size_of::<Header>() + place.unwrap() * size_of::<ProgramHeader64<LE>>();
    file[offset..offset + 4].copy_from_slice(&PT_NULL.0.to_le_bytes());
    file
}

#[test]
fn what_is_unknown_stays() {
    let workshop = Workshop::new("unknown");
    let program = |option| workshop.program(&[PIE, &[option]]);
    for (what, file) in [
        ("not Go", workshop.program(&[&["-fPIE", "-pie"]])),
        (
            "code in the first segment",
            program("-Wl,-z,noseparate-code"),
        ),
        ("an older hash table", program("-Wl,--hash-style=both")),
        ("packed already", program("-Wl,-z,pack-relative-relocs")),
        (
            "a library",
            fs::read(workshop.0.join("libtest.so")).unwrap(),
        ),
        ("static", without_interpreter(workshop.program(&[PIE]))),
        ("a script", b"#!/bin/sh\n".to_vec()),
        ("nothing", Vec::new()),
    ] {
        assert!(slim(&file).is_none(), "{what}");
    }
}

#[test]
fn a_truncated_program_stays() {
    let workshop = Workshop::new("truncated");
    let program = workshop.program(&[PIE]);
    for size in (0..program.len()).step_by(64) {
        assert!(slim(&program[..size]).is_none(), "{size} bytes");
    }
}

/// The places of what says where things are: headers, sections, the dynamic section, and some of each table.
fn telling_bytes(file: &[u8]) -> Vec<usize> {
    let sections = sections(file);
    let header = Header::parse(file).unwrap();
    let size = size_of_val(sections);
    let start = usize::try_from(header.e_shoff.get(LE)).unwrap();
    let headers = size_of::<Header>() + size_of_val(segments(file));
    let mut places: Vec<usize> = (0..headers).chain(start..start + size).collect();
    let tables = sections.iter().filter_map(|section| section.file_range(LE));
    let segments = segments(file).iter().map(|segment| segment.file_range(LE));
    for (offset, size) in tables.chain(segments) {
        let (offset, size) = (
            usize::try_from(offset).unwrap(),
            usize::try_from(size).unwrap(),
        );
        places.extend((offset..offset + size.min(256)).step_by(3));
    }
    places
}

#[test]
fn a_damaged_program_causes_no_panic() {
    let workshop = Workshop::new("damaged");
    let program = workshop.program(&[PIE]);
    let mut refused = 0;
    let places = telling_bytes(&program);
    for place in &places {
        let mut wrong = program.clone();
        wrong[*place] ^= 1;
        let mut huge = program.clone();
        huge[*place..]
            .iter_mut()
            .take(8)
            .for_each(|byte| *byte = 0xff);
        for damaged in [wrong, huge] {
            refused += usize::from(slim(&damaged).is_none());
        }
    }
    assert!(refused > places.len() / 10, "{refused} of {}", places.len());
}
