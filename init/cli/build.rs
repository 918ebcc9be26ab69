//! Puts the descriptions of the image's services into the command, so that it can check user-data on any machine.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../system-services");
    let mut names: Vec<String> = fs::read_dir(&folder)?
        .flatten()
        .filter(|entry| entry.path().join("service.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let mut code = "const SERVICES: &[(&str, &str)] = &[\n".to_owned();
    for name in names {
        let path = folder.join(&name).join("service.toml").canonicalize()?;
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(code, "    ({name:?}, include_str!({path:?})),")?;
    }
    code += "];\n";
    println!("cargo::rerun-if-changed={}", folder.display());
    fs::write(Path::new(&env::var("OUT_DIR")?).join("services.rs"), code)?;
    Ok(())
}
