use super::*;
use crate::testing::Folder;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use std::os::unix::net::UnixDatagram;

#[test]
fn a_message_that_was_written_but_not_taken_is_known() {
    let folder = Folder::new("syslog-known");
    let (theirs, ours) = UnixDatagram::pair().unwrap();
    setsockopt(&ours, ReceiveTimestampns, &true).unwrap();
    let copy = || OwnedFd::from(ours.try_clone().unwrap());
    // The same twice: only the first has been written.
    for _ in 0..2 {
        theirs.send(b"<13>a: again").unwrap();
    }
    let mut bytes = [0; LONGEST];
    let mut syslog = Syslog::new(copy(), &folder.root()).unwrap();
    let found = syslog.receive(&mut bytes, true).unwrap();
    let after = Mark {
        done: found.number,
        dropped: 0,
    };
    syslog.ledger.settle(1, after).unwrap();
    let syslog = Syslog::new(copy(), &folder.root()).unwrap();
    let next = syslog.receive(&mut bytes, false).unwrap();
    assert!(next.number != found.number && next.sent > found.sent);
    assert!(syslog.receive(&mut bytes, true).is_none());
}
