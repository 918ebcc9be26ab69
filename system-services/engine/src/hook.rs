//! The hook that gives a container its network, answered by a small program.
//!
//! For each container, dockerd has the runtime execute dockerd itself once more (94 MB, of which the dynamic linker
//! writes to thousands of pages), only to send dockerd one message (moby's `daemon/oci_linux.go`, `withLibnetwork`).
//! This program sends the same message ([`setkey`]). It is put into the container's bundle, in place of dockerd, when
//! containerd starts the container's shim there: containerd has written the bundle, and the runtime has not read it.

use crate::setkey::{self, EXEC_ROOT};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

/// This program, where runtimes find it: hooks before the container's own root run in the engine's mounts.
const PROGRAM: &str = "/usr/bin/tare-engine";
const CONFIG: &str = "config.json";
/// Becomes [`CONFIG`] when it is complete. containerd removes it with the bundle.
const PART: &str = "config.json.part";

/// What is looked at of an OCI runtime specification.
#[derive(Deserialize)]
struct Spec {
    hooks: Hooks,
}

#[derive(Deserialize)]
struct Hooks {
    prestart: Vec<Value>,
}

/// What dockerd writes of a hook, in its order: without environment and time limit.
#[derive(Serialize, Deserialize)]
struct Hook {
    path: String,
    args: Vec<String>,
}

impl Hook {
    /// Exactly dockerd's form: `/proc/PID/exe`, `libnetwork-setkey -exec-root=FOLDER CONTAINER CONTROLLER`.
    fn is_dockerds(&self) -> bool {
        let process = self.path.strip_prefix("/proc/");
        let process = process.and_then(|path| path.strip_suffix("/exe"));
        process.is_some_and(|id| id.parse::<u32>().is_ok())
            && matches!(&self.args[..], [name, root, _, _] if name == setkey::NAME && root.starts_with(EXEC_ROOT))
    }

    /// dockerd's path comes last: it is executed if this program fails.
    fn answered_here(self) -> Self {
        let mut args = vec![PROGRAM.to_owned()];
        args.extend(self.args);
        args.push(self.path);
        Self {
            path: PROGRAM.to_owned(),
            args,
        }
    }
}

/// Replaces dockerd's hook in the bundle in the folder `bundle`. A bundle without exactly that hook stays as it is.
///
/// # Errors
/// The configuration cannot be read or replaced; it is unchanged then.
pub(crate) fn replace(bundle: &Path) -> io::Result<()> {
    let path = bundle.join(CONFIG);
    let Some(config) = replaced(&fs::read_to_string(&path)?) else {
        return Ok(());
    };
    let part = bundle.join(PART);
    write(&part, &config, &path)?;
    fs::rename(part, path)
}

/// Writes `text` to `path`, with the owner and the mode of the file `model`.
fn write(path: &Path, text: &str, model: &Path) -> io::Result<()> {
    let model = fs::metadata(model)?;
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    fchown(&file, Some(model.uid()), Some(model.gid()))?;
    file.set_permissions(model.permissions())
}

/// The configuration with the hook replaced and every other byte as it was. `None` if it has no such hook.
fn replaced(config: &str) -> Option<String> {
    let spec: Spec = serde_json::from_str(config).ok()?;
    let hooks = spec.hooks.prestart.into_iter();
    let mut hooks = hooks.filter_map(|hook| serde_json::from_value::<Hook>(hook).ok());
    let hook = hooks.find(Hook::is_dockerds)?;
    let old = serde_json::to_string(&hook).ok()?;
    let new = serde_json::to_string(&hook.answered_here()).ok()?;
    // A hook with more words, or with blanks between them, is not found: it is not dockerd's.
    (config.matches(&old).count() == 1).then(|| config.replacen(&old, &new, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::env;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const DOCKERDS: &str = r#"{"path":"/proc/71/exe","args":["libnetwork-setkey","-exec-root=/run/docker","c0ffee","1bad"]}"#;
    const OURS: &str = r#"{"path":"/usr/bin/tare-engine","args":["/usr/bin/tare-engine","libnetwork-setkey","-exec-root=/run/docker","c0ffee","1bad","/proc/71/exe"]}"#;

    fn config(hooks: &str) -> String {
        let tricky = r#"{"path":"/proc/71/exe","args":["libnetwork-setkey""#;
        let process = json!({"args": ["sh", tricky], "cwd": "/", "noNewPrivileges": 18446744073709551615_u64});
        format!(r#"{{"ociVersion":"1.1.0","process":{process},"hooks":{hooks},"linux":{{}}}}"#)
    }

    fn prestart(hooks: &str) -> String {
        config(&format!(r#"{{"prestart":[{hooks}]}}"#))
    }

    fn bundle(name: &str, config: &[u8]) -> PathBuf {
        let name = format!("tare-hook-{name}-{}", std::process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(CONFIG), config).unwrap();
        folder
    }

    #[test]
    fn dockerds_hook_is_replaced_and_nothing_else() {
        let gpu = r#"{"path":"/usr/bin/gpu","args":["gpu","prestart"],"env":["A=\u003c"]}"#;
        for (hooks, want) in [
            (DOCKERDS.to_owned(), OURS.to_owned()),
            (format!("{gpu},{DOCKERDS}"), format!("{gpu},{OURS}")),
        ] {
            let found = replaced(&prestart(&hooks));
            assert_eq!(found, Some(prestart(&want)), "{hooks}");
        }
    }

    #[test]
    fn other_forms_stay() {
        let with = |from: &str, to: &str| prestart(&DOCKERDS.replace(from, to));
        for other in [
            String::new(),
            DOCKERDS.to_owned(),
            config("null"),
            config("{}"),
            config(&format!(r#"{{"createRuntime":[{DOCKERDS}]}}"#)),
            prestart(""),
            with("/proc/71/exe", "/proc/self/exe"),
            with("/proc/71/exe", "/usr/sbin/dockerd"),
            with("\"libnetwork-setkey\"", "\"libnetwork-setkeys\""),
            with("-exec-root=/run/docker", "/run/docker"),
            with(",\"1bad\"", ""),
            with("\"1bad\"", "\"1bad\",\"more\""),
            with("]}", "],\"timeout\":5}"),
            with("]}", "],\"env\":[\"A=b\"]}"),
            with(":[", ": ["),
            prestart(OURS),
            prestart(&format!("{DOCKERDS},{DOCKERDS}")),
            prestart(&format!("{DOCKERDS},7"))[1..].to_owned(),
        ] {
            let folder = bundle("other", other.as_bytes());
            replace(&folder).unwrap();
            assert_eq!(fs::read_to_string(folder.join(CONFIG)).unwrap(), other);
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn a_bundle_keeps_its_mode_and_has_no_other_file() {
        let folder = bundle("mode", prestart(DOCKERDS).as_bytes());
        let path = folder.join(CONFIG);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&folder).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), prestart(OURS));
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_read_or_replaced_stays() {
        let bytes = [prestart(DOCKERDS).as_bytes(), &[0xff]].concat();
        let folder = bundle("bytes", &bytes);
        let kind = replace(&folder).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::InvalidData);
        assert_eq!(fs::read(folder.join(CONFIG)).unwrap(), bytes);

        let whole = prestart(DOCKERDS);
        fs::write(folder.join(CONFIG), &whole).unwrap();
        fs::create_dir(folder.join(PART)).unwrap();
        let kind = replace(&folder).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::IsADirectory);
        assert_eq!(fs::read_to_string(folder.join(CONFIG)).unwrap(), whole);
        fs::remove_dir_all(&folder).unwrap();

        let kind = replace(&folder).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::NotFound);
    }
}
