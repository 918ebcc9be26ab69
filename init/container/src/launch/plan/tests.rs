use super::*;
use crate::compile::{Users, compile};
use nix::mount::MsFlags;

fn bundle(toml: &str) -> Bundle {
    let service = tare_config::parse("service.toml", toml.as_bytes()).unwrap();
    Bundle {
        path: "/services/a".into(),
        spec: compile("a", &service, &Users::parse("")).unwrap(),
        filter: None,
    }
}

fn plan(toml: &str) -> Plan {
    Plan::of(&bundle(toml), &[], &[]).unwrap()
}

const LEAST: &str = include_str!("../../compile/golden/least.toml");
const ENGINE: &str = include_str!("../../compile/golden/engine.toml");

#[test]
fn a_service_has_its_own_namespaces_but_those_it_joins() {
    let least = plan(LEAST);
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    assert_eq!((least.namespaces, least.cgroup_namespace), (all, true));
    let engine = plan(ENGINE);
    let mount_only = (CloneFlags::CLONE_NEWNS, false);
    assert_eq!((engine.namespaces, engine.cgroup_namespace), mount_only);
}

#[test]
fn a_program_without_a_slash_is_looked_for() {
    for (program, path, want) in [
        (c"/bin/a", c"PATH=/usr/bin:/bin", vec![c"/bin/a"]),
        (c"./a", c"PATH=/usr/bin:/bin", vec![c"./a"]),
        (c"a", c"PATH=/usr/bin:/bin", vec![c"/usr/bin/a", c"/bin/a"]),
    ] {
        let environment = [c"HOME=/".to_owned(), path.to_owned()];
        let places = places(program, &environment).unwrap();
        assert_eq!(
            places.iter().map(|place| &**place).collect::<Vec<_>>(),
            want
        );
    }
}

#[test]
fn a_mount_is_in_the_words_of_the_kernel() {
    let engine = plan(ENGINE);
    let mount = |target: &CString| engine.mounts.iter().find(|m| m.target == *target).unwrap();
    let tmp = mount(&c"/tmp".to_owned());
    assert_eq!(tmp.fstype.as_deref(), Some(c"tmpfs"));
    assert_eq!(
        tmp.options.data,
        c"mode=755,size=67108864,uid=0,gid=0".to_owned()
    );
    assert_eq!(tmp.options.flags, MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    let volume = mount(&c"/var/lib/docker".to_owned());
    assert_eq!(
        (volume.fstype.as_deref(), volume.source.as_c_str()),
        (None, c"/state/volumes/engine")
    );
    assert_eq!(volume.options.propagation, MsFlags::MS_SHARED);
    let images = mount(&c"/run/images".to_owned());
    assert_eq!(
        (images.options.attributes(), images.options.recursive),
        (1, true)
    );
}

#[test]
fn capabilities_are_bits_by_number() {
    let identity = plan(ENGINE).identity;
    // CAP_NET_ADMIN 12, CAP_SYS_ADMIN 21, CAP_MKNOD 27
    let held = 1 << 12 | 1 << 21 | 1 << 27;
    assert_eq!((identity.bounding, identity.permitted), (held, held));
    assert_eq!(
        (identity.effective, identity.inheritable, identity.ambient),
        (held, 0, 0)
    );
}

#[test]
fn what_the_launcher_adds_comes_last() {
    let added = (["eth0".to_owned()], ["STATE_DEVICE=/dev/vda4".to_owned()]);
    let plan = Plan::of(&bundle(LEAST), &added.0, &added.1).unwrap();
    assert_eq!(
        plan.argv,
        [c"/usr/bin/least".to_owned(), c"eth0".to_owned()]
    );
    assert_eq!(
        plan.envp.last(),
        Some(&c"STATE_DEVICE=/dev/vda4".to_owned())
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = bundle(LEAST);
        change(&mut bundle);
        Plan::of(&bundle, &[], &[]).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|bundle| *bundle.spec.process_mut() = None),
        "spec: `process` is missing"
    );
    assert_eq!(
        refused(&|bundle| {
            let mount = &mut bundle.spec.mounts_mut().as_mut().unwrap()[0];
            mount.set_options(Some(vec!["bind".into(), "size=1".into()]));
        }),
        "spec: mount on /proc: a bind mount takes no option `size=1`"
    );
    assert_eq!(
        refused(&|bundle| {
            let process = bundle.spec.process_mut().as_mut().unwrap();
            process.set_args(Some(vec!["/bin/a\0b".into()]));
        }),
        "spec: `/bin/a\\u{0}b` holds a NUL byte"
    );
}

#[test]
fn an_added_variable_replaces_one_of_the_service() {
    let strings = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    for (own, added, want) in [
        ("HOME=/root PATH=/bin", "HOME=/x", "PATH=/bin HOME=/x"),
        ("HOME=/root", "HOMES=/x", "HOME=/root HOMES=/x"),
        ("A=1=2 B=", "A= C=3", "B= A= C=3"),
    ] {
        let (own, added) = (strings(own), strings(added));
        let merged: Vec<&String> = merged(own.iter(), &added).collect();
        assert_eq!(merged, strings(want).iter().collect::<Vec<_>>());
    }
}
