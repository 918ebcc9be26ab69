//! Tare's own image as a base.

use tare_image::Image;

use crate::builder::Base;
use crate::shape::{DiskFormat, Firmware};

/// Room for images and volumes: the state partition grows to the disk's end. The file is sparse.
const DISK_SIZE: u64 = 8 << 30;

impl From<&Image> for Base {
    fn from(image: &Image) -> Self {
        let (kernel, cmdline) = (image.kernel.clone(), image.cmdline.clone());
        Self {
            disk: image.raw.clone(),
            format: DiskFormat::Raw,
            size: Some(DISK_SIZE),
            direct: Some(Firmware::Direct {
                kernel,
                initrd: None,
                cmdline,
            }),
        }
    }
}
