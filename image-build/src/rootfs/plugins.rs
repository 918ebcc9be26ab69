//! Plugins of the `docker` command, with a script in front of each.
//!
//! `docker compose` and `docker build` first ask the plugin what it is, and `docker info` asks all of them: each time a
//! start of 64 MB for 120 bytes that never change. The script answers in its place, with what the plugin itself
//! answers at build time. For everything else it becomes the plugin.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::tree::{Content, Kind, Node, Tree};
use crate::cache;
use crate::progress::Stage;
use crate::tools::Tools;

/// Where Debian's packages put plugins: the last folder that `docker` searches (docker/cli's
/// `cli-plugins/manager/manager_unix.go`). The file found first is asked and executed.
const PLUGINS: &str = "usr/libexec/docker/cli-plugins";
/// Comes before it.
const SCRIPTS: &str = "usr/local/libexec/docker/cli-plugins";
/// The argument by which `docker` asks (`cli-plugins/manager/metadata.go`).
const QUESTION: &str = "docker-cli-plugin-metadata";
/// Without these, there is nothing that asks, or nothing that runs a script.
const NEEDED: [&str; 2] = ["usr/bin/docker", "usr/bin/sh"];

/// Adds the scripts to a tree that has the `docker` command.
///
/// # Errors
/// A plugin does not run, or answers something else than JSON about itself.
pub(crate) fn add_scripts(
    tree: &mut Tree,
    tools: &Tools,
    cache: &Path,
    stage: &Stage,
) -> Result<()> {
    if NEEDED.iter().any(|path| tree.get(path).is_none()) {
        return Ok(());
    }
    for (name, plugin) in plugins(tree) {
        let answer = answer(&plugin, tools, cache, stage)
            .with_context(|| format!("ask the plugin {name} for its metadata"))?;
        let text = script(&format!("/{PLUGINS}/{name}"), &answer);
        tree.put_text(&format!("{SCRIPTS}/{name}"), 0o755, &text);
    }
    Ok(())
}

fn plugins(tree: &Tree) -> Vec<(String, Content)> {
    let plugin = |(path, node): (&str, &Node)| {
        let name = path.strip_prefix(PLUGINS)?.strip_prefix('/')?;
        match &node.kind {
            Kind::File(content) => Some((name.to_owned(), content.clone())),
            _ => None,
        }
    };
    tree.below(PLUGINS).filter_map(plugin).collect()
}

/// The plugin's own answer, once for each version of it.
fn answer(plugin: &Content, tools: &Tools, cache: &Path, stage: &Stage) -> Result<String> {
    let folder = cache.join("plugins");
    let path = folder.join(&plugin.sha256);
    if let Ok(answer) = fs::read(&path) {
        return checked(answer);
    }
    fs::create_dir_all(&folder)?;
    let program = path.with_extension(std::process::id().to_string());
    fs::write(&program, plugin.read()?)?;
    let answer = stage.output(tools.run(&program).arg(QUESTION));
    fs::remove_file(&program)?;
    let answer = checked(answer?)?;
    cache::write_atomic(&path, answer.as_bytes())?;
    Ok(answer)
}

/// As it can stand between single quotes of a shell.
fn checked(answer: Vec<u8>) -> Result<String> {
    let answer = String::from_utf8(answer)?;
    let parsed: Value = serde_json::from_str(&answer)?;
    ensure!(
        parsed["SchemaVersion"].is_string() && !answer.contains('\''),
        "it answers {answer:?}"
    );
    Ok(answer)
}

fn script(plugin: &str, answer: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Answers in the plugin's place what docker asks at each start, in the plugin's own words.\n\
         if [ \"$1\" = {QUESTION} ]; then\n    printf %s '{answer}'\n    exit\nfi\n\
         exec {plugin} \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::process::Command;

    #[test]
    fn a_script_answers_and_leaves_the_rest_to_the_plugin() {
        let answer = "{\n     \"SchemaVersion\": \"0.1.0\",\n     \"Version\": \"1%s\\n-4\"\n}\n";
        let answer = checked(answer.as_bytes().to_vec()).unwrap();
        let path = env::temp_dir().join(format!("tare-plugins-{}", std::process::id()));
        fs::write(&path, script("/bin/echo", &answer)).unwrap();
        for (arguments, want) in [
            (&["docker-cli-plugin-metadata"][..], answer.as_str()),
            (&["compose", "a  b", "$c", ""], "compose a  b $c \n"),
            (
                &["compose", "docker-cli-plugin-metadata"],
                "compose docker-cli-plugin-metadata\n",
            ),
            (&[], "\n"),
        ] {
            let output = Command::new("sh").arg(&path).args(arguments).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said, want, "{arguments:?}");
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn other_answers_are_refused() {
        for (answer, want) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("Docker Compose v2", "expected value at line 1 column 1"),
            ("{}", "it answers \"{}\""),
            (
                "{\"SchemaVersion\": \"'\"}",
                "it answers \"{\\\"SchemaVersion\\\": \\\"'\\\"}\"",
            ),
        ] {
            let error = checked(answer.as_bytes().to_vec()).unwrap_err();
            assert_eq!(error.to_string(), want, "{answer:?}");
        }
    }

    #[test]
    fn plugins_are_the_files_of_debians_folder() {
        let mut tree = Tree::default();
        for path in [
            "usr/libexec/docker/cli-plugins/docker-compose",
            "usr/libexec/docker/other",
            "usr/local/libexec/docker/cli-plugins/docker-x",
        ] {
            tree.put_text(path, 0o755, "");
        }
        tree.put(
            "usr/libexec/docker/cli-plugins/link",
            Node::symlink("docker-compose"),
        );
        let plugins = plugins(&tree).into_iter().map(|(name, _)| name);
        assert_eq!(plugins.collect::<Vec<_>>(), ["docker-compose"]);
    }
}
