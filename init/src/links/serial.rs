//! Links to serial adapters on USB (`60-serial.rules`).

use super::sysfs::Device;
use super::usb::Usb;
use super::{Folder, Links, path};
use std::path::Path;

/// Whether a terminal is a serial adapter, by its name.
pub(super) fn is_adapter(name: &str) -> bool {
    let number = name
        .strip_prefix("ttyUSB")
        .or_else(|| name.strip_prefix("ttyACM"));
    number.is_some_and(|number| number.starts_with(|char: char| char.is_ascii_digit()))
}

/// The links to all adapters that are present.
pub(super) fn links(sys: &Path) -> Links {
    let mut links = Links::default();
    let terminals = Device::of_class(sys, "tty").into_iter();
    terminals
        .filter(|terminal| is_adapter(&terminal.name()))
        .for_each(|adapter| add(&mut links, &adapter));
    links
}

fn add(links: &mut Links, adapter: &Device) {
    let node = adapter.name();
    let number = adapter
        .line()
        .into_iter()
        .find(|device| device.subsystem().as_deref() == Some("usb-serial"))
        .and_then(|port| port.text("port_number"));
    let port = number.map_or_else(String::new, |number| format!("-port{number}"));
    if let Some(path) = path::of(adapter) {
        links.add(Folder::SerialByPath, format!("{}{port}", path.path), &node);
    }
    if let Some(Usb {
        identifier,
        interface: Some(interface),
    }) = Usb::of(adapter)
    {
        let name = format!("usb-{identifier}-if{interface}{port}");
        links.add(Folder::SerialById, name, &node);
    }
}
