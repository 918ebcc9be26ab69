//! The unified kernel image: systemd's EFI stub with kernel, command line and os-release as sections
//! (<https://uapi-group.org/specifications/specs/unified_kernel_image/>).
//!
//! Sections are appended in-process rather than by objcopy, whose output depends on its version.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

/// Length of a section header in bytes (PE format, "Section Table").
const SECTION_HEADER: usize = 40;
/// Initialised, readable data.
const CHARACTERISTICS: u32 = 0x4000_0040;

/// A named part of the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    /// Eight bytes at most, with the leading dot.
    pub(crate) name: &'a str,
    pub(crate) content: &'a [u8],
}

/// The positions of the fields that change when a section is added.
#[derive(Debug, Clone, Copy)]
struct Layout {
    coff: usize,
    optional: usize,
    sections: usize,
}

/// `stub` with `sections` added.
///
/// # Errors
/// The stub is not a PE image, or its headers have no room for more sections.
pub(crate) fn assemble(stub: &[u8], sections: &[Section]) -> Result<Vec<u8>> {
    let mut image = stub.to_vec();
    let layout = layout(&image).context("the EFI stub is no PE image")?;
    for section in sections {
        append(&mut image, layout, section)
            .with_context(|| format!("add section {} to the EFI stub", section.name))?;
    }
    Ok(image)
}

/// Where the content of the section `name` of the PE image `image` is.
pub(crate) fn section(image: &[u8], name: &str) -> Option<Range<usize>> {
    let layout = layout(image)?;
    let count = usize::from(get16(image, layout.coff + 2)?);
    let headers = (0..count).map(|n| layout.sections + n * SECTION_HEADER);
    let is_named = |header: &usize| {
        let field = image.get(*header..header + 8).unwrap_or_default();
        let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
        &field[..end] == name.as_bytes()
    };
    let header = headers.into_iter().find(is_named)?;
    let field = |at| usize::try_from(get32(image, header + at)?).ok();
    let (size, offset) = (field(8)?, field(20)?);
    Some(offset..offset + size)
}

fn layout(image: &[u8]) -> Option<Layout> {
    let pe = usize::try_from(get32(image, 0x3c)?).ok()?;
    if image.get(pe..pe + 4)? != b"PE\0\0" {
        return None;
    }
    let coff = pe + 4;
    let optional = coff + 20;
    let optional_size = usize::from(get16(image, coff + 16)?);
    Some(Layout {
        coff,
        optional,
        sections: optional + optional_size,
    })
}

fn append(image: &mut Vec<u8>, layout: Layout, section: &Section) -> Result<()> {
    let field = |image: &[u8], at: usize| get32(image, at).context("headers are cut short");
    let section_alignment = field(image, layout.optional + 32)?;
    let file_alignment = field(image, layout.optional + 36)?;
    let address = field(image, layout.optional + 56)?.next_multiple_of(section_alignment);
    let header = take_header(image, layout)?;

    let size = u32::try_from(section.content.len()).context("section is too long")?;
    let offset = append_aligned(image, section.content, file_alignment as usize)?;
    ensure!(section.name.len() <= 8, "name is too long");
    image[header..header + section.name.len()].copy_from_slice(section.name.as_bytes());
    put32(image, header + 8, size);
    put32(image, header + 12, address);
    put32(image, header + 16, size.next_multiple_of(file_alignment));
    put32(image, header + 20, offset);
    put32(image, header + 36, CHARACTERISTICS);
    let end = (address + size).next_multiple_of(section_alignment);
    put32(image, layout.optional + 56, end);
    // No UEFI loader looks at the checksum; the stub's would be wrong now.
    put32(image, layout.optional + 64, 0);
    Ok(())
}

/// Increments the number of sections and returns the position of the new header, all zeros.
fn take_header(image: &mut [u8], layout: Layout) -> Result<usize> {
    let count = get16(image, layout.coff + 2).context("headers are cut short")?;
    let end = get32(image, layout.optional + 60).context("headers are cut short")?;
    let header = layout.sections + usize::from(count) * SECTION_HEADER;
    let room = header..header + SECTION_HEADER;
    ensure!(room.end <= end as usize, "no room in its headers");
    image[room].fill(0);
    image[layout.coff + 2..layout.coff + 4].copy_from_slice(&(count + 1).to_le_bytes());
    Ok(header)
}

/// Appends `content`, starting and ending at a multiple of `alignment`; returns where it starts.
fn append_aligned(image: &mut Vec<u8>, content: &[u8], alignment: usize) -> Result<u32> {
    image.resize(image.len().next_multiple_of(alignment), 0);
    let offset = u32::try_from(image.len())?;
    image.extend_from_slice(content);
    image.resize(image.len().next_multiple_of(alignment), 0);
    Ok(offset)
}

fn get16(image: &[u8], at: usize) -> Option<u16> {
    let bytes = image.get(at..at + 2)?;
    bytes.try_into().ok().map(u16::from_le_bytes)
}

fn get32(image: &[u8], at: usize) -> Option<u32> {
    let bytes = image.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn put32(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest headers that `assemble` accepts: one section, room for one more.
    fn stub() -> Vec<u8> {
        let mut stub = vec![0; 0x200];
        put32(&mut stub, 0x3c, 0x40);
        stub[0x40..0x44].copy_from_slice(b"PE\0\0");
        stub[0x46] = 1;
        stub[0x54] = 112;
        put32(&mut stub, 0x58 + 32, 0x1000);
        put32(&mut stub, 0x58 + 36, 0x200);
        put32(&mut stub, 0x58 + 56, 0x2000);
        put32(&mut stub, 0x58 + 60, 0x58 + 112 + 2 * 40);
        stub
    }

    #[test]
    fn a_section_is_described_where_it_is() {
        let section = Section {
            name: ".cmdline",
            content: &[b'x'; 0x201],
        };
        let image = assemble(&stub(), &[section]).unwrap();
        let header = 0x58 + 112 + 40;
        assert_eq!(&image[header..header + 8], b".cmdline");
        let field = |at| get32(&image, header + at).unwrap();
        let got = [8, 12, 16, 20, 36].map(field);
        assert_eq!(got, [0x201, 0x2000, 0x400, 0x200, CHARACTERISTICS]);
        assert_eq!(get16(&image, 0x46), Some(2));
        assert_eq!(get32(&image, 0x58 + 56), Some(0x3000));
        assert_eq!((image.len(), image[0x200], image[0x401]), (0x600, b'x', 0));
        assert_eq!(super::section(&image, ".cmdline"), Some(0x200..0x401));
        assert_eq!(super::section(&image, ".cmd"), None);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let section = |name| Section {
            name,
            content: b"x",
        };
        for (stub, sections, want) in [
            (vec![], vec![], "the EFI stub is no PE image"),
            (
                stub(),
                vec![section(".a"), section(".b")],
                "add section .b to the EFI stub: no room in its headers",
            ),
        ] {
            let error = assemble(&stub, &sections).unwrap_err();
            assert_eq!(format!("{error:#}"), want);
        }
    }
}
