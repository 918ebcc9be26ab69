//! `tare secret`: credentials on the machine's state.

use crate::Failed;
use crate::args::SecretCommand;
use crate::run::Context;
use std::io::{self, IsTerminal, Read};
use tare_config::machine::{CredentialName, SecretBytes};
use tare_control::{Hidden, ListSecrets, Method, Nothing};

pub(crate) fn secret(context: &Context, command: &SecretCommand) -> Result<(), Failed> {
    match command {
        SecretCommand::Set { name } => {
            check(name)?;
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(Failed::NotSo(format!(
                    "a terminal would show the secret: write `tare secret set {name} < FILE`"
                )));
            }
            let value = Hidden(read(stdin.lock())?.to_base64());
            let name = name.clone();
            done(context, &Method::SetSecret { name, value })
        }
        SecretCommand::List => {
            let told: ListSecrets = context.call(&Method::ListSecrets {})?;
            context.show(&told, |told, _| {
                let lines = told.names.iter().map(|name| format!("{name}\n"));
                lines.collect()
            })
        }
        SecretCommand::Remove { name } => {
            check(name)?;
            let name = name.clone();
            done(context, &Method::RemoveSecret { name })
        }
    }
}

fn done(context: &Context, method: &Method) -> Result<(), Failed> {
    let done: Nothing = context.call(method)?;
    context.show(&done, |_, _| String::new())
}

fn check(name: &str) -> Result<(), Failed> {
    CredentialName::try_from(name.to_owned())
        .map(drop)
        .map_err(Failed::NotSo)
}

fn read(input: impl Read) -> Result<SecretBytes, Failed> {
    let mut bytes = Vec::new();
    input
        .take(SecretBytes::MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failed::NotSo(format!("standard input: {error}")))?;
    match bytes.len() {
        0 => Err(Failed::NotSo("standard input is empty".to_owned())),
        length if length > SecretBytes::MAX => Err(Failed::NotSo(format!(
            "standard input has more than {} bytes",
            SecretBytes::MAX
        ))),
        _ => Ok(SecretBytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_standard_input_holds() {
        let most = vec![b'x'; SecretBytes::MAX];
        let longer = vec![b'x'; SecretBytes::MAX + 1];
        for (input, want) in [
            (&b"hunter2\n"[..], Ok(SecretBytes(b"hunter2\n".to_vec()))),
            (b"", Err("standard input is empty")),
            (&most[..], Ok(SecretBytes(most.clone()))),
            (&longer[..], Err("standard input has more than 65536 bytes")),
        ] {
            let got = read(input).map_err(|failed| failed.to_string());
            assert_eq!(got, want.map_err(str::to_owned));
        }
        assert!(check("a.b").is_ok() && check("a/b").is_err());
    }
}
