//! `tare config edit`: what was set on this machine, in an editor.

use super::{Known, change};
use crate::Failed;
use crate::args::How;
use crate::run::Context;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// What a new file begins with.
const HEAD: &str = "\
# What is set here is stronger than user-data, and kept by this machine. It is TOML, as in
# hostname = \"edge-17\"
# `tare config show --all` lists all keys.
";

pub(super) fn edit(context: &Context, how: &How) -> Result<(), Failed> {
    let known = Known::ask(context)?;
    let before = match known.text(change::layer(how)) {
        "" => HEAD,
        text => text,
    };
    let file = file();
    create(&file, before)?;
    let edited = until_applied(context, how, &known, &file, before);
    match edited {
        Ok(()) => Ok(fs::remove_file(&file)?),
        Err(failed) => Err(Failed::NotSo(format!(
            "{failed}\nthe text is kept: tare config apply {}",
            file.display()
        ))),
    }
}

/// A file in memory if there is such a folder: the text may hold secrets.
fn file() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => memory.to_owned(),
        false => env::temp_dir(),
    };
    folder.join(format!("tare-config-{}.toml", process::id()))
}

fn create(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(text.as_bytes())
}

/// Edits until the text is applied, unchanged, or given up.
fn until_applied(
    context: &Context,
    how: &How,
    known: &Known,
    file: &Path,
    before: &str,
) -> Result<(), Failed> {
    loop {
        run_editor(file)?;
        let text = fs::read_to_string(file)?;
        if text == before {
            return context.show(&[(); 0], |_, _| "nothing changes\n".to_owned());
        }
        match change::send(context, known, Some(known.number), text, how) {
            Err(Failed::NotSo(failed)) if again(&failed)? => {}
            sent => return sent,
        }
    }
}

/// Runs the editor with a shell, as EDITOR may have arguments.
fn run_editor(file: &Path) -> Result<(), Failed> {
    let names = ["VISUAL", "EDITOR"];
    let wanted = names.iter().find_map(|name| env::var(name).ok());
    let editor = wanted.filter(|editor| !editor.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let status = Command::new("/bin/sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file)
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(Failed::NotSo(format!("{editor} ended with {status}"))),
    }
}

/// Whether somebody wants to edit the text again, after this was wrong with it.
fn again(failed: &str) -> io::Result<bool> {
    eprint!("{failed}\nEdit it again? [Y/n] ");
    let mut answer = String::new();
    // At the end of the input there is nobody to ask.
    let asked = io::stdin().read_line(&mut answer)? > 0;
    Ok(asked && !answer.trim().to_lowercase().starts_with('n'))
}
