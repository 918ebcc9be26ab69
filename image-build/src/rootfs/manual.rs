//! Shell completions and manual pages of our own commands, generated from the definitions of the commands themselves.

use std::io;

use clap::{Command, CommandFactory};
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
use tare_cli::args::Arguments;

use super::tree::Tree;

/// The package of the one command that people type.
const PACKAGE: &str = "tare-cli";
/// The standard locations of bash's completions and of manual pages (`bash-completion`, `hier(7)`).
const COMPLETIONS: &str = "usr/share/bash-completion/completions";
const PAGES: &str = "usr/share/man/man1";

/// Adds the completions and manual pages of the command of `package`, if it has one.
pub(super) fn add(package: &str, tree: &mut Tree) -> io::Result<()> {
    if package != PACKAGE {
        return Ok(());
    }
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut completion = Vec::new();
    generate(Shell::Bash, &mut command, &name, &mut completion);
    put(tree, &format!("{COMPLETIONS}/{name}"), completion)?;
    command.build();
    add_pages(&command, tree)
}

/// A page for the command and for each of its subcommands, `tare-service-list.1`.
fn add_pages(command: &Command, tree: &mut Tree) -> io::Result<()> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    put(tree, &format!("{PAGES}/{}", man.get_filename()), page)?;
    command
        .get_subcommands()
        .try_for_each(|subcommand| add_pages(subcommand, tree))
}

fn put(tree: &mut Tree, path: &str, text: Vec<u8>) -> io::Result<()> {
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    tree.put_text(path, 0o644, &text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_command_has_completions_and_pages() {
        let mut tree = Tree::default();
        add("tare-log", &mut tree).unwrap();
        assert_eq!(tree.iter().count(), 0);
        add(PACKAGE, &mut tree).unwrap();
        let files = tree.iter().filter(|(_, node)| !node.is_directory());
        let files: Vec<&str> = files.map(|(path, _)| path).collect();
        for path in [
            "usr/share/bash-completion/completions/tare",
            "usr/share/man/man1/tare.1",
            "usr/share/man/man1/tare-service-restart.1",
        ] {
            assert!(files.contains(&path), "{path} is not among {files:?}");
        }
    }
}
