//! The root file system of the host: PID 1, kernel modules, and a bundle for each service.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tare_config::Service;
use tare_container::seccomp::Profile;
use tare_container::{Users, compile, mount_points, to_json};

use crate::binaries::Binary;
use crate::rootfs::Rootfs;
use crate::rootfs::tree::{Content, Node, Tree};

/// The version of Tare, which is that of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folders and links that the host's root starts with; PID 1 mounts on the empty ones.
pub(crate) fn skeleton() -> Tree {
    let mut tree = Tree::default();
    for path in [
        "dev",
        "etc",
        "run",
        "services",
        "state",
        "usr/lib",
        "usr/sbin",
        "usr/share/tare",
    ] {
        tree.put(path, Node::directory(0o755));
    }
    for path in ["proc", "sys"] {
        tree.put(path, Node::directory(0o555));
    }
    tree.put("tmp", Node::directory(0o1777));
    tree.put("lib", Node::symlink("usr/lib"));
    tree.put("sbin", Node::symlink("usr/sbin"));
    tree.put_text("usr/lib/os-release", 0o644, &os_release());
    tree.put("etc/os-release", Node::symlink("../usr/lib/os-release"));
    tree
}

/// os-release(5); systemd-boot shows the pretty name, too.
pub(crate) fn os_release() -> String {
    format!(
        "NAME=Tare\nID=tare\nVERSION_ID={VERSION}\nPRETTY_NAME=\"Tare {VERSION}\"\n\
         IMAGE_ID=tare\nIMAGE_VERSION={VERSION}\n"
    )
}

/// Installs PID 1. The kernel runs the same program as `/sbin/modprobe` when it needs a module.
pub(crate) fn add_init(tree: &mut Tree, init: &Binary) -> Result<()> {
    let content = Content::of_file(&init.path)?;
    tree.put("sbin/init", Node::file(0o755, content));
    tree.put("sbin/modprobe", Node::symlink("init"));
    Ok(())
}

/// Adds the OCI bundle of every service, each with the root filesystem of its name in `rootfs`, or
/// of the service it names as `from`.
///
/// # Errors
/// A service cannot become a container.
pub(crate) fn add_services(
    tree: &mut Tree,
    services: &BTreeMap<String, Service>,
    rootfs: &BTreeMap<String, Rootfs>,
) -> Result<()> {
    for (name, service) in services {
        let source = service.image.from.as_ref().unwrap_or(name);
        let rootfs = rootfs
            .get(source)
            .with_context(|| format!("service {name}: no root filesystem {source}"))?;
        let bundle = bundle(name, service, rootfs.tree.clone())
            .with_context(|| format!("bundle of service {name}"))?;
        tree.graft(&format!("services/{name}"), &bundle);
    }
    Ok(())
}

/// The contents of `/services/NAME`.
fn bundle(name: &str, service: &Service, mut rootfs: Tree) -> Result<Tree> {
    let passwd = rootfs.read("etc/passwd")?.unwrap_or_default();
    let users = Users::parse(&String::from_utf8_lossy(&passwd));
    let spec = compile(name, service, &users)?;
    for target in mount_points(&spec) {
        rootfs.ensure_directory(&target, 0o755);
    }
    let mut bundle = Tree::default();
    bundle.put_text("config.json", 0o644, &to_json(&spec)?);
    bundle.put_text(
        "service.json",
        0o644,
        &serde_json::to_string_pretty(service)?,
    );
    if let Some(profile) = Profile::of(service) {
        let program = Content::of_bytes(profile.program());
        bundle.put("seccomp.bpf", Node::file(0o644, program));
    }
    bundle.graft("rootfs", &rootfs);
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> Service {
        tare_config::parse("test", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_bundle_has_what_a_runtime_needs() {
        let service = service(
            "description = 'x'\n[process]\nargs = ['/x']\n\
             [[mounts]]\nvolume = 'v'\ntarget = '/data/v'\n",
        );
        let bundle = bundle("x", &service, Tree::default()).unwrap();
        for path in [
            "config.json",
            "service.json",
            "seccomp.bpf",
            "rootfs/data/v",
            "rootfs/proc",
        ] {
            assert!(bundle.get(path).is_some(), "{path}");
        }
    }

    #[test]
    fn the_host_runs_one_program() {
        let mut tree = skeleton();
        let init = Binary {
            package: "tare-init".to_owned(),
            name: "init".to_owned(),
            path: std::env::current_exe().unwrap(),
        };
        add_init(&mut tree, &init).unwrap();
        let runs = |node: &Node| {
            matches!(node.kind, crate::rootfs::tree::Kind::File(_)) && node.mode & 0o111 != 0
        };
        let programs: Vec<_> = tree.iter().filter(|(_, node)| runs(node)).collect();
        assert_eq!(programs.len(), 1);
        assert_eq!(programs[0].0, "usr/sbin/init");
    }
}
