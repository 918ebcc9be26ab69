//! The one layout of a program that is known: that of GNU ld with `-z separate-code`, Debian's default. Its first
//! segment has the headers, notes and name of the dynamic linker, then the dynamic linker's tables, and nothing else.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{
    ELF_NOTE_GO, ELFDATA2LSB, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, NT_GO_BUILD_ID, PF_W, PF_X,
    PT_INTERP, PT_LOAD, ProgramHeader64, Rela64, SHF_ALLOC, SectionHeader64, Sym64, Versym,
};
use object::read::StringTable;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, VerneedIterator};

use super::dynamic::{Dynamic, Table};

pub(super) type Header = FileHeader64<LE>;
pub(super) type Segment = ProgramHeader64<LE>;
pub(super) type Section = SectionHeader64<LE>;
pub(super) type Rela = Rela64<LE>;
pub(super) type Symbol = Sym64<LE>;

/// A Go program in the known layout.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) file: &'a [u8],
    pub(super) header: &'a Header,
    pub(super) segments: &'a [Segment],
    /// With addresses, in the order of the file; the first is the null section.
    pub(super) sections: &'a [Section],
    pub(super) section_names: &'a Section,
    pub(super) dynamic: Dynamic,
    /// Each table with the index of its section.
    pub(super) tables: Vec<(Table, usize)>,
    /// The tables' place in the file: from the first to the end of the segment.
    pub(super) region: Range<u64>,
    /// The file offsets from the second segment to the end of the last one.
    pub(super) rest: Range<u64>,
}

impl<'a> Program<'a> {
    /// `None` if `file` is anything else.
    pub(super) fn parse(file: &'a [u8]) -> Option<Self> {
        let header = Header::parse(file).ok()?;
        require(header.e_ident.data == ELFDATA2LSB && header.e_machine(LE) == EM_X86_64)?;
        require(matches!(header.e_type(LE), ET_DYN | ET_EXEC))?;
        let segments = header.program_headers(LE, file).ok()?;
        require(
            segments
                .iter()
                .any(|segment| segment.p_type(LE) == PT_INTERP),
        )?;
        require(segments.iter().any(|segment| is_go_note(segment, file)))?;
        let (sections, section_names) = sections(header, file)?;
        let dynamic = Dynamic::parse(segments, file)?;
        let tables = tables(&dynamic, sections)?;
        let (first, rest) = loads(segments, file)?;
        let start = |(_, index): &(_, usize)| sections[*index].sh_offset(LE);
        let start = tables.iter().map(start).min()?;
        let program = Self {
            file,
            header,
            segments,
            sections,
            section_names,
            dynamic,
            tables,
            region: start..first.p_filesz(LE),
            rest,
        };
        program.is_known_layout(first).then_some(program)
    }

    /// Whether each part of the file is one that stays in place, one of the tables, or one that moves as a whole.
    fn is_known_layout(&self, first: &Segment) -> bool {
        let headers = (self.header.e_phoff(LE), size_of_val(self.segments) as u64);
        let stays = |offset: u64, size: u64| {
            offset
                .checked_add(size)
                .is_some_and(|end| end <= self.region.start)
        };
        let moves = |offset: u64, size: u64| {
            let end = offset.checked_add(size);
            offset >= self.rest.start && end.is_some_and(|end| end <= self.rest.end)
        };
        let is_table = |place: usize| self.tables.iter().any(|(_, index)| *index == place);
        let segment = |segment: &Segment| {
            let (offset, size) = (segment.p_offset(LE), segment.p_filesz(LE));
            std::ptr::eq(segment, first) || stays(offset, size) || moves(offset, size)
        };
        let section = |(place, section): (usize, &Section)| {
            let (offset, size) = section.file_range(LE).unwrap_or((self.rest.start, 0));
            is_table(place) || stays(offset, size) || moves(offset, size)
        };
        stays(headers.0, headers.1)
            && self.segments.iter().all(segment)
            && self.sections.iter().enumerate().all(section)
            && self.tables_fill_region(first)
    }

    fn tables_fill_region(&self, first: &Segment) -> bool {
        let mut end = 0;
        for (_, index) in &self.tables {
            let section = &self.sections[*index];
            let (offset, size) = (section.sh_offset(LE), section.sh_size(LE));
            let in_place = first.p_vaddr(LE).checked_add(offset) == Some(section.sh_addr(LE));
            match offset.checked_add(size) {
                Some(table_end) if in_place => end = end.max(table_end),
                _ => return false,
            }
        }
        end == self.region.end
    }

    /// The address at which the file's first byte is loaded.
    pub(super) fn base(&self) -> u64 {
        let first = self
            .segments
            .iter()
            .find(|segment| segment.p_type(LE) == PT_LOAD);
        first.map_or(0, |segment| segment.p_vaddr(LE))
    }

    pub(super) fn section(&self, table: Table) -> Option<&'a Section> {
        let (_, index) = self.tables.iter().find(|(found, _)| *found == table)?;
        self.sections.get(*index)
    }

    pub(super) fn symbols(&self) -> Option<&'a [Symbol]> {
        self.section(Table::Symbols)?
            .data_as_array(LE, self.file)
            .ok()
    }

    pub(super) fn strings(&self) -> Option<StringTable<'a>> {
        self.section(Table::Strings)?.strings(LE, self.file).ok()?
    }

    pub(super) fn versions(&self) -> Option<&'a [Versym<LE>]> {
        self.section(Table::Versions)?
            .data_as_array(LE, self.file)
            .ok()
    }

    pub(super) fn needs(&self) -> Option<VerneedIterator<'a, Header>> {
        let needs = self.section(Table::Needs)?.gnu_verneed(LE, self.file);
        needs.ok()?.map(|(needs, _)| needs)
    }

    /// `Table::Relocations` or `Table::Plt`.
    pub(super) fn relocations(&self, table: Table) -> Option<&'a [Rela]> {
        self.section(table)?.data_as_array(LE, self.file).ok()
    }

    /// The file offset of the eight bytes at `address`, if a segment has them and the program may write there.
    pub(super) fn writable(&self, address: u64) -> Option<u64> {
        let of = |segment: &Segment| {
            require(segment.p_type(LE) == PT_LOAD && segment.p_flags(LE).contains(PF_W))?;
            let below = address.checked_sub(segment.p_vaddr(LE))?;
            require(below.checked_add(8)? <= segment.p_filesz(LE))?;
            segment.p_offset(LE).checked_add(below)
        };
        self.segments.iter().find_map(of)
    }
}

/// `Some` if `condition` holds.
pub(super) fn require(condition: bool) -> Option<()> {
    condition.then_some(())
}

fn is_go_note(segment: &Segment, file: &[u8]) -> bool {
    let Ok(Some(notes)) = segment.notes(LE, file) else {
        return false;
    };
    notes
        .flatten()
        .any(|note| note.name() == ELF_NOTE_GO && note.n_type(LE) == NT_GO_BUILD_ID)
}

/// The sections with an address, which must come before the others, and the section of names.
fn sections<'a>(header: &Header, file: &'a [u8]) -> Option<(&'a [Section], &'a Section)> {
    let all = header.section_headers(LE, file).ok()?;
    let names = header.section_strings_index(LE, file).ok()?;
    let is_loaded = |section: &Section| section.sh_flags(LE).contains(SHF_ALLOC);
    let (_null, rest) = all.split_first()?;
    let count = 1 + rest.iter().take_while(|section| is_loaded(section)).count();
    let (loaded, others) = all.split_at(count);
    require(!others.iter().any(is_loaded))?;
    Some((loaded, all.get(names.0)?))
}

/// The section of each table: that at the address, and of the size, in the dynamic section.
fn tables(dynamic: &Dynamic, sections: &[Section]) -> Option<Vec<(Table, usize)>> {
    let find = |table: Table| {
        let address = dynamic.address(table)?;
        let is_it = |section: &Section| {
            section.sh_addr(LE) == address && section.sh_type(LE) == table.section_type()
        };
        let index = sections.iter().position(is_it)?;
        let found = sections[index].sh_size(LE);
        let size = dynamic.size(table);
        require(size.unwrap_or(found) == found)?;
        Some((table, index))
    };
    Table::BEFORE.into_iter().map(find).collect()
}

/// The first segment that is loaded, read-only, and the place of the others in the file.
fn loads<'a>(segments: &'a [Segment], file: &[u8]) -> Option<(&'a Segment, Range<u64>)> {
    let mut loads = segments
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD);
    let first = loads.next()?;
    require(first.p_offset(LE) == 0 && first.p_filesz(LE) == first.p_memsz(LE))?;
    require(!first.p_flags(LE).contains(PF_W) && !first.p_flags(LE).contains(PF_X))?;
    let start = loads.clone().next()?.p_offset(LE);
    let mut end = first.p_filesz(LE);
    for segment in loads {
        require(segment.p_offset(LE) >= end)?;
        end = segment.p_offset(LE).checked_add(segment.p_filesz(LE))?;
    }
    (end <= file.len() as u64).then_some((first, start..end))
}
