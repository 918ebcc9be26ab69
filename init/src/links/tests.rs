//! Links on a made-up sysfs. The names are those that udev gives such devices on Debian.

use super::{name, update};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Attributes of a device: name and value.
type Attributes<'a> = &'a [(&'a str, &'a [u8])];

/// A machine: its `/sys` and `/dev`.
struct Machine(PathBuf);

impl Machine {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tare-links-{}-{number}", std::process::id());
        let machine = Self(std::env::temp_dir().join(folder));
        fs::create_dir_all(machine.0.join("dev")).unwrap();
        machine
    }

    /// A device with the attributes of `what`: `subsystem[/DEVTYPE]`, then `NAME=VALUE`.
    fn device(&self, path: &str, what: &str, attributes: Attributes) -> &Self {
        let folder = self.0.join("sys/devices").join(path);
        if folder.join("uevent").exists() {
            return self;
        }
        fs::create_dir_all(&folder).unwrap();
        let (subsystem, kind) = what.split_once('/').unwrap_or((what, ""));
        let class = self.0.join("sys/class").join(subsystem);
        fs::create_dir_all(&class).unwrap();
        symlink(&class, folder.join("subsystem")).unwrap();
        let name = folder.file_name().unwrap();
        // Of a removed device with the same name.
        let _ = fs::remove_file(class.join(name));
        symlink(&folder, class.join(name)).unwrap();
        let mut uevent = format!("DEVTYPE={kind}\n").into_bytes();
        for (name, value) in attributes {
            match name.strip_prefix("uevent:") {
                Some(key) => uevent.extend([key.as_bytes(), b"=", value, b"\n"].concat()),
                None => {
                    let file = folder.join(name);
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(file, value).unwrap();
                }
            }
        }
        fs::write(folder.join("uevent"), uevent).unwrap();
        self
    }

    fn partition(&self, disk: &str, number: u32, label: &[u8], uuid: &[u8]) -> &Self {
        let name = Path::new(disk).file_name().unwrap().to_str().unwrap();
        let separator = if name.starts_with("nvme") { "p" } else { "" };
        let path = format!("{disk}/{name}{separator}{number}");
        let number = number.to_string();
        let attributes = [
            ("partition", number.as_bytes()),
            ("uevent:PARTNAME", label),
            ("uevent:PARTUUID", uuid),
        ];
        self.device(&path, "block/partition", &attributes)
    }

    /// A USB device in a port of the first controller, with an interface.
    fn usb(&self, port: &str, interface: Attributes, device: Attributes) -> String {
        let bus = format!("{PCI}/0000:00:14.0/usb1");
        let path = format!("{bus}/1-{port}");
        self.device(&format!("{PCI}/0000:00:14.0"), "pci", &[])
            .device(&bus, "usb/usb_device", &[])
            .device(&path, "usb/usb_device", device);
        let path = format!("{path}/1-{port}:1.0");
        self.device(&path, "usb/usb_interface", interface);
        path
    }

    /// A serial adapter with a driver of usb-serial.
    fn adapter(&self, port: &str, node: &str, device: Attributes) -> String {
        let interface: [(&str, &[u8]); 2] =
            [("bInterfaceClass", b"ff\n"), ("bInterfaceNumber", b"00\n")];
        let port = format!("{}/{node}", self.usb(port, &interface, device));
        self.device(&port, "usb-serial", &[("port_number", b"0\n")]);
        self.device(&format!("{port}/tty/{node}"), "tty", &[]);
        port
    }

    fn remove(&self, path: &str) {
        fs::remove_dir_all(self.0.join("sys/devices").join(path)).unwrap();
    }

    /// Updates the links, and returns all: each path below `/dev`, and where it leads.
    fn update(&self) -> BTreeMap<String, String> {
        let failures = update(&self.0.join("sys"), &self.0.join("dev"));
        assert_eq!(failures, Vec::<String>::new());
        let mut links = BTreeMap::new();
        collect(&self.0.join("dev"), "", &mut links);
        links
    }

    /// The names of links to `node` in a folder.
    fn names(&self, folder: &str, node: &str) -> Vec<String> {
        let links = self.update();
        let target = format!("../../{node}");
        let names = links.iter().filter(|(_, led)| **led == target);
        names
            .filter_map(|(path, _)| path.strip_prefix(folder)?.strip_prefix('/'))
            .map(ToOwned::to_owned)
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn collect(folder: &Path, prefix: &str, links: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match fs::read_link(entry.path()) {
            Ok(target) => drop(links.insert(path, target.to_str().unwrap().to_owned())),
            Err(_) => collect(&entry.path(), &format!("{path}/"), links),
        }
    }
}

const PCI: &str = "pci0000:00";

const QEMU_ADAPTER: [(&str, &[u8]); 5] = [
    ("idVendor", b"0403\n"),
    ("idProduct", b"6001\n"),
    ("manufacturer", b"QEMU\n"),
    ("product", b"QEMU USB SERIAL\n"),
    ("serial", b"1-0000:00:14.0-1\n"),
];

#[test]
fn the_serial_adapter_of_qemu() {
    let machine = Machine::new();
    let port = machine.adapter("1", "ttyUSB0", &QEMU_ADAPTER);
    machine.device("virtual/tty/tty1", "tty", &[]);
    let want = [
        (
            "serial/by-id/usb-QEMU_QEMU_USB_SERIAL_1-0000:00:14.0-1-if00-port0",
            "../../ttyUSB0",
        ),
        (
            "serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
            "../../ttyUSB0",
        ),
    ];
    let want = want.map(|(path, target)| (path.to_owned(), target.to_owned()));
    assert_eq!(machine.update(), BTreeMap::from(want));
    // Nothing changes if nothing has.
    assert_eq!(machine.update().len(), 2);
    machine.remove(&port);
    assert_eq!(machine.update(), BTreeMap::new());
}

#[test]
fn adapters_by_what_they_say_of_themselves() {
    let vendor: (&str, &[u8]) = ("idVendor", b"0403\n");
    let product: (&str, &[u8]) = ("idProduct", b"6001\n");
    let cases: [(Attributes, &str); 6] = [
        (
            &[
                ("manufacturer", b"FTDI\n"),
                ("product", b"FT232R USB UART\n"),
                ("serial", b"A6008isP\n"),
            ],
            "usb-FTDI_FT232R_USB_UART_A6008isP-if00-port0",
        ),
        // Without a serial number, and with odd characters.
        (
            &[
                ("manufacturer", b" M\xc3\xbcller & S\xf6hne  \n"),
                ("product", b"a/b\\c   d,e?\n"),
            ],
            "usb-M\u{fc}ller___S_hne_a_b_c_d_e_-if00-port0",
        ),
        // A serial number with a comma, or a control character, is not used.
        (
            &[
                ("manufacturer", b"A\n"),
                ("product", b"B\n"),
                ("serial", b"1,2\n"),
            ],
            "usb-A_B-if00-port0",
        ),
        (
            &[
                ("manufacturer", b"A\n"),
                ("product", b"B\n"),
                ("serial", b"1\x012\n"),
            ],
            "usb-A_B-if00-port0",
        ),
        (
            &[
                ("manufacturer", b"A\n"),
                ("product", b"B\n"),
                ("serial", b" a  b \n"),
            ],
            "usb-A_B_a_b-if00-port0",
        ),
        // It says nothing.
        (&[], "usb-0403_6001-if00-port0"),
    ];
    for (says, want) in cases {
        let machine = Machine::new();
        let device = [&[vendor, product], says].concat();
        machine.adapter("4.2", "ttyUSB7", &device);
        assert_eq!(machine.names("serial/by-id", "ttyUSB7"), [want]);
        let path = "pci-0000:00:14.0-usb-0:4.2:1.0-port0";
        assert_eq!(machine.names("serial/by-path", "ttyUSB7"), [path]);
    }
}

/// A modem has no port, for it has no driver of usb-serial.
#[test]
fn a_cdc_acm_adapter() {
    let machine = Machine::new();
    let interface: [(&str, &[u8]); 2] =
        [("bInterfaceClass", b"02\n"), ("bInterfaceNumber", b"02\n")];
    let stick: [(&str, &[u8]); 5] = [
        ("idVendor", b"1cf1\n"),
        ("idProduct", b"0030\n"),
        (
            "manufacturer",
            b"dresden elektronik ingenieurtechnik GmbH\n",
        ),
        ("product", b"ConBee II\n"),
        ("serial", b"DE2132111\n"),
    ];
    let path = machine.usb("2", &interface, &stick);
    machine.device(&format!("{path}/tty/ttyACM0"), "tty", &[]);
    let want = "usb-dresden_elektronik_ingenieurtechnik_GmbH_ConBee_II_DE2132111-if02";
    assert_eq!(machine.names("serial/by-id", "ttyACM0"), [want]);
    assert_eq!(
        machine.names("serial/by-path", "ttyACM0"),
        ["pci-0000:00:14.0-usb-0:2:1.0"]
    );
}

#[test]
fn of_two_devices_with_one_name_the_first_keeps_the_link() {
    let machine = Machine::new();
    let same: [(&str, &[u8]); 2] = [("manufacturer", b"A\n"), ("product", b"B\n")];
    let same = [
        &[("idVendor", &b"1\n"[..]), ("idProduct", b"2\n")],
        &same[..],
    ]
    .concat();
    let name = "usb-A_B-if00-port0";
    let first = machine.adapter("2", "ttyUSB1", &same);
    assert_eq!(machine.names("serial/by-id", "ttyUSB1"), [name]);
    machine.adapter("1", "ttyUSB0", &same);
    assert_eq!(machine.names("serial/by-id", "ttyUSB1"), [name]);
    machine.remove(&first);
    assert_eq!(machine.names("serial/by-id", "ttyUSB0"), [name]);
}

#[test]
fn a_virtio_disk_with_partitions() {
    let machine = Machine::new();
    let disk = format!("{PCI}/0000:00:04.0/virtio1/block/vda");
    machine
        .device(&format!("{PCI}/0000:00:04.0"), "pci", &[])
        .device(&format!("{PCI}/0000:00:04.0/virtio1"), "virtio", &[])
        .device(&disk, "block/disk", &[("serial", b"my data")])
        .partition(
            &disk,
            1,
            b"EFI System/1",
            b"5d2d0dba-6a7a-4f1c-9a4b-8f9a3e0a0001",
        )
        .device("virtual/block/loop0", "block/disk", &[("serial", b"x")]);
    assert_eq!(machine.names("disk/by-id", "vda"), ["virtio-my_data"]);
    assert_eq!(
        machine.names("disk/by-id", "vda1"),
        ["virtio-my_data-part1"]
    );
    let paths = ["pci-0000:00:04.0-part1", "virtio-pci-0000:00:04.0-part1"];
    assert_eq!(machine.names("disk/by-path", "vda1"), paths);
    let uuid = "5d2d0dba-6a7a-4f1c-9a4b-8f9a3e0a0001";
    assert_eq!(machine.names("disk/by-partuuid", "vda1"), [uuid]);
    assert_eq!(
        machine.names("disk/by-partlabel", "vda1"),
        ["EFI\\x20System\\x2f1"]
    );
    assert_eq!(
        machine.names("disk/by-partuuid", "vda"),
        Vec::<String>::new()
    );
    let all = machine.update();
    assert!(
        all.values().all(|target| target != "../../loop0"),
        "{all:?}"
    );
    machine.remove(&format!("{disk}/vda1"));
    assert_eq!(machine.names("disk/by-id", "vda1"), Vec::<String>::new());
    assert_eq!(machine.names("disk/by-id", "vda"), ["virtio-my_data"]);
}

#[test]
fn an_nvme_disk() {
    let machine = Machine::new();
    let controller = format!("{PCI}/0000:00:05.0/nvme/nvme0");
    let says: [(&str, &[u8]); 2] = [
        ("model", b"QEMU NVMe  Ctrl                         \n"),
        ("serial", b"deadbeef            \n"),
    ];
    let disk = format!("{controller}/nvme0n1");
    machine
        .device(&format!("{PCI}/0000:00:05.0"), "pci", &[])
        .device(&controller, "nvme", &says)
        .device(
            &disk,
            "block/disk",
            &[("wwid", b"eui.0025\n"), ("nsid", b"1\n")],
        )
        .device(
            &format!("{controller}/nvme0c0n1"),
            "block/disk",
            &[("hidden", b"1\n")],
        )
        .partition(&disk, 2, b"data", b"00000000-01");
    let names = [
        "nvme-QEMU_NVMe_Ctrl_deadbeef",
        "nvme-QEMU_NVMe__Ctrl_deadbeef",
        "nvme-QEMU_NVMe__Ctrl_deadbeef_1",
        "nvme-eui.0025",
    ];
    assert_eq!(machine.names("disk/by-id", "nvme0n1"), names);
    assert_eq!(
        machine.names("disk/by-id", "nvme0n1p2"),
        names.map(|name| format!("{name}-part2"))
    );
    assert_eq!(
        machine.names("disk/by-path", "nvme0n1"),
        ["pci-0000:00:05.0-nvme-1"]
    );
    assert_eq!(
        machine.names("disk/by-id", "nvme0c0n1"),
        Vec::<String>::new()
    );
}

/// A page of vital product data with these identifiers: code set, kind, text.
fn page(identifiers: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut page = vec![0, 0x83, 0, 0];
    for (code_set, kind, text) in identifiers {
        page.extend([*code_set, *kind, 0, text.len() as u8]);
        page.extend_from_slice(text);
    }
    page[3] = (page.len() - 4) as u8;
    page
}

/// A SCSI disk below `host`, which is below a PCI device.
fn scsi_disk(machine: &Machine, host: &str, says: Attributes) {
    let target = format!("{host}/target2:0:0");
    machine
        .device(&format!("{PCI}/0000:00:1f.2"), "pci", &[])
        .device(host, "scsi/scsi_host", &[])
        .device(&target, "scsi/scsi_target", &[])
        .device(&format!("{target}/2:0:0:0"), "scsi/scsi_device", says)
        .device(&format!("{target}/2:0:0:0/block/sda"), "block/disk", &[]);
}

#[test]
fn a_sata_disk() {
    let machine = Machine::new();
    let port = format!("{PCI}/0000:00:1f.2/ata3");
    machine.device(&port, "", &[("ata_port/ata3/port_no", b"3\n")]);
    let model = format!(
        "ATA     {:<40}{:<20}",
        "Samsung SSD 860 EVO 1TB", "S3Z8NB0K123456A"
    );
    let page = page(&[
        (2, 0, b"S3Z8NB0K123456A     "),
        (2, 1, model.as_bytes()),
        (1, 3, &[0x50, 0x02, 0x53, 0x8e, 0x40, 0x0a, 0xbc, 0xde]),
    ]);
    let says: [(&str, &[u8]); 3] = [
        ("vendor", b"ATA     \n"),
        ("model", b"Samsung SSD 860 \n"),
        ("vpd_pg83", &page),
    ];
    scsi_disk(&machine, &format!("{port}/host2"), &says);
    let names = [
        "ata-Samsung_SSD_860_EVO_1TB_S3Z8NB0K123456A",
        "wwn-0x5002538e400abcde",
    ];
    assert_eq!(machine.names("disk/by-id", "sda"), names);
    let paths = ["pci-0000:00:1f.2-ata-3", "pci-0000:00:1f.2-ata-3.0"];
    assert_eq!(machine.names("disk/by-path", "sda"), paths);
}

#[test]
fn scsi_disks_by_their_best_identifier() {
    let naa = [
        0x60, 0x01, 0x40, 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ];
    let extended = "36001405a0102030405060708090a0b0c";
    let vendor: (u8, u8, &[u8]) = (2, 0, b"drive-scsi0");
    let mut truncated = page(&[vendor]);
    truncated.pop();
    let unit: &[u8] = &[0, 0x80, 0, 4, b'A', b' ', b'9', 0];
    for (page, names) in [
        (
            page(&[vendor]),
            vec!["scsi-0QEMU_QEMU_HARDDISK_drive-scsi0".to_owned()],
        ),
        (
            page(&[vendor, (1, 3, &naa)]),
            vec![
                format!("scsi-{extended}"),
                format!("wwn-0x{}", &extended[1..]),
            ],
        ),
        // Those of a port do not count.
        (
            page(&[(1, 0x13, &naa), vendor]),
            vec!["scsi-0QEMU_QEMU_HARDDISK_drive-scsi0".to_owned()],
        ),
        (truncated, vec!["scsi-SQEMU_QEMU_HARDDISK_A_9".to_owned()]),
        (
            b"nonsense".to_vec(),
            vec!["scsi-SQEMU_QEMU_HARDDISK_A_9".to_owned()],
        ),
    ] {
        let machine = Machine::new();
        let says: [(&str, &[u8]); 4] = [
            ("vendor", b"QEMU    \n"),
            ("model", b"QEMU HARDDISK   \n"),
            ("vpd_pg83", &page),
            ("vpd_pg80", unit),
        ];
        let host = format!("{PCI}/0000:00:1f.2/host2");
        scsi_disk(&machine, &host, &says);
        assert_eq!(machine.names("disk/by-id", "sda"), names);
    }
}

#[test]
fn a_usb_disk() {
    let machine = Machine::new();
    let interface: [(&str, &[u8]); 3] = [
        ("bInterfaceClass", b"08\n"),
        ("bInterfaceSubClass", b"06\n"),
        ("bInterfaceNumber", b"00\n"),
    ];
    let stick: [(&str, &[u8]); 5] = [
        ("idVendor", b"0781\n"),
        ("idProduct", b"5583\n"),
        ("manufacturer", b"SanDisk Corp.\n"),
        ("product", b"Ultra Fit\n"),
        ("serial", b"4C530001\n"),
    ];
    let usb = machine.usb("3", &interface, &stick);
    let says: [(&str, &[u8]); 3] = [
        ("vendor", b"SanDisk \n"),
        ("model", b"Ultra Fit       \n"),
        ("vpd_pg83", b""),
    ];
    scsi_disk(&machine, &format!("{usb}/host2"), &says);
    assert_eq!(
        machine.names("disk/by-id", "sda"),
        ["usb-SanDisk_Ultra_Fit_4C530001-0:0"]
    );
    // The second host of the machine, but the first of this stick.
    let path = "pci-0000:00:14.0-usb-0:3:1.0-scsi-0:0:0:0";
    assert_eq!(machine.names("disk/by-path", "sda"), [path]);
}

#[test]
fn no_name_leads_out_of_its_folder() {
    let long = [b'x'; 4096];
    let hostile: [&[u8]; 8] = [
        b"../../../etc/passwd",
        b"/etc/passwd",
        b"..",
        b".",
        b"a\nb\nPARTUUID=../../x",
        b"a\0b",
        b"\xff\xfe",
        &long,
    ];
    for text in hostile {
        let machine = Machine::new();
        let stick = ["idVendor", "idProduct", "manufacturer", "product", "serial"];
        machine.adapter("1", "ttyUSB0", &stick.map(|name| (name, text)));
        let disk = format!("{PCI}/0000:00:04.0/virtio1/block/vda");
        machine
            .device(&format!("{PCI}/0000:00:04.0"), "pci", &[])
            .device(&format!("{PCI}/0000:00:04.0/virtio1"), "virtio", &[])
            .device(&disk, "block/disk", &[("serial", text)])
            .partition(&disk, 1, text, text);
        // Each is a name of one file in one of the folders.
        for (path, target) in machine.update() {
            assert_eq!(path.matches('/').count(), 2, "{path}");
            let name = path.rsplit('/').next().unwrap();
            assert!(name::is_file_name(name), "{path}");
            assert!(!path.contains(['\n', '\0']), "{path:?}");
            assert!(["../../ttyUSB0", "../../vda", "../../vda1"].contains(&target.as_str()));
        }
        let beside: Vec<_> = fs::read_dir(&machine.0).unwrap().flatten().collect();
        assert_eq!(beside.len(), 2, "{beside:?}");
        // Its path is not the device's choice.
        assert_eq!(machine.names("serial/by-path", "ttyUSB0").len(), 1);
    }
}

/// A container that may write to `/dev` makes a folder of links lead elsewhere.
#[test]
fn no_folder_leads_elsewhere() {
    let machine = Machine::new();
    machine.adapter("1", "ttyUSB0", &QEMU_ADAPTER);
    let elsewhere = machine.0.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    symlink("kept", elsewhere.join("link")).unwrap();
    fs::create_dir_all(machine.0.join("dev/serial")).unwrap();
    symlink(&elsewhere, machine.0.join("dev/serial/by-id")).unwrap();
    let failures = update(&machine.0.join("sys"), &machine.0.join("dev"));
    assert_eq!(
        failures,
        ["links in /dev/serial/by-id: ENOTDIR: Not a directory"]
    );
    let kept: Vec<_> = fs::read_dir(&elsewhere).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(machine.0.join("dev/serial/by-path").exists());
}
