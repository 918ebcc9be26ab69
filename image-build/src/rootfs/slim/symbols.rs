//! Which symbols a program keeps, and the tables that list them.

use std::collections::HashMap;

use object::elf::{GnuHashHeader, Rela64, SHN_UNDEF, STB_LOCAL, Versym, gnu_hash};
use object::pod::{bytes_of, bytes_of_slice};
use object::{LittleEndian as LE, U32, U64};

use super::dynamic::Table;
use super::program::{Program, Rela, Symbol};
use super::relocations::Relocations;
use super::strings::Strings;

/// Two bits of a symbol's hash are looked up in the filter; the second begins here, as in lld's tables.
const BLOOM_SHIFT: u32 = 26;
/// Symbols in a word of the filter: of its 64 bits at most 16 are set.
const BLOOM_SYMBOLS: usize = 8;
/// Symbols in a bucket, as in lld's tables.
const BUCKET_SYMBOLS: usize = 4;

/// The symbols that are kept, in their new order: first those that cannot be looked up.
#[derive(Debug)]
pub(super) struct Symbols<'a> {
    kept: Vec<Kept<'a>>,
    buckets: u32,
}

#[derive(Debug)]
struct Kept<'a> {
    /// Its number in the program as it was.
    number: usize,
    symbol: &'a Symbol,
    name: &'a [u8],
    /// If it can be looked up.
    hash: Option<u32>,
}

impl<'a> Symbols<'a> {
    /// Imports, what relocations name, and what a library could look up. That is every C identifier: names of Go have
    /// dots, and no library imports such a name. So a function that replaces one of libc's still does.
    pub(super) fn kept(program: &Program<'a>, relocations: &Relocations) -> Option<Self> {
        let (symbols, strings) = (program.symbols()?, program.strings()?);
        let mut named = vec![false; symbols.len()];
        *named.first_mut()? = true;
        for rela in relocations
            .rest
            .iter()
            .chain(program.relocations(Table::Plt)?)
        {
            *named.get_mut(rela.r_sym(LE, false) as usize)? = true;
        }
        let mut kept = Vec::new();
        for (number, symbol) in symbols.iter().enumerate() {
            let name = strings.get(symbol.st_name.get(LE)).ok()?;
            if named[number] || is_import(symbol) || is_c_identifier(name) {
                let hash = can_be_found(symbol).then(|| gnu_hash(name));
                kept.push(Kept {
                    number,
                    symbol,
                    name,
                    hash,
                });
            }
        }
        let found = kept.iter().filter(|kept| kept.hash.is_some()).count();
        let buckets = u32::try_from(found / BUCKET_SYMBOLS + 1).ok()?;
        kept.sort_by_key(|kept| kept.hash.map(|hash| hash % buckets));
        Some(Self { kept, buckets })
    }

    /// The number of local ones, which are the first.
    pub(super) fn locals(&self) -> Option<u32> {
        let is_local = |kept: &&Kept<'_>| kept.symbol.st_bind() == STB_LOCAL;
        let count = self.kept.iter().take_while(is_local).count();
        u32::try_from(count).ok()
    }

    /// `.dynsym`
    pub(super) fn table(&self, strings: &mut Strings<'a>) -> Option<Vec<u8>> {
        let mut table = Vec::new();
        for kept in &self.kept {
            let mut symbol = *kept.symbol;
            symbol.st_name = U32::new(LE, strings.offset(kept.name)?);
            table.extend(bytes_of(&symbol));
        }
        Some(table)
    }

    /// `.gnu.version`
    pub(super) fn versions(&self, program: &Program<'_>) -> Option<Vec<u8>> {
        let all = program.versions()?;
        let of = |kept: &Kept<'_>| all.get(kept.number).copied();
        let versions: Vec<Versym<LE>> = self.kept.iter().map(of).collect::<Option<_>>()?;
        Some(bytes_of_slice(&versions).to_vec())
    }

    /// `relocations` with the new numbers of their symbols.
    pub(super) fn renumber(&self, relocations: &[Rela]) -> Option<Vec<u8>> {
        let numbers = self.kept.iter().enumerate();
        let numbers: HashMap<usize, usize> =
            numbers.map(|(new, kept)| (kept.number, new)).collect();
        let mut table = Vec::new();
        for rela in relocations {
            let number = numbers.get(&(rela.r_sym(LE, false) as usize))?;
            let number = u32::try_from(*number).ok()?;
            let r_info: U64<LE> = Rela64::r_info(LE, false, number, rela.r_type(LE, false));
            table.extend(bytes_of(&Rela { r_info, ..*rela }));
        }
        Some(table)
    }

    /// `.gnu.hash`: a filter, the first symbol of each bucket, and the hash of each symbol; the last of a bucket is odd.
    pub(super) fn hash_table(&self) -> Option<Vec<u8>> {
        let base = self
            .kept
            .iter()
            .take_while(|kept| kept.hash.is_none())
            .count();
        let hashes: Vec<u32> = self.kept.iter().filter_map(|kept| kept.hash).collect();
        let bloom = bloom(&hashes);
        let mut buckets = vec![0; self.buckets as usize];
        let mut chains = Vec::new();
        for (place, hash) in hashes.iter().enumerate() {
            let bucket = hash % self.buckets;
            let first = &mut buckets[bucket as usize];
            if *first == 0 {
                *first = u32::try_from(base + place).ok()?;
            }
            let next = hashes.get(place + 1).map(|next| next % self.buckets);
            chains.push(hash & !1 | u32::from(next != Some(bucket)));
        }
        let header = GnuHashHeader {
            bucket_count: U32::new(LE, self.buckets),
            symbol_base: U32::new(LE, u32::try_from(base).ok()?),
            bloom_count: U32::new(LE, u32::try_from(bloom.len()).ok()?),
            bloom_shift: U32::new(LE, BLOOM_SHIFT),
        };
        let mut table = bytes_of(&header).to_vec();
        table.extend(bloom.iter().flat_map(|word| word.to_le_bytes()));
        table.extend(
            buckets
                .iter()
                .chain(&chains)
                .flat_map(|word| word.to_le_bytes()),
        );
        Some(table)
    }
}

fn is_import(symbol: &Symbol) -> bool {
    symbol.st_shndx.get(LE) == SHN_UNDEF
}

/// Whether the dynamic linker finds it for a library. An import with an address does count: it is the address that the
/// program itself uses for a function.
fn can_be_found(symbol: &Symbol) -> bool {
    let has_address = !is_import(symbol) || symbol.st_value.get(LE) != 0;
    has_address && symbol.st_bind() != STB_LOCAL
}

fn is_c_identifier(name: &[u8]) -> bool {
    name.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

/// Two bits for each hash, in words of a number that is a power of two.
fn bloom(hashes: &[u32]) -> Vec<u64> {
    let count = hashes.len().div_ceil(BLOOM_SYMBOLS).next_power_of_two();
    let mut words = vec![0; count];
    for hash in hashes {
        let word = &mut words[*hash as usize / 64 % count];
        *word |= 1 << (hash % 64);
        *word |= 1 << ((hash >> BLOOM_SHIFT) % 64);
    }
    words
}
