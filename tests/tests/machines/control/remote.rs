//! `tare --host`: the image's command on the machine of these tests, by their `ssh`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::Vm;
use tare_tests::Scratch;

pub(super) fn all(image: &Image, vm: &Vm) -> Result<()> {
    let folder = Scratch::new("remote")?;
    let config = vm.machine().folder().join("ssh-config");
    put_ssh(folder.path(), &config)?;
    fs::write(folder.path().join("rate.toml"), "log.rate = 321\n")?;
    let tare = |host: &str, words: &[&str]| -> Result<Output> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = [folder.path().to_owned()].into_iter();
        let paths = std::env::join_paths(paths.chain(std::env::split_paths(&path)))?;
        let mut command = Command::new(&image.command);
        command
            .args(words)
            .env("PATH", paths)
            .env("TARE_HOST", host);
        command
            .current_dir(folder.path())
            .output()
            .context("start tare")
    };
    for (words, code, want) in [
        (&["status"][..], 0, "tare: ready"),
        (&["--host", "tare", "config", "get", "log.rate"], 0, "1000"),
        (
            &["config", "apply", "rate.toml", "--dry-run"],
            0,
            "log: restarts",
        ),
        (
            &["config", "apply", "none.toml"],
            1,
            "none.toml: No such file",
        ),
        (
            &[
                "service", "exec", "ssh", "--", "printf", "%s|", "it's", "$HOME", "a  b",
            ],
            0,
            "it's|$HOME|a  b|",
        ),
        (
            &["service", "exec", "ssh", "--", "sh", "-c", "exit 7"],
            7,
            "",
        ),
        (&["service", "show", "nothing"], 1, "nothing"),
    ] {
        let said = tare("tare", words)?;
        expect(&said, code, want).with_context(|| words.join(" "))?;
    }
    let said = tare("nowhere.invalid", &["status"])?;
    expect(
        &said,
        1,
        "ssh nowhere.invalid: the connection could not be made",
    )?;
    folder.remove()
}

/// An `ssh` in `folder` that reads `config`.
fn put_ssh(folder: &Path, config: &Path) -> Result<()> {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let script = format!(
        "#!/bin/sh\nPATH='{}'\nexec ssh -F '{}' \"$@\"\n",
        path.to_string_lossy(),
        config.display()
    );
    let file = folder.join("ssh");
    fs::write(&file, script)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn expect(said: &Output, code: i32, want: &str) -> Result<()> {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    ensure!(
        said.status.code() == Some(code) && text.contains(want),
        "{}: {text}",
        said.status
    );
    Ok(())
}
