//! Every path PID 1 knows, each with its reason. The paths that services see are in [`tare_container::paths`].

/// Bundles of the image's services, one folder each.
pub(crate) const SERVICES: &str = "/services";
/// The image's own layer of configuration.
pub(crate) const DEFAULTS: &str = "/usr/share/tare/defaults.toml";
/// Time zones, where logins can show any of them.
pub(crate) const ZONES: &str = "/services/ssh/rootfs/usr/share/zoneinfo";
/// Kernel modules, one folder per kernel release.
pub(crate) const MODULES: &str = "/usr/lib/modules";
/// Where the state partition, or memory in its place, is mounted.
pub(crate) const STATE: &str = "/state";
/// The generations of the configuration.
pub(crate) const GENERATIONS: &str = "/state/config";
/// The file of swap.
pub(crate) const SWAP: &str = "/state/swap";
/// Credentials that commands have set, a file each.
pub(crate) const CREDENTIALS: &str = "/state/credentials";
/// The machine's identity, made at its first boot (`machine-id(5)`).
pub(crate) const MACHINE_ID: &str = "/state/machine-id";
/// Where a NoCloud disk is mounted while it is read.
pub(crate) const NOCLOUD: &str = "/run/tare/nocloud";
/// Where the boot partition is mounted while it is read.
pub(crate) const ESP: &str = "/run/tare/esp";
/// Its folder of credentials (systemd-stub(7)).
pub(crate) const CREDENTIALS_ON_ESP: &str = "loader/credentials";
/// Tables of SMBIOS, one folder each.
pub(crate) const DMI: &str = "/sys/firmware/dmi/entries";
/// Credentials from QEMU's `-fw_cfg name=opt/io.systemd.credentials/NAME`, one folder each.
pub(crate) const FW_CFG_CREDENTIALS: &str =
    "/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials";
/// User-data from QEMU's `-fw_cfg name=opt/tare/user-data`.
pub(crate) const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/tare/user-data";
