//! Converts a [`Shape`] to QEMU's command line, without I/O.

use std::path::Path;

use crate::shape::{ConsoleTo, Disk, DiskBus, DiskFormat, Firmware, Network, Shape, Watchdog};

/// The program.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// The monitor's socket, in the machine's folder.
pub(crate) const QMP_SOCKET: &str = "qmp.sock";
/// The name under which PID 1 looks for user-data in fw_cfg.
const FW_CFG_USER_DATA: &str = "opt/tare/user-data";

impl Shape {
    /// The arguments after the program's name; serial output is logged to `console_log`.
    pub fn argv(&self, console_log: &Path) -> Vec<String> {
        let mut argv = Argv::default();
        self.machine(&mut argv);
        firmware(&mut argv, &self.firmware);
        self.storage(&mut argv);
        for (index, network) in self.networks.iter().enumerate() {
            card(&mut argv, index, network);
        }
        self.devices(&mut argv);
        console(&mut argv, &self.console, console_log);
        argv.words.extend_from_slice(&self.extra);
        argv.words
    }

    fn machine(&self, argv: &mut Argv) {
        // Only what is named below: a default CD drive or floppy would cost boot time.
        argv.flag("-nodefaults");
        argv.option("-machine", "q35");
        argv.words
            .extend(self.acceleration.argv().map(str::to_owned));
        argv.option("-smp", self.cpus);
        argv.option("-m", format!("{}M", self.memory));
        argv.option("-display", "none");
        argv.option("-qmp", format!("unix:{QMP_SOCKET},server=on,wait=off"));
        if !self.reboots {
            argv.flag("-no-reboot");
        }
    }

    fn storage(&self, argv: &mut Argv) {
        let on = |bus| self.disks.iter().any(|disk| disk.bus == bus);
        if on(DiskBus::Scsi) {
            argv.device("virtio-scsi-pci,id=scsi");
        }
        if on(DiskBus::Usb) {
            argv.device("qemu-xhci,id=usb");
        }
        // The chipset's own AHCI has six ports.
        let mut sata_port = 0;
        for (index, disk) in self.disks.iter().enumerate() {
            argv.option("-blockdev", blockdev(index, disk));
            argv.device(format!(
                "{},drive=disk{index}{}",
                model(disk.bus, &mut sata_port),
                boot_order(index)
            ));
        }
    }

    fn devices(&self, argv: &mut Argv) {
        argv.option("-object", "rng-random,id=rng,filename=/dev/urandom");
        argv.device("virtio-rng-pci,rng=rng");
        if let Some(path) = &self.fw_cfg {
            argv.option(
                "-fw_cfg",
                format!("name={FW_CFG_USER_DATA},file={}", escaped(path)),
            );
        }
        if let Some(watchdog) = self.watchdog {
            argv.device("i6300esb");
            let action = match watchdog {
                Watchdog::Reset => "reset",
                Watchdog::PowerOff => "poweroff",
            };
            argv.option("-action", format!("watchdog={action}"));
        }
    }
}

fn firmware(argv: &mut Argv, firmware: &Firmware) {
    match firmware {
        Firmware::Uefi { code, vars } => {
            let flash = "if=pflash,format=raw";
            argv.option(
                "-drive",
                format!("{flash},unit=0,readonly=on,file={}", escaped(code)),
            );
            argv.option("-drive", format!("{flash},unit=1,file={}", escaped(vars)));
        }
        Firmware::Bios => {}
        Firmware::Direct {
            kernel,
            initrd,
            cmdline,
        } => {
            argv.option("-kernel", kernel.display());
            if let Some(initrd) = initrd {
                argv.option("-initrd", initrd.display());
            }
            argv.option("-append", cmdline);
        }
    }
}

fn blockdev(index: usize, disk: &Disk) -> String {
    let format = match disk.format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    // Flushes stop at the host's page cache: a guest loses nothing unless the host itself crashes, and then the
    // machine's disk is recreated.
    let access = if disk.read_only {
        "read-only=on"
    } else {
        "discard=unmap,cache.no-flush=on"
    };
    let file = escaped(&disk.path);
    format!("driver={format},node-name=disk{index},file.driver=file,file.filename={file},{access}")
}

fn model(bus: DiskBus, sata_port: &mut u32) -> String {
    let mut next_port = || {
        *sata_port += 1;
        *sata_port - 1
    };
    match bus {
        DiskBus::Virtio => "virtio-blk-pci".to_owned(),
        DiskBus::Nvme => "nvme,serial=tare".to_owned(),
        DiskBus::Sata => format!("ide-hd,bus=ide.{}", next_port()),
        DiskBus::Cd => format!("ide-cd,bus=ide.{}", next_port()),
        DiskBus::Scsi => "scsi-hd,bus=scsi.0".to_owned(),
        DiskBus::Usb => "usb-storage,bus=usb.0".to_owned(),
    }
}

/// Only the first disk is offered to the firmware, which would otherwise try the network too. QEMU itself uses index
/// 0 for a kernel that it loads.
fn boot_order(index: usize) -> &'static str {
    if index == 0 { ",bootindex=1" } else { "" }
}

fn card(argv: &mut Argv, index: usize, network: &Network) {
    let mut netdev = format!("user,id=net{index}");
    if let Some(subnet) = &network.subnet {
        netdev += &format!(",net={subnet}");
    }
    if network.isolated {
        netdev += ",restrict=on";
    }
    let guest = network
        .guest
        .map(|address| address.to_string())
        .unwrap_or_default();
    for forward in &network.forwards {
        netdev += &format!(
            ",hostfwd=tcp:127.0.0.1:{}-{guest}:{}",
            forward.host, forward.guest
        );
    }
    argv.option("-netdev", netdev);
    let card = network.card.as_deref().unwrap_or("virtio-net-pci");
    // Without its boot ROM, which would only slow the firmware down.
    argv.device(format!(
        "{card},netdev=net{index},mac=52:54:00:00:00:{:02x},romfile=",
        index + 1
    ));
}

fn console(argv: &mut Argv, console: &ConsoleTo, log: &Path) {
    let kind = match console {
        ConsoleTo::Terminal => "stdio,mux=on,signal=off".to_owned(),
        ConsoleTo::Pipe => "stdio,signal=off".to_owned(),
        ConsoleTo::Log => "null".to_owned(),
        ConsoleTo::Socket(path) => format!("socket,server=on,wait=off,path={}", escaped(path)),
    };
    let (backend, options) = kind.split_once(',').unwrap_or((&kind, ""));
    let separator = if options.is_empty() { "" } else { "," };
    argv.option(
        "-chardev",
        format!(
            "{backend},id=console{separator}{options},logfile={}",
            escaped(log)
        ),
    );
    argv.option("-serial", "chardev:console");
    if *console == ConsoleTo::Terminal {
        argv.option("-mon", "chardev=console,mode=readline");
    }
}

/// A comma separates QEMU's options; in a value it is written twice.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[derive(Default)]
struct Argv {
    words: Vec<String>,
}

impl Argv {
    fn flag(&mut self, flag: &str) {
        self.words.push(flag.to_owned());
    }

    fn option(&mut self, flag: &str, value: impl ToString) {
        self.flag(flag);
        self.words.push(value.to_string());
    }

    fn device(&mut self, device: impl ToString) {
        self.option("-device", device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Acceleration;
    use crate::ports::Forward;

    fn disk(path: &str, format: DiskFormat, bus: DiskBus, read_only: bool) -> Disk {
        Disk {
            path: path.into(),
            format,
            bus,
            read_only,
        }
    }

    fn uefi() -> Shape {
        Shape {
            acceleration: Acceleration::Tcg {
                cx16: true,
                parallel: true,
            },
            memory: 1024,
            cpus: 2,
            firmware: Firmware::Uefi {
                code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
                vars: "vars.fd".into(),
            },
            disks: vec![disk(
                "disk.qcow2",
                DiskFormat::Qcow2,
                DiskBus::Virtio,
                false,
            )],
            networks: vec![Network {
                forwards: vec![
                    Forward {
                        host: 2222,
                        guest: 22,
                    },
                    Forward { host: 0, guest: 80 },
                ],
                ..Network::default()
            }],
            fw_cfg: Some("user-data".into()),
            console: ConsoleTo::Terminal,
            watchdog: None,
            reboots: true,
            extra: Vec::new(),
        }
    }

    /// Every supported device.
    fn direct() -> Shape {
        Shape {
            acceleration: Acceleration::Kvm,
            firmware: Firmware::Direct {
                kernel: "/k/bzImage".into(),
                initrd: Some("/k/initrd".into()),
                cmdline: "console=ttyS0 quiet".to_owned(),
            },
            disks: vec![
                disk("a,b.raw", DiskFormat::Raw, DiskBus::Nvme, false),
                disk("sata.raw", DiskFormat::Raw, DiskBus::Sata, false),
                disk("scsi.raw", DiskFormat::Raw, DiskBus::Scsi, false),
                disk("usb.raw", DiskFormat::Raw, DiskBus::Usb, false),
                disk("seed.iso", DiskFormat::Raw, DiskBus::Cd, true),
            ],
            networks: vec![Network {
                card: Some("e1000e".to_owned()),
                subnet: Some("192.0.2.0/24".to_owned()),
                guest: Some([192, 0, 2, 10].into()),
                forwards: vec![Forward { host: 0, guest: 22 }],
                isolated: true,
            }],
            fw_cfg: None,
            console: ConsoleTo::Socket("/s/console".into()),
            watchdog: Some(Watchdog::Reset),
            reboots: false,
            extra: vec!["-snapshot".to_owned()],
            ..uefi()
        }
    }

    /// One option per line, for the reader.
    fn rendered(shape: &Shape) -> String {
        let words = shape.argv(Path::new("console.log"));
        let line_break = |word: &String| if word.starts_with('-') { "\n" } else { " " };
        words
            .iter()
            .map(|word| format!("{}{word}", line_break(word)))
            .collect::<String>()
            + "\n"
    }

    #[test]
    fn argv_of_a_machine_with_firmware() {
        assert_eq!(
            rendered(&uefi()).trim_start(),
            include_str!("golden/uefi.argv")
        );
    }

    #[test]
    fn argv_of_a_kernel_with_every_device() {
        assert_eq!(
            rendered(&direct()).trim_start(),
            include_str!("golden/direct.argv")
        );
    }

    #[test]
    fn consoles() {
        for (to, want) in [
            (ConsoleTo::Pipe, "stdio,id=console,signal=off,logfile=c.log"),
            (ConsoleTo::Log, "null,id=console,logfile=c.log"),
        ] {
            let mut argv = Argv::default();
            console(&mut argv, &to, Path::new("c.log"));
            assert_eq!(argv.words, ["-chardev", want, "-serial", "chardev:console"]);
        }
    }
}
