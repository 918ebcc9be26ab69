//! Tare's own image as a base.

use tare_image::Image;

use crate::builder::Base;
use crate::shape::{DiskFormat, Firmware};

impl From<&Image> for Base {
    fn from(image: &Image) -> Self {
        let (kernel, cmdline) = (image.kernel.clone(), image.cmdline.clone());
        Self {
            disk: image.raw.clone(),
            format: DiskFormat::Raw,
            direct: Some(Firmware::Direct {
                kernel,
                initrd: None,
                cmdline,
            }),
        }
    }
}
