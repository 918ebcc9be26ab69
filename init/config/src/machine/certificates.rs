//! Certificates in PEM (RFC 7468).

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The key `ca-certificates`: texts with one or more certificates each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct CaCertificates(Vec<String>);

impl CaCertificates {
    /// All of them in one text.
    #[must_use]
    pub fn pem(&self) -> String {
        let lines = self.0.iter().flat_map(|text| text.lines());
        lines.map(|line| format!("{line}\n")).collect()
    }
}

impl TryFrom<Vec<String>> for CaCertificates {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        for (index, text) in texts.iter().enumerate() {
            check(text).map_err(|why| format!("ca-certificates[{index}] {why}"))?;
        }
        Ok(Self(texts))
    }
}

impl From<CaCertificates> for Vec<String> {
    fn from(certificates: CaCertificates) -> Self {
        certificates.0
    }
}

/// Checks the form of the certificates in `text`, not what they say. OpenSSL, and with it curl, trusts no CA if one
/// certificate of its file is cut off.
///
/// # Errors
/// What is wrong with `text`, to follow its name.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Err("holds a private key: only the certificate belongs here");
    }
    let blocks: Vec<&str> = text.split(BEGIN).skip(1).collect();
    if blocks.is_empty() {
        return Err("holds no certificate in PEM");
    }
    if !blocks.into_iter().all(is_whole) {
        return Err("holds a certificate that is cut off, or damaged");
    }
    Ok(())
}

/// `block` begins after the line [`BEGIN`].
fn is_whole(block: &str) -> bool {
    let Some((base64, _)) = block.split_once(END) else {
        return false;
    };
    let base64: String = base64.split_whitespace().collect();
    let der = BASE64.decode(base64.as_bytes());
    der.is_ok_and(|der| is_sequence(&der))
}

/// Whether `der` is one SEQUENCE, as a certificate is (RFC 5280, 4.1), with all of its content (X.690, 8.1.3).
fn is_sequence(der: &[u8]) -> bool {
    match der {
        [0x30, length @ ..=0x7f, content @ ..] | [0x30, 0x81, length, content @ ..] => {
            usize::from(*length) == content.len()
        }
        [0x30, 0x82, high, low, content @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) == content.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    fn block(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(der))
    }

    #[test]
    fn forms_of_certificates() {
        let damaged = Err("holds a certificate that is cut off, or damaged");
        let long = |length: u16, content: usize| {
            let [high, low] = length.to_be_bytes();
            block(&[&[0x30, 0x82, high, low][..], &vec![0; content]].concat())
        };
        let good = long(700, 700);
        for (text, want) in [
            (good.clone(), Ok(())),
            (
                good.replace("AAAA", "AA\r\n AA").replace(END, "-----END"),
                damaged,
            ),
            (good.replace("AAAA", "AA\r\n AA"), Ok(())),
            (format!("Subject: us\n{good}and\n{good}"), Ok(())),
            (block(&[0x30, 0]), Ok(())),
            (block(&[&[0x30, 0x81, 200][..], &[0; 200]].concat()), Ok(())),
            (String::new(), Err("holds no certificate in PEM")),
            (BEGIN.to_owned(), damaged),
            (format!("{good}{BEGIN}\nMAA=\n"), damaged),
            (format!("{BEGIN}\nMA*=\n{END}"), damaged),
            (long(700, 699), damaged),
            (long(700, 701), damaged),
            (block(b"hello"), damaged),
            (
                format!("{good}-----BEGIN EC PRIVATE KEY-----"),
                Err("holds a private key: only the certificate belongs here"),
            ),
        ] {
            assert_eq!(check(&text), want, "{text}");
        }
    }

    #[test]
    fn a_bad_one_is_named() {
        let good = block(&[0x30, 0]);
        let parse = |second: &str| {
            let text = format!("ca-certificates = ['''{good}''', '''{second}''']");
            crate::parse::<Machine>("u", text.as_bytes())
        };
        let machine = parse(good.trim_end()).unwrap();
        assert_eq!(machine.ca_certificates.pem(), format!("{good}{good}"));
        assert_eq!(
            parse("/etc/ssl/own.pem").unwrap_err().to_string(),
            "u:1:19: ca-certificates[1] holds no certificate in PEM"
        );
    }
}
