//! The slim program: new tables in place of the old ones, the rest of the file behind them.

use object::elf::{PT_LOAD, SHF_ALLOC, SectionHeader64, SymbolSection};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::elf::{ProgramHeader, SectionHeader};
use object::{LittleEndian as LE, U16, U32, U64};

use super::dynamic::{Dynamic, Table, Tables};
use super::program::{Program, Section, Segment, require};
use super::relocations::Relative;

/// What each table and each section header begins at a multiple of.
const ALIGN: u64 = 8;

/// The kernel maps whole pages of the file.
const PAGE: u64 = 4096;

/// The name of the section with the packed relocations.
const PACKED: &[u8] = b".relr.dyn\0";

/// What changes in a program.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    pub(super) tables: &'a Tables,
    pub(super) dynamic: &'a Dynamic,
    /// How many symbols are local.
    pub(super) locals: u32,
    /// Addends to store in place.
    pub(super) relative: &'a [Relative],
}

/// Where in the file things are now.
struct Layout {
    /// The offset of each table.
    offsets: Vec<u64>,
    /// The end of the first segment.
    end: u64,
    /// How far the rest of the file moves.
    shift: u64,
}

/// The program with `changes`; `None` if that is not a page shorter.
pub(super) fn write(program: &Program<'_>, changes: &Changes<'_>) -> Option<Vec<u8>> {
    let layout = Layout::new(program, changes.tables)?;
    let mut file = layout.loaded(program, changes)?;
    let dynamic = changes
        .dynamic
        .with(&layout.addresses(program, changes.tables)?)?;
    put(
        &mut file,
        layout.moved(program, changes.dynamic.offset)?,
        bytes_of_slice(&dynamic),
    )?;
    for word in changes.relative {
        let offset = layout.moved(program, word.offset)?;
        put(&mut file, offset, &word.addend.to_le_bytes())?;
    }
    let segments = layout.segments(program)?;
    put(
        &mut file,
        program.header.e_phoff.get(LE),
        bytes_of_slice(&segments),
    )?;
    let (names, sections) = layout.sections(program, changes, file.len() as u64)?;
    file.extend(names);
    file.resize(file.len().next_multiple_of(8), 0);
    let mut header = *program.header;
    let count = u16::try_from(sections.len()).ok()?;
    header.e_shoff = U64::new(LE, file.len() as u64);
    header.e_shnum = U16::new(LE, count);
    header.e_shstrndx = U16::new(LE, SymbolSection(count - 1));
    put(&mut file, 0, bytes_of(&header))?;
    file.extend(bytes_of_slice(&sections));
    Some(file)
}

impl Layout {
    fn new(program: &Program<'_>, tables: &Tables) -> Option<Self> {
        let mut offsets = Vec::new();
        let mut end = program.region.start;
        for (_, bytes) in tables {
            end = end.checked_next_multiple_of(ALIGN)?;
            offsets.push(end);
            end = end.checked_add(bytes.len() as u64)?;
        }
        let loads = program
            .segments
            .iter()
            .filter(|segment| segment.p_type(LE) == PT_LOAD);
        // Where a segment is in its page must stay as it is.
        let page = loads.map(|segment| segment.p_align(LE)).max()?;
        require(page.is_power_of_two() && page >= PAGE)?;
        let room = program.rest.start.checked_sub(end)?;
        let shift = room.checked_sub(room.checked_rem(page)?)?;
        require(shift > 0)?;
        Some(Self {
            offsets,
            end,
            shift,
        })
    }

    /// Where `offset` is now, which is in the part that moves as a whole.
    fn moved(&self, program: &Program<'_>, offset: u64) -> Option<u64> {
        require(offset >= program.rest.start)?;
        offset.checked_sub(self.shift)
    }

    /// Everything that is loaded.
    fn loaded(&self, program: &Program<'_>, changes: &Changes<'_>) -> Option<Vec<u8>> {
        let rest =
            usize::try_from(program.rest.start).ok()?..usize::try_from(program.rest.end).ok()?;
        let start = usize::try_from(program.region.start).ok()?;
        let mut file = program.file.get(..start)?.to_vec();
        for ((_, bytes), offset) in changes.tables.iter().zip(&self.offsets) {
            file.resize(usize::try_from(*offset).ok()?, 0);
            file.extend(bytes);
        }
        file.resize(usize::try_from(program.rest.start - self.shift).ok()?, 0);
        file.extend(program.file.get(rest)?);
        Some(file)
    }

    fn addresses(
        &self,
        program: &Program<'_>,
        tables: &Tables,
    ) -> Option<Vec<(Table, u64, usize)>> {
        let base = program.base();
        let placed = tables.iter().zip(&self.offsets);
        let placed = placed.map(|((table, bytes), offset)| {
            Some((*table, base.checked_add(*offset)?, bytes.len()))
        });
        placed.collect()
    }

    fn segments(&self, program: &Program<'_>) -> Option<Vec<Segment>> {
        let mut segments = program.segments.to_vec();
        let mut is_first = true;
        for segment in &mut segments {
            if segment.p_type(LE) == PT_LOAD && is_first {
                is_first = false;
                segment.p_filesz = U64::new(LE, self.end);
                segment.p_memsz = U64::new(LE, self.end);
            } else if segment.p_offset(LE) >= program.rest.start {
                segment.p_offset = U64::new(LE, self.moved(program, segment.p_offset(LE))?);
            }
        }
        Some(segments)
    }

    /// The names of the sections, which are at `offset`, and their headers: those of loaded sections keep their numbers,
    /// which symbols have.
    fn sections(
        &self,
        program: &Program<'_>,
        changes: &Changes<'_>,
        offset: u64,
    ) -> Option<(Vec<u8>, Vec<Section>)> {
        let mut sections = program.sections.to_vec();
        for section in &mut sections {
            if section.sh_offset(LE) >= program.rest.start {
                section.sh_offset = U64::new(LE, self.moved(program, section.sh_offset(LE))?);
            }
        }
        let mut names = program.section_names.data(LE, program.file).ok()?.to_vec();
        let placed = self.addresses(program, changes.tables)?;
        for ((table, address, size), offset) in placed.into_iter().zip(&self.offsets) {
            if table == Table::Packed {
                sections.push(packed_section(names.len())?);
                names.extend(PACKED);
            }
            let old = program.tables.iter().find(|(found, _)| *found == table);
            let index = old.map_or(sections.len() - 1, |(_, index)| *index);
            let section = sections.get_mut(index)?;
            section.sh_addr = U64::new(LE, address);
            section.sh_offset = U64::new(LE, *offset);
            section.sh_size = U64::new(LE, size as u64);
            if table == Table::Symbols {
                section.sh_info = U32::new(LE, changes.locals);
            }
        }
        let mut own = *program.section_names;
        own.sh_offset = U64::new(LE, offset);
        own.sh_size = U64::new(LE, names.len() as u64);
        sections.push(own);
        Some((names, sections))
    }
}

fn packed_section(name: usize) -> Option<Section> {
    Some(SectionHeader64 {
        sh_name: U32::new(LE, u32::try_from(name).ok()?),
        sh_type: U32::new(LE, Table::Packed.section_type()),
        sh_flags: U64::new(LE, SHF_ALLOC),
        sh_addr: U64::default(),
        sh_offset: U64::default(),
        sh_size: U64::default(),
        sh_link: U32::default(),
        sh_info: U32::default(),
        sh_addralign: U64::new(LE, ALIGN),
        sh_entsize: U64::new(LE, ALIGN),
    })
}

/// Replaces the bytes of `file` at `offset`.
fn put(file: &mut [u8], offset: u64, bytes: &[u8]) -> Option<()> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(bytes.len())?;
    file.get_mut(start..end)?.copy_from_slice(bytes);
    Some(())
}
