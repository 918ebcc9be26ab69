//! TLS to the receiver, whose certificate must be signed by the configured CA.

use crate::counted::Counted;
use crate::link::require_open;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

/// A connection over TLS.
pub(crate) struct Tls(StreamOwned<ClientConnection, Counted>);

impl Tls {
    /// Performs the TLS handshake with `host` over `stream`; `ca` is in PEM.
    ///
    /// # Errors
    /// When the receiver cannot be authenticated.
    pub(crate) fn open(mut stream: Counted, host: &str, ca: &str) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = Arc::new(config(ca)?);
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self(StreamOwned::new(connection, stream)))
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// # Errors
    /// When the connection is broken, or the receiver has closed it.
    pub(crate) fn require_open(&mut self) -> io::Result<()> {
        let StreamOwned { conn, sock } = &mut self.0;
        require_open(sock.stream(), |mut sock| conn.read_tls(&mut sock))?;
        let state = conn.process_new_packets().map_err(io::Error::other)?;
        match state.peer_has_closed() {
            true => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the receiver has ended",
            )),
            false => Ok(()),
        }
    }

    pub(crate) fn stream(&self) -> &Counted {
        &self.0.sock
    }

    pub(crate) fn close(mut self) {
        self.0.conn.send_close_notify();
        // The other end notices the close either way.
        let _ = self.0.flush();
    }
}

fn config(ca: &str) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|error| io::Error::other(format!("ca: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| io::Error::other(format!("ca: {error}")))?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(config.with_no_client_auth())
}
