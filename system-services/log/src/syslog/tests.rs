use super::*;
use crate::ledger::Mark;
use crate::testing::Folder;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt};
use std::io::{ErrorKind, IoSlice, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

/// The messages that wait in `queue`, in batches.
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

/// A caller's socket and the log's.
fn sockets() -> (UnixDatagram, UnixDatagram) {
    let (theirs, ours) = UnixDatagram::pair().unwrap();
    setsockopt(&ours, ReceiveTimestampns, &true).unwrap();
    (theirs, ours)
}

fn queue(socket: &UnixDatagram) -> Queue {
    Queue::new(socket.try_clone().unwrap().into())
}

/// Whether nothing waits, not even an empty message.
fn is_drained(socket: &UnixDatagram) -> bool {
    socket.set_nonblocking(true).unwrap();
    socket.recv(&mut []).unwrap_err().kind() == ErrorKind::WouldBlock
}

#[test]
fn messages_that_were_written_but_not_taken_are_known() {
    let folder = Folder::new("syslog-known");
    let (theirs, ours) = sockets();
    let copy = || OwnedFd::from(ours.try_clone().unwrap());
    // All the same: the first three have been written, and the first of them was received.
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
    for text in ["a", "b", &"c".repeat(20_000), "d"] {
        theirs.send(text.as_bytes()).unwrap();
    }
    let long = "c".repeat(8192);
    assert_eq!(texts(&mut queue), [vec!["a", "b", &long], vec!["d"]]);
    // Fewer than the ten that the kernel queues.
    for _ in 0..9 {
        theirs.send(&[b'e'; 8000]).unwrap();
    }
    let lengths: Vec<usize> = texts(&mut queue).iter().map(Vec::len).collect();
    assert_eq!(lengths, [8, 1]);
}

#[test]
fn a_message_with_a_descriptor_is_read_without_it() {
    let (theirs, ours) = sockets();
    let (mut kept, sent) = UnixStream::pair().unwrap();
    theirs.send(b"before").unwrap();
    let (descriptors, text) = ([sent.as_raw_fd()], [IoSlice::new(b"with")]);
    let control = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(theirs.as_raw_fd(), &text, &control, MsgFlags::empty(), None).unwrap();
    theirs.send(b"behind").unwrap();
    drop(sent);
    let mut queue = queue(&ours);
    assert!(queue.look());
    let times: Vec<Duration> = queue.batch().map(|(found, _)| found.sent).collect();
    assert!(!times[0].is_zero() && times.is_sorted(), "{times:?}");
    assert_eq!(texts(&mut queue), [["before", "with", "behind"]]);
    assert!(is_drained(&ours));
    // No other process has the other end open.
    kept.set_nonblocking(true).unwrap();
    assert_eq!(kept.read(&mut [0]).unwrap(), 0);
}

#[test]
fn empty_messages_are_passed_over_and_taken() {
    let (theirs, ours) = sockets();
    let send = |texts: &[&str]| {
        for text in texts {
            theirs.send(text.as_bytes()).unwrap();
        }
    };
    let mut whole = queue(&ours);
    send(&["", "a", "", "", "b", ""]);
    assert_eq!(texts(&mut whole), [["a", "b"]]);
    assert!(is_drained(&ours));
    // Peeked at by a run that was killed; the next one receives a part of it, and the third the
    // rest.
    send(&["", "a", "", "b", "", "c"]);
    assert!(queue(&ours).look());
    let mut next = queue(&ours);
    assert!(next.look());
    next.take(2);
    assert_eq!(texts(&mut queue(&ours)), [["c"]]);
    assert!(is_drained(&ours));
    // Only empty ones.
    send(&[""; 6]);
    assert!(!queue(&ours).look());
    assert!(is_drained(&ours));
}
