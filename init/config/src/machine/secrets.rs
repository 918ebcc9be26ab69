//! The secrets of a machine: which it refers to, and the machine with what they hold.

use super::{File, Job, Machine, Reference, SecretBytes, SecretValues};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Looks up what references hold, and keeps what is wrong with them.
pub(super) struct Lookup<'v> {
    values: &'v SecretValues,
    problems: Vec<String>,
}

impl Lookup<'_> {
    /// What `take` makes of the secret of `key`. If it cannot be read or used, that is a problem of `key`, which `cost`
    /// completes, to follow a semicolon.
    pub(super) fn get<T>(
        &mut self,
        key: &str,
        reference: &Reference,
        cost: &str,
        take: impl FnOnce(&SecretBytes) -> Result<T, String>,
    ) -> Option<T> {
        let found = match self.values.get(reference) {
            Some(Ok(bytes)) => take(bytes),
            Some(Err(why)) => Err(why.clone()),
            None => Err("has not been read yet".to_owned()),
        };
        found
            .map_err(|why| {
                self.problems
                    .push(format!("{key}: {reference} {why}; {cost}"));
            })
            .ok()
    }
}

impl Machine {
    /// Where its secrets are kept.
    #[must_use]
    pub fn references(&self) -> BTreeSet<Reference> {
        let engine = self.engine.reference().into_iter();
        let registries = self.registries.references().cloned();
        let files = self.files.values().filter_map(File::reference);
        let apps = self.apps.values().flat_map(|app| app.references());
        let jobs = self.jobs.values().flat_map(Job::references);
        engine
            .chain(registries)
            .chain(files.cloned())
            .chain(apps)
            .chain(jobs.cloned())
            .collect()
    }

    /// This machine with what `values` hold in place of its references, and a sentence for each that is missing or
    /// useless: it costs what cannot be without it.
    #[must_use]
    pub fn with_secrets(&self, values: &SecretValues) -> (Cow<'_, Self>, Vec<String>) {
        if self.references().is_empty() {
            return (Cow::Borrowed(self), Vec::new());
        }
        let mut machine = self.clone();
        let mut lookup = Lookup {
            values,
            problems: Vec::new(),
        };
        machine.engine.fill(&mut lookup);
        machine.registries.fill(&mut lookup);
        machine
            .files
            .retain(|path, file| file.fill(path, &mut lookup));
        for (name, app) in &mut machine.apps {
            app.fill(name, &mut lookup);
        }
        for (name, job) in &mut machine.jobs {
            job.fill(name, &mut lookup);
        }
        (Cow::Owned(machine), lookup.problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> Machine {
        crate::parse("t", text.as_bytes()).unwrap()
    }

    fn reference(value: &str) -> Reference {
        let table: toml::Table = format!("a = {value}").parse().unwrap();
        table["a"].clone().try_into().unwrap()
    }

    fn values(values: &[(&str, Result<&str, &str>)]) -> SecretValues {
        let value = |(name, value): &(&str, Result<&str, &str>)| {
            let value = value.map(|text| SecretBytes(text.as_bytes().to_vec()));
            (
                reference(&format!("{{ credential = '{name}' }}")),
                value.map_err(str::to_owned),
            )
        };
        values.iter().map(value).collect()
    }

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    const ENGINE: &str = "[engine]\nhosts = ['tcp://10.0.0.1:2376']\ntlsverify = true\ntlscacert = '/srv/ca'\n\
        tlscert = '/srv/cert'\ntlskey = ";

    #[test]
    fn what_refers_to_secrets_gets_them() {
        for (with, holds, without) in [
            (
                "registries.a = { username = 'u', password = { credential = 'a' } }".to_owned(),
                "word\n",
                "registries.a = { username = 'u', password = 'word' }".to_owned(),
            ),
            (
                "files.'/srv/a' = { text = { credential = 'a' }, mode = '0600' }".to_owned(),
                "word\n",
                "files.'/srv/a' = { text = \"word\\n\", mode = '0600' }".to_owned(),
            ),
            (
                "files.'/srv/a' = { base64 = { credential = 'a' } }".to_owned(),
                "d29y\nZA==\n",
                "files.'/srv/a' = { base64 = \"d29y\\nZA==\\n\" }".to_owned(),
            ),
            (
                "apps.a.services.w.environment = { P = { credential = 'a' }, Q = 'q' }".to_owned(),
                "w${o}$rd\n",
                "apps.a.services.w.environment = { P = 'w$${o}$$rd', Q = 'q' }".to_owned(),
            ),
            (
                "jobs.a = { schedule = '1h', image = 'x', environment = { P = { credential = 'a' }, Q = '$q' } }".to_owned(),
                "w$rd\n",
                "jobs.a = { schedule = '1h', image = 'x', environment = { P = 'w$rd', Q = '$q' } }".to_owned(),
            ),
            (
                format!("{ENGINE}{{ credential = 'a' }}"),
                KEY,
                format!("{ENGINE}'''{KEY}'''"),
            ),
        ] {
            let with = machine(&with);
            assert_eq!(
                with.references(),
                BTreeSet::from([reference("{ credential = 'a' }")])
            );
            let (filled, problems) = with.with_secrets(&values(&[("a", Ok(holds))]));
            assert_eq!((filled.into_owned(), problems), (machine(&without), Vec::new()));
        }
    }

    #[test]
    fn bytes_that_are_no_text_make_a_file() {
        let machine = machine("files.'/srv/a' = { text = { credential = 'a' } }");
        let values = [(
            reference("{ credential = 'a' }"),
            Ok(SecretBytes(vec![0, 255])),
        )];
        let (filled, problems) = machine.with_secrets(&values.into());
        assert_eq!(problems, [""; 0]);
        let contents: Vec<Vec<u8>> = filled.files.values().map(|file| file.contents()).collect();
        assert_eq!(contents, [vec![0, 255]]);
    }

    #[test]
    fn what_is_missing_or_useless_costs_what_cannot_be_without_it() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (with, holds, without, problem) in [
            (
                "[registries]\na = { username = 'u', password = { credential = 'a' }, insecure = true }\nb = { insecure = true }"
                    .to_owned(),
                Err("is not there"),
                "registries = { a = { insecure = true }, b = { insecure = true } }".to_owned(),
                "registries.\"a\".password: credential a is not there; apps do not log in there",
            ),
            (
                "files = { '/srv/a' = { text = { credential = 'a' } }, '/srv/b' = { text = '' } }".to_owned(),
                Err("is not there"),
                "files.'/srv/b'.text = ''".to_owned(),
                "files.\"/srv/a\": credential a is not there; the file is not written",
            ),
            (
                format!("files.'/srv/a' = {{ text = {{ credential = 'a' }}, sha256 = '{sum}' }}"),
                Ok("hunter2"),
                String::new(),
                "files.\"/srv/a\": credential a has another SHA-256; the file is not written",
            ),
            (
                "files.'/srv/a' = { base64 = { credential = 'a' } }".to_owned(),
                Ok("hunter2"),
                String::new(),
                "files.\"/srv/a\": credential a is not base64; the file is not written",
            ),
            (
                "apps.a.services.w.environment.P = { credential = 'a' }".to_owned(),
                Err("is not there"),
                "apps.a.services.w.environment.P = '${TARE_SECRET:?credential a is missing or useless: see `tare status`}'".to_owned(),
                "apps.a.services.w.environment.P: credential a is not there; the app does not start",
            ),
            (
                "jobs.a = { schedule = '1h', image = 'x', environment.P = { credential = 'a' } }".to_owned(),
                Ok("a\0"),
                "jobs.a = { schedule = '1h', image = 'x', environment.P = { credential = 'a' } }".to_owned(),
                "jobs.a.environment.P: credential a holds a NUL byte; its runs fail",
            ),
            (
                format!("{ENGINE}{{ credential = 'a' }}\nmtu = 1400"),
                Ok("hunter2"),
                "engine.mtu = 1400".to_owned(),
                "engine.tlskey: credential a holds no private key in PEM; the engine does without TLS and without `hosts`",
            ),
            (
                format!("{ENGINE}{{ credential = 'a' }}"),
                Ok("/srv/key PRIVATE KEY-----"),
                String::new(),
                "engine.tlskey: credential a holds no private key in PEM; the engine does without TLS and without `hosts`",
            ),
        ] {
            let with = machine(&with);
            let (filled, problems) = with.with_secrets(&values(&[("a", holds)]));
            assert_eq!(*filled, machine(&without));
            assert_eq!(problems, [problem]);
        }
    }

    #[test]
    fn an_app_that_lacks_a_secret_says_so_in_words_that_compose_reads() {
        let app = machine("apps.a.services.w.environment.P = { file = '/srv/a}b$c' }");
        let (filled, _) = app.with_secrets(&SecretValues::new());
        let want = "apps.a.services.w.environment.P = '${TARE_SECRET:?file /srv/abc is missing or useless: see `tare status`}'";
        assert_eq!(*filled, machine(want));
    }
}
