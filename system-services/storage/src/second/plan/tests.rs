use super::*;

/// Disks as they stand in user-data, for example `data.match.serial = 'A'`. All are mounted below `/srv`.
fn disks(text: &str) -> Disks {
    let machine: tare_config::Machine = tare_config::parse("t", text.as_bytes()).unwrap();
    machine.disks
}

fn device(name: &str, disk: &str, serial: &str) -> Device {
    Device {
        name: name.to_owned(),
        number: "254:16".to_owned(),
        disk: disk.to_owned(),
        bytes: 100_000_000_000,
        serials: vec![serial.to_owned()],
        sequence: "7".to_owned(),
        paths: [
            format!("/dev/{name}"),
            format!("/dev/disk/by-id/virtio-{name}"),
        ]
        .into(),
        holders: Vec::new(),
        partitions: Vec::new(),
    }
}

/// `vda` is the system's; `vdb` and `vdc` are whole, `vdd` has a partition, `vde` is used by another device.
fn devices() -> Vec<Device> {
    vec![
        device("vda", "vda", "S"),
        device("vda4", "vda", "S"),
        device("vdb", "vdb", "B"),
        Device {
            bytes: 200_000_000_000,
            ..device("vdc", "vdc", "C")
        },
        Device {
            partitions: vec!["vdd1".to_owned()],
            ..device("vdd", "vdd", "D")
        },
        Device {
            bytes: 1_000_000,
            ..device("vdd1", "vdd", "D")
        },
        Device {
            holders: vec!["dm-1".to_owned()],
            ..device("vde", "vde", "E")
        },
        Device {
            bytes: 0,
            ..device("sdf", "sdf", "F")
        },
    ]
}

/// The name of the disk that is found for `a`, or why there is none; empty if there is none.
fn found(text: &str) -> Result<String, String> {
    let system = BTreeSet::from(["vda".to_owned()]);
    match find("a", &disks(text), &devices(), &system) {
        Found::One(device) => Ok(device.name),
        Found::Nothing => Ok(String::new()),
        Found::Refused(why) => Err(why),
    }
}

#[test]
fn one_disk_is_meant_or_none_is_used() {
    for (wanted, want) in [
        ("serial = 'B'", Ok("vdb")),
        ("id = 'virtio-vdb'", Ok("vdb")),
        ("path = '/dev/vdc'", Ok("vdc")),
        ("serial = 'B', size = '>=1GB'", Ok("vdb")),
        ("serial = 'B', size = '<=1GB'", Ok("")),
        ("serial = 'x'", Ok("")),
        ("serial = 'F'", Ok("")),
        ("size = '>=150GB'", Ok("vdc")),
        ("size = '>=1TB'", Ok("")),
        (
            "size = '<=150GB'",
            Err("vdb and vdd and vde match: add keys to `match` until only one does"),
        ),
        ("path = '/dev/vdd1'", Ok("vdd1")),
        (
            "serial = 'D'",
            Err("vdd has partitions: match one of vdd1 by its id or path"),
        ),
        ("serial = 'E'", Err("vde is in use by dm-1")),
        (
            "serial = 'S'",
            Err("vda is of the disk that the system runs from"),
        ),
        (
            "path = '/dev/vda4'",
            Err("vda4 is of the disk that the system runs from"),
        ),
    ] {
        let text = format!("[disks.a]\nmatch = {{ {wanted} }}\nmount = '/srv/a'");
        let want = want.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found(&text), want, "{wanted}");
    }
}

#[test]
fn a_disk_that_two_tables_mean_is_not_used() {
    for (other, want) in [
        ("serial = 'C'", Ok("vdb")),
        ("size = '>=1GB'", Err("vdb matches disks.b too")),
    ] {
        let text = format!(
            "[disks.a]\nmatch.serial = 'B'\nmount = '/srv/a'\n\
             [disks.b]\nmatch = {{ {other} }}\nmount = '/srv/b'"
        );
        let want = want.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found(&text), want, "{other}");
    }
}

#[test]
fn another_disk_under_the_same_name_is_another() {
    let before = device("vdb", "vdb", "B");
    assert!(before.is(&before.clone()));
    let after = Device {
        sequence: "8".to_owned(),
        ..before.clone()
    };
    assert!(!after.is(&before));
}

#[test]
fn a_disk_is_mounted_once() {
    let vdb = device("vdb", "vdb", "B");
    let mount = |number: &str, target: &str| Mounted {
        number: number.to_owned(),
        target: target.to_owned(),
    };
    for (mounts, want) in [
        (vec![], Place::Free),
        (vec![mount("254:4", "/srv")], Place::Free),
        (vec![mount("254:16", "/srv/a")], Place::Taken),
        (
            vec![mount("254:32", "/srv/a"), mount("254:16", "/srv/a")],
            Place::Taken,
        ),
        (
            vec![mount("254:32", "/srv/a")],
            Place::Refused("another file system is mounted on /srv/a".to_owned()),
        ),
        (
            vec![mount("254:16", "/srv/b")],
            Place::Refused("vdb stays mounted on /srv/b until the next boot".to_owned()),
        ),
    ] {
        assert_eq!(place("/srv/a", &vdb, &mounts), want);
    }
}

#[test]
fn only_what_is_blank_is_formatted() {
    let xfs = |label: &str| Content::FileSystem {
        kind: FileSystem::Xfs,
        label: label.to_owned(),
    };
    for (keys, content, want) in [
        (
            "format = 'ext4'",
            Content::Blank,
            Ok(Step::Format(FileSystem::Ext4)),
        ),
        ("", Content::Blank, Err("blank, and `format` is not set")),
        (
            "format = 'ext4'\nread-only = true",
            Content::Blank,
            Err("blank, and read-only"),
        ),
        ("", xfs(""), Ok(Step::Check(FileSystem::Xfs))),
        (
            "format = 'xfs'\nlabel = 'data'",
            xfs("data"),
            Ok(Step::Check(FileSystem::Xfs)),
        ),
        (
            "format = 'ext4'",
            xfs(""),
            Err("holds xfs, not ext4; refusing to touch it"),
        ),
        (
            "label = 'data'",
            xfs("old"),
            Err("holds xfs labelled \"old\", not \"data\"; refusing to touch it"),
        ),
        (
            "format = 'xfs'",
            Content::Other("crypto_LUKS".to_owned()),
            Err("holds crypto_LUKS; refusing to touch it"),
        ),
    ] {
        let text = format!("[disks.a]\nmatch.serial = 'B'\nmount = '/srv/a'\n{keys}");
        let disks = disks(&text);
        let step = step(disks.get("a").unwrap(), content);
        assert_eq!(step, want.map_err(str::to_owned), "{keys}");
    }
}

/// PID 1 writes JSON.
#[test]
fn tables_are_read_as_pid_1_writes_them() {
    let disks = disks("[disks.a]\nmatch.size = '>=1GB'\nformat = 'xfs'\nmount = '/srv/a'");
    let json = serde_json::to_string(&disks).unwrap();
    assert_eq!(serde_json::from_str::<Disks>(&json).unwrap(), disks);
}

#[test]
fn what_is_looked_for_is_said() {
    let disks = disks("[disks.a]\nmatch = { serial = 'B', size = '>=1GB' }\nmount = '/srv/a'");
    assert_eq!(wanted(disks.get("a").unwrap()), "serial B, size >=1GB");
}
