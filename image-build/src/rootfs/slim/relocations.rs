//! Relative relocations in the packed form of `DT_RELR`, which glibc reads since 2.36.

use object::LittleEndian as LE;
use object::elf::R_X86_64_RELATIVE;

use super::dynamic::Table;
use super::program::{Program, Rela, require};

/// How many words of eight bytes a bitmap covers: its lowest bit marks it as one.
const BITMAP_WORDS: u64 = 63;

/// The relocations of `.rela.dyn`.
#[derive(Debug)]
pub(super) struct Relocations {
    /// Sorted by address.
    pub(super) relative: Vec<Relative>,
    /// Those that name a symbol.
    pub(super) rest: Vec<Rela>,
}

/// A word that is the load address plus `addend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relative {
    address: u64,
    /// Where the word is in the file, for there the packed form has its addend.
    pub(super) offset: u64,
    pub(super) addend: i64,
}

impl Relocations {
    /// `None` if a relative relocation has no packed form.
    pub(super) fn of(program: &Program<'_>) -> Option<Self> {
        let all = program.relocations(Table::Relocations)?;
        let is_relative = |rela: &&Rela| rela.r_type(LE, false) == R_X86_64_RELATIVE;
        let (relative, rest): (Vec<&Rela>, Vec<&Rela>) = all.iter().partition(is_relative);
        let relative = relative.into_iter().map(|rela| Relative::of(rela, program));
        let mut relative: Vec<Relative> = relative.collect::<Option<_>>()?;
        relative.sort_unstable_by_key(|word| word.address);
        let is_apart = |pair: &[Relative]| pair[1].address - pair[0].address >= 8;
        require(relative.windows(2).all(is_apart))?;
        Some(Self {
            relative,
            rest: rest.into_iter().copied().collect(),
        })
    }

    /// `.relr.dyn`: the packed form of the relative ones.
    pub(super) fn packed(&self) -> Vec<u8> {
        let addresses: Vec<u64> = self.relative.iter().map(|word| word.address).collect();
        pack(&addresses)
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect()
    }
}

impl Relative {
    fn of(rela: &Rela, program: &Program<'_>) -> Option<Self> {
        let address = rela.r_offset.get(LE);
        // An odd number is a bitmap.
        require(address % 2 == 0 && rela.r_sym(LE, false) == 0)?;
        Some(Self {
            address,
            offset: program.writable(address)?,
            addend: rela.r_addend.get(LE),
        })
    }
}

/// An address, then bitmaps of the words after it, as often as that is needed. `addresses` are sorted and at least eight
/// bytes apart.
fn pack(addresses: &[u64]) -> Vec<u64> {
    let mut words = Vec::new();
    let mut rest = addresses;
    while let Some((&address, after)) = rest.split_first() {
        words.push(address);
        rest = after;
        let mut base = address.wrapping_add(8);
        loop {
            let (bitmap, count) = bitmap(rest, base);
            if bitmap == 0 {
                break;
            }
            words.push(bitmap << 1 | 1);
            rest = &rest[count..];
            base = base.wrapping_add(8 * BITMAP_WORDS);
        }
    }
    words
}

/// A bit for each of the first `addresses` that is a word from `base` on, and how many these are.
fn bitmap(addresses: &[u64], base: u64) -> (u64, usize) {
    let mut bits = 0;
    for (count, address) in addresses.iter().enumerate() {
        match address.checked_sub(base) {
            Some(below) if below % 8 == 0 && below / 8 < BITMAP_WORDS => bits |= 1 << (below / 8),
            _ => return (bits, count),
        }
    }
    (bits, addresses.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_packed() {
        let run: Vec<u64> = (0..66).map(|word| 0x1000 + 8 * word).collect();
        for (addresses, want) in [
            (&[][..], &[][..]),
            (&[0x1000], &[0x1000]),
            (&[0x1000, 0x1008, 0x1018], &[0x1000, 0b1011]),
            (&run, &[0x1000, u64::MAX, 0b111]),
            (&run[..64], &[0x1000, u64::MAX]),
            // 63 words after the first, and one that no bitmap reaches.
            (&[0x1000, 0x1200], &[0x1000, 0x1200]),
            (&[0x1000, 0x11f8], &[0x1000, 1 << 63 | 1]),
            // Not a whole number of words apart.
            (&[0x1000, 0x100a, 0x1012], &[0x1000, 0x100a, 0b11]),
            (&[0x1000, 0x1008, 0x1012], &[0x1000, 0b11, 0x1012]),
        ] {
            assert_eq!(pack(addresses), want, "{addresses:x?}");
        }
    }
}
