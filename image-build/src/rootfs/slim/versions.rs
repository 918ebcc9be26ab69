//! `.gnu.version_r`: which versions of which libraries a program needs.

use object::elf::{Vernaux, Verneed, VersionFlags, VersionIndex, hash};
use object::pod::bytes_of;
use object::{LittleEndian as LE, U16, U32};

use super::program::Program;
use super::strings::Strings;

const LIBC: &[u8] = b"libc.so.6";

/// libc's version for programs with packed relocations. glibc does not start a program that has the one without the
/// other (`elf/dl-version.c`); a glibc before 2.36, which cannot read them, lacks this version.
const PACKED: &[u8] = b"GLIBC_ABI_DT_RELR";

/// A library, and the versions of it that are needed, each with its name.
struct Need<'a> {
    library: &'a [u8],
    head: Verneed<LE>,
    versions: Vec<(Vernaux<LE>, &'a [u8])>,
}

/// The section with its names in `strings`; `None` if `is_packed` and the program does not need libc.
pub(super) fn needs<'a>(
    program: &Program<'a>,
    is_packed: bool,
    strings: &mut Strings<'a>,
) -> Option<Vec<u8>> {
    let mut needs = read(program)?;
    if is_packed {
        need_packed(&mut needs)?;
    }
    let mut section = Vec::new();
    let count = needs.len();
    for (place, need) in needs.into_iter().enumerate() {
        section.extend(need.bytes(place + 1 == count, strings)?);
    }
    Some(section)
}

fn read<'a>(program: &Program<'a>) -> Option<Vec<Need<'a>>> {
    let strings = program.strings()?;
    let mut needs = Vec::new();
    for need in program.needs()? {
        let (head, all) = need.ok()?;
        let mut versions = Vec::new();
        for version in all {
            let version = version.ok()?;
            versions.push((*version, version.name(LE, strings).ok()?));
        }
        needs.push(Need {
            library: head.file(LE, strings).ok()?,
            head: *head,
            versions,
        });
    }
    Some(needs)
}

fn need_packed(needs: &mut [Need<'_>]) -> Option<()> {
    let versions = needs.iter().flat_map(|need| &need.versions);
    let highest = versions
        .map(|(version, _)| version.vna_other(LE).index().0)
        .max()?;
    let libc = needs.iter_mut().find(|need| need.library == LIBC)?;
    let version = Vernaux {
        vna_hash: U32::new(LE, hash(PACKED)),
        vna_flags: U16::new(LE, VersionFlags(0)),
        vna_other: U16::new(LE, VersionIndex(highest.checked_add(1)?)),
        vna_name: U32::default(),
        vna_next: U32::default(),
    };
    libc.versions.push((version, PACKED));
    Some(())
}

impl<'a> Need<'a> {
    fn bytes(&self, is_last: bool, strings: &mut Strings<'a>) -> Option<Vec<u8>> {
        let (head, entry) = (size_of::<Verneed<LE>>(), size_of::<Vernaux<LE>>());
        let size = u32::try_from(head + self.versions.len() * entry).ok()?;
        let mut need = self.head;
        need.vn_cnt = U16::new(LE, u16::try_from(self.versions.len()).ok()?);
        need.vn_file = U32::new(LE, strings.offset(self.library)?);
        need.vn_aux = U32::new(LE, u32::try_from(head).ok()?);
        need.vn_next = U32::new(LE, if is_last { 0 } else { size });
        let mut bytes = bytes_of(&need).to_vec();
        for (place, (version, name)) in self.versions.iter().enumerate() {
            let is_last = place + 1 == self.versions.len();
            let next = if is_last {
                0
            } else {
                u32::try_from(entry).ok()?
            };
            let mut version = *version;
            version.vna_name = U32::new(LE, strings.offset(name)?);
            version.vna_next = U32::new(LE, next);
            bytes.extend(bytes_of(&version));
        }
        Some(bytes)
    }
}
