use super::*;
use crate::ledger::Mark;
use crate::testing::Folder;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use std::os::unix::net::UnixDatagram;

/// What waits in `queue`, in batches.
fn texts(queue: &mut Queue) -> Vec<Vec<String>> {
    let mut batches = Vec::new();
    while queue.look() {
        let text = |(_, bytes): (_, &[u8])| String::from_utf8_lossy(bytes).into_owned();
        let batch: Vec<String> = queue.batch().map(text).collect();
        queue.take(batch.len());
        batches.push(batch);
    }
    batches
}

#[test]
fn messages_that_were_written_but_not_taken_are_known() {
    let folder = Folder::new("syslog-known");
    let (theirs, ours) = UnixDatagram::pair().unwrap();
    setsockopt(&ours, ReceiveTimestampns, &true).unwrap();
    let copy = || OwnedFd::from(ours.try_clone().unwrap());
    // One like the other: the first three have been written, and the first of them was taken.
    for _ in 0..5 {
        theirs.send(b"<13>a: again").unwrap();
    }
    let mut syslog = Syslog::new(copy(), &folder.root()).unwrap();
    assert!(syslog.queue.look());
    let numbers: Vec<u64> = syslog
        .queue
        .batch()
        .map(|(found, _)| found.number)
        .collect();
    syslog.queue.take(1);
    let after = Mark {
        done: numbers[2],
        dropped: 0,
    };
    syslog.ledger.settle(1, after).unwrap();
    let mut syslog = Syslog::new(copy(), &folder.root()).unwrap();
    assert!(syslog.queue.look());
    let left: Vec<u64> = syslog
        .queue
        .batch()
        .map(|(found, _)| found.number)
        .collect();
    assert_eq!(left, numbers[3..]);
}

#[test]
fn batches_end_with_a_long_message_or_many_bytes() {
    let (theirs, ours) = UnixDatagram::pair().unwrap();
    let mut queue = Queue::new(ours.into());
    assert!(!queue.look());
    for text in ["a", "", "b", &"c".repeat(20_000), "d"] {
        theirs.send(text.as_bytes()).unwrap();
    }
    let long = "c".repeat(8192);
    assert_eq!(texts(&mut queue), [vec!["a", "", "b", &long], vec!["d"]]);
    // Fewer than the ten that the kernel lets wait.
    for _ in 0..9 {
        theirs.send(&[b'e'; 8000]).unwrap();
    }
    let lengths: Vec<usize> = texts(&mut queue).iter().map(Vec::len).collect();
    assert_eq!(lengths, [8, 1]);
}
