//! Certificates for servers of tests.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Makes, in `folder`, a CA called `authority` (`ca.pem`) and the certificate of a server on `host`, an address or a
/// name, that it signed (`server.pem` and `server.key`).
///
/// # Errors
/// They cannot be made.
pub fn make(folder: &Path, authority: &str, host: &str) -> Result<()> {
    let name = match host.parse::<IpAddr>() {
        Ok(_) => format!("subjectAltName=IP:{host}"),
        Err(_) => format!("subjectAltName=DNS:{host}"),
    };
    let subject = format!("/CN={authority}");
    let new = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
    ];
    let authority = ["-subj", &subject, "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(folder, &[&new[..], &authority].concat())?;
    let signed = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let server = [
        "-subj",
        "/CN=server",
        "-addext",
        &name,
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
    ];
    openssl(folder, &[&new[..], &signed, &server].concat())
}

fn openssl(folder: &Path, words: &[&str]) -> Result<()> {
    let mut openssl = Command::new("openssl");
    let made = openssl.args(words).current_dir(folder).output();
    let made = made.context("openssl is not installed")?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "openssl {}: {said}", words.join(" "));
    Ok(())
}
