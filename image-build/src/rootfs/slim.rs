//! Makes Go programs smaller: Debian links them with the system's linker, which exports each Go symbol and spells out
//! each pointer that depends on the load address.
//!
//! In dockerd these tables are a quarter of the file: 223,712 symbols, of which 94 are imports and nearly all others are
//! looked up by nothing, and 342,290 relocations of 24 bytes each, all of which the dynamic linker reads at each start.
//! A slim program has the symbols that a library could look up, and its relative relocations in the packed form
//! (`DT_RELR`, 0.1 MB rather than 8), with the addends in place.
//!
//! The tables are the end of the first segment, which becomes shorter by whole pages. Everything else has the same bytes
//! at the same address: code, Go's own tables, data. Between the first segment and the next nothing is mapped.
//!
//! Lost are Go plugins, which look up Go symbols of the program that loads them (no Debian package has one), and the
//! names of Go functions in `perf`; traces and profiles of Go's runtime have tables of their own.

mod dynamic;
mod output;
mod program;
mod relocations;
mod strings;
mod symbols;
mod versions;

use crate::digest;
use dynamic::{Dynamic, Table, Tables};
use output::Changes;
use program::Program;
use relocations::Relocations;
use strings::Strings;
use symbols::Symbols;

/// This code, so that a layer made by another version of it is not used.
const SOURCE: &[&[u8]] = &[
    include_bytes!("slim.rs"),
    include_bytes!("slim/dynamic.rs"),
    include_bytes!("slim/output.rs"),
    include_bytes!("slim/program.rs"),
    include_bytes!("slim/relocations.rs"),
    include_bytes!("slim/strings.rs"),
    include_bytes!("slim/symbols.rs"),
    include_bytes!("slim/versions.rs"),
];

/// The digest of this code, in hexadecimal.
pub(super) fn version() -> String {
    digest::hex(&SOURCE.concat())
}

/// The program `file` with less for the dynamic linker to read; `None` if it is not a Go program in the one layout that
/// is known, or would not become smaller.
pub(super) fn slim(file: &[u8]) -> Option<Vec<u8>> {
    let program = Program::parse(file)?;
    let relocations = Relocations::of(&program)?;
    let symbols = Symbols::kept(&program, &relocations)?;
    let (tables, dynamic) = tables(&program, &relocations, &symbols)?;
    let changes = Changes {
        tables: &tables,
        dynamic: &dynamic,
        locals: symbols.locals()?,
        relative: &relocations.relative,
    };
    let slim = output::write(&program, &changes)?;
    (slim.len() < file.len()).then_some(slim)
}

/// The new tables in their order in the file, and the dynamic section with its strings.
fn tables(
    program: &Program<'_>,
    relocations: &Relocations,
    symbols: &Symbols<'_>,
) -> Option<(Tables, Dynamic)> {
    let mut strings = Strings::new();
    let names = symbols.table(&mut strings)?;
    let packed = relocations.packed();
    let needs = versions::needs(program, !packed.is_empty(), &mut strings)?;
    let mut dynamic = program.dynamic.clone();
    dynamic.move_strings(program.strings()?, &mut strings)?;
    let mut tables = vec![
        (Table::Hash, symbols.hash_table()?),
        (Table::Symbols, names),
        (Table::Strings, strings.into_bytes()),
        (Table::Versions, symbols.versions(program)?),
        (Table::Needs, needs),
        (Table::Relocations, symbols.renumber(&relocations.rest)?),
        (
            Table::Plt,
            symbols.renumber(program.relocations(Table::Plt)?)?,
        ),
    ];
    if !packed.is_empty() {
        tables.push((Table::Packed, packed));
    }
    Some((tables, dynamic))
}

#[cfg(test)]
pub(super) mod tests;
