//! The dynamic section: where the dynamic linker finds its tables.

use object::elf::{
    DT_BIND_NOW, DT_DEBUG, DT_FINI, DT_FINI_ARRAY, DT_FINI_ARRAYSZ, DT_FLAGS, DT_FLAGS_1,
    DT_GNU_HASH, DT_INIT, DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_JMPREL, DT_NEEDED, DT_NULL, DT_PLTGOT,
    DT_PLTREL, DT_PLTRELSZ, DT_PREINIT_ARRAY, DT_PREINIT_ARRAYSZ, DT_RELA, DT_RELACOUNT,
    DT_RELAENT, DT_RELASZ, DT_RELR, DT_RELRENT, DT_RELRSZ, DT_RPATH, DT_RUNPATH, DT_STRSZ,
    DT_STRTAB, DT_SYMENT, DT_SYMTAB, DT_VERNEED, DT_VERNEEDNUM, DT_VERSYM, Dyn64, DynamicTag,
    PT_DYNAMIC, SHT_DYNSYM, SHT_GNU_HASH, SHT_GNU_VERNEED, SHT_GNU_VERSYM, SHT_RELA, SHT_RELR,
    SHT_STRTAB, SectionType,
};
use object::read::StringTable;
use object::read::elf::{Dyn as _, ProgramHeader};
use object::{I64, LittleEndian as LE, U64};

use super::program::{Segment, require};
use super::strings::Strings;

type Dyn = Dyn64<LE>;

/// A table of the dynamic linker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Hash,
    Symbols,
    Strings,
    Versions,
    Needs,
    /// Relative relocations in the packed form.
    Packed,
    Relocations,
    Plt,
}

impl Table {
    /// The tables that a program has before, in GNU ld's order.
    pub(super) const BEFORE: [Self; 7] = [
        Self::Hash,
        Self::Symbols,
        Self::Strings,
        Self::Versions,
        Self::Needs,
        Self::Relocations,
        Self::Plt,
    ];

    /// The entry with its address.
    fn address_tag(self) -> DynamicTag {
        match self {
            Self::Hash => DT_GNU_HASH,
            Self::Symbols => DT_SYMTAB,
            Self::Strings => DT_STRTAB,
            Self::Versions => DT_VERSYM,
            Self::Needs => DT_VERNEED,
            Self::Packed => DT_RELR,
            Self::Relocations => DT_RELA,
            Self::Plt => DT_JMPREL,
        }
    }

    /// The entry with its size in bytes.
    fn size_tag(self) -> Option<DynamicTag> {
        match self {
            Self::Strings => Some(DT_STRSZ),
            Self::Packed => Some(DT_RELRSZ),
            Self::Relocations => Some(DT_RELASZ),
            Self::Plt => Some(DT_PLTRELSZ),
            Self::Hash | Self::Symbols | Self::Versions | Self::Needs => None,
        }
    }

    pub(super) fn section_type(self) -> SectionType {
        match self {
            Self::Hash => SHT_GNU_HASH,
            Self::Symbols => SHT_DYNSYM,
            Self::Strings => SHT_STRTAB,
            Self::Versions => SHT_GNU_VERSYM,
            Self::Needs => SHT_GNU_VERNEED,
            Self::Packed => SHT_RELR,
            Self::Relocations | Self::Plt => SHT_RELA,
        }
    }
}

/// Tables with their bytes, in the order of the file.
pub(super) type Tables = Vec<(Table, Vec<u8>)>;

/// Entries with the offset of a string.
const STRINGS: &[DynamicTag] = &[DT_NEEDED, DT_RPATH, DT_RUNPATH];

/// Entries that do not change when the tables do. `DT_RELACOUNT` goes with the relative relocations.
const OTHERS: &[DynamicTag] = &[
    DT_BIND_NOW,
    DT_DEBUG,
    DT_FINI,
    DT_FINI_ARRAY,
    DT_FINI_ARRAYSZ,
    DT_FLAGS,
    DT_FLAGS_1,
    DT_INIT,
    DT_INIT_ARRAY,
    DT_INIT_ARRAYSZ,
    DT_PLTGOT,
    DT_PLTREL,
    DT_PREINIT_ARRAY,
    DT_PREINIT_ARRAYSZ,
    DT_RELACOUNT,
    DT_RELAENT,
    DT_SYMENT,
    DT_VERNEEDNUM,
];

/// The entries, with room for more.
#[derive(Debug, Clone)]
pub(super) struct Dynamic {
    /// Where the section is in the file.
    pub(super) offset: u64,
    /// Without the `DT_NULL` at the end.
    entries: Vec<Dyn>,
    /// How many entries the section has room for, with `DT_NULL`.
    room: usize,
}

impl Dynamic {
    /// `None` if an entry is of an unknown kind.
    pub(super) fn parse(segments: &[Segment], file: &[u8]) -> Option<Self> {
        let segment = segments
            .iter()
            .find(|segment| segment.p_type(LE) == PT_DYNAMIC)?;
        let all = segment.dynamic(LE, file).ok()??;
        let end = all.iter().position(|entry| entry.tag(LE) == DT_NULL)?;
        let entries = all[..end].to_vec();
        entries
            .iter()
            .all(|entry| is_known(entry.tag(LE)))
            .then_some(Self {
                offset: segment.p_offset(LE),
                entries,
                room: all.len(),
            })
    }

    /// The address of `table`.
    pub(super) fn address(&self, table: Table) -> Option<u64> {
        self.value(table.address_tag())
    }

    /// The size of `table` in bytes, if an entry has it.
    pub(super) fn size(&self, table: Table) -> Option<u64> {
        self.value(table.size_tag()?)
    }

    fn value(&self, tag: DynamicTag) -> Option<u64> {
        let mut entries = self.entries.iter();
        Some(entries.find(|entry| entry.tag(LE) == tag)?.val(LE))
    }

    /// Takes the strings of the entries from `old` to `new`.
    pub(super) fn move_strings<'a>(
        &mut self,
        old: StringTable<'a>,
        new: &mut Strings<'a>,
    ) -> Option<()> {
        for entry in &mut self.entries {
            if STRINGS.contains(&entry.tag(LE)) {
                let string = entry.string(LE, old).ok()?;
                entry.d_val = U64::new(LE, new.offset(string)?.into());
            }
        }
        Some(())
    }

    /// The section, with each table at its new address and of its new size in bytes; `None` if there is no room.
    pub(super) fn with(&self, tables: &[(Table, u64, usize)]) -> Option<Vec<Dyn>> {
        let mut entries = self.entries.clone();
        entries.retain(|entry| entry.tag(LE) != DT_RELACOUNT);
        if tables.iter().any(|(table, ..)| *table == Table::Packed) {
            let size = size_of::<u64>() as u64;
            entries.extend([(DT_RELR, 0), (DT_RELRSZ, 0), (DT_RELRENT, size)].map(entry));
        }
        for (table, address, size) in tables {
            for entry in &mut entries {
                if entry.tag(LE) == table.address_tag() {
                    entry.d_val = U64::new(LE, *address);
                }
                if Some(entry.tag(LE)) == table.size_tag() {
                    entry.d_val = U64::new(LE, *size as u64);
                }
            }
        }
        require(entries.len() < self.room)?;
        entries.resize(self.room, entry((DT_NULL, 0)));
        Some(entries)
    }
}

fn is_known(tag: DynamicTag) -> bool {
    let is_of = |table: &Table| table.address_tag() == tag || table.size_tag() == Some(tag);
    Table::BEFORE.iter().any(is_of) || STRINGS.contains(&tag) || OTHERS.contains(&tag)
}

fn entry((tag, value): (DynamicTag, u64)) -> Dyn {
    Dyn {
        d_tag: I64::new(LE, tag),
        d_val: U64::new(LE, value),
    }
}
