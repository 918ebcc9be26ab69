//! How our own programs are linked: statically, at an unpredictable address, and with the tables that calls go
//! through read-only.

use anyhow::{Result, ensure};
use object::LittleEndian as LE;
use object::elf::{
    DF_1_NOW, DF_BIND_NOW, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1, Dyn64, ET_DYN, FileHeader64,
    PT_GNU_RELRO, PT_INTERP, ProgramHeader64,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

/// Checks that `bytes` are a static PIE with full RELRO.
///
/// # Errors
/// The first of these properties that is missing.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let header = FileHeader64::<LE>::parse(bytes)?;
    let segments = header.program_headers(LE, bytes)?;
    let has = |typ| segments.iter().any(|segment| segment.p_type(LE) == typ);
    ensure!(
        header.e_type(LE) == ET_DYN,
        "it is not position-independent"
    );
    ensure!(!has(PT_INTERP), "it wants a dynamic linker");
    ensure!(has(PT_GNU_RELRO), "it has no RELRO");
    ensure!(
        binds_now(segments, bytes)?,
        "its RELRO is not full: it binds late"
    );
    Ok(())
}

/// Whether all symbols are resolved before the program runs, after which their table is read-only.
fn binds_now(segments: &[ProgramHeader64<LE>], bytes: &[u8]) -> Result<bool> {
    for segment in segments {
        if let Some(entries) = segment.dynamic(LE, bytes)? {
            return Ok(entries.iter().any(is_bind_now));
        }
    }
    Ok(false)
}

fn is_bind_now(entry: &Dyn64<LE>) -> bool {
    let value = entry.val(LE);
    match entry.tag(LE) {
        DT_BIND_NOW => true,
        DT_FLAGS => value & DF_BIND_NOW.0 != 0,
        DT_FLAGS_1 => value & DF_1_NOW.0 != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf::{ET_EXEC, FileType, PT_DYNAMIC, PT_GNU_STACK, PT_NULL, ProgramType};
    use object::pod::from_bytes_mut;
    use object::{U16, U32};

    type Header = FileHeader64<LE>;

    /// This program, which is linked like those in the image.
    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    fn with_type(typ: FileType) -> Vec<u8> {
        let mut bytes = own();
        let (header, _) = from_bytes_mut::<Header>(&mut bytes).unwrap();
        header.e_type = U16::new(LE, typ);
        bytes
    }

    /// This program with a segment of type `from` changed to type `to`.
    fn with(from: ProgramType, to: ProgramType) -> Vec<u8> {
        let mut bytes = own();
        let segments = Header::parse(&*bytes).unwrap();
        let segments = segments.program_headers(LE, &*bytes).unwrap();
        let place = segments
            .iter()
            .position(|segment| segment.p_type == U32::new(LE, from));
        let offset = size_of::<Header>() + place.unwrap() * size_of::<ProgramHeader64<LE>>();
        let (segment, _) = from_bytes_mut::<ProgramHeader64<LE>>(&mut bytes[offset..]).unwrap();
        segment.p_type = U32::new(LE, to);
        bytes
    }

    #[test]
    fn our_programs_are_hardened_or_it_is_said_how_not() {
        for (bytes, want) in [
            (own(), None),
            (with_type(ET_EXEC), Some("it is not position-independent")),
            (
                with(PT_GNU_STACK, PT_INTERP),
                Some("it wants a dynamic linker"),
            ),
            (with(PT_GNU_RELRO, PT_NULL), Some("it has no RELRO")),
            (
                with(PT_DYNAMIC, PT_NULL),
                Some("its RELRO is not full: it binds late"),
            ),
            (
                b"#!/bin/sh\n".to_vec(),
                Some("Invalid ELF header size or alignment"),
            ),
        ] {
            let error = check(&bytes).err();
            assert_eq!(error.map(|error| error.to_string()).as_deref(), want);
        }
    }
}
