use super::*;
use dhcproto::v4::HType;

const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// A minimal server reply, changed by `change`.
fn answer(change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let unset = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(7, unset, ADDRESS, SERVER, unset, &MAC);
    message.set_opcode(Opcode::BootReply).set_htype(HType::Eth);
    for option in [
        DhcpOption::MessageType(MessageType::Ack),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::AddressLeaseTime(86400),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
    ] {
        message.opts_mut().insert(option);
    }
    change(&mut message);
    message.to_vec().unwrap()
}

fn with(options: &[DhcpOption]) -> Vec<u8> {
    answer(|message| {
        for option in options {
            message.opts_mut().insert(option.clone());
        }
    })
}

fn granted(bytes: &[u8]) -> Option<Terms> {
    match decode(bytes, MAC)?.kind {
        ReplyKind::Ack(terms) => Some(terms),
        ReplyKind::Offer(_) | ReplyKind::Nak => None,
    }
}

fn json(bytes: &[u8]) -> String {
    serde_json::to_string(&granted(bytes).unwrap().lease).unwrap()
}

#[test]
fn the_least_a_server_says() {
    assert_eq!(
        json(&answer(|_| {})),
        r#"{"address":"10.0.2.15","prefix":24,"gateway":null,"dns":[],"search":[],"ntp":[],"hostname":null,"mtu":null,"lease-seconds":86400}"#
    );
    let terms = granted(&answer(|_| {})).unwrap();
    assert_eq!(terms.server, SERVER);
    assert_eq!(terms.renew, Duration::from_secs(43200));
    assert_eq!(terms.rebind, Duration::from_secs(75600));
}

#[test]
fn all_a_server_says() {
    let bytes = with(&[
        DhcpOption::Router(vec![SERVER, ADDRESS]),
        DhcpOption::DomainNameServer(vec![Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::UNSPECIFIED]),
        DhcpOption::DomainName("example.org".to_owned()),
        DhcpOption::NtpServers(vec![SERVER; 20]),
        DhcpOption::Hostname("edge".to_owned()),
        DhcpOption::InterfaceMtu(1400),
    ]);
    assert_eq!(
        json(&bytes),
        r#"{"address":"10.0.2.15","prefix":24,"gateway":"10.0.2.2","dns":["10.0.2.3"],"search":["example.org"],"ntp":["10.0.2.2","10.0.2.2","10.0.2.2","10.0.2.2","10.0.2.2","10.0.2.2"],"hostname":"edge","mtu":1400,"lease-seconds":86400}"#
    );
}

#[test]
fn classless_routes_win_over_the_router() {
    let default = ("0.0.0.0/0".parse().unwrap(), Ipv4Addr::new(10, 0, 2, 1));
    let other = ("192.0.2.0/24".parse().unwrap(), SERVER);
    for (routes, want) in [(vec![other, default], Some(default.1)), (vec![other], None)] {
        let bytes = with(&[
            DhcpOption::Router(vec![SERVER]),
            DhcpOption::ClasslessStaticRoute(routes),
        ]);
        assert_eq!(granted(&bytes).unwrap().lease.gateway, want);
    }
}

#[test]
fn text_that_is_not_a_name_is_left_out() {
    let bytes = with(&[
        DhcpOption::Hostname("a\nb".to_owned()),
        DhcpOption::DomainName("$(reboot)".to_owned()),
        DhcpOption::InterfaceMtu(40),
    ]);
    let lease = granted(&bytes).unwrap().lease;
    assert_eq!(
        (lease.hostname, lease.search, lease.mtu),
        (None, vec![], None)
    );
}

#[test]
fn options_that_are_not_read_may_be_anything() {
    for code in 0..=u8::MAX {
        for length in 0..20 {
            let mut bytes = answer(|_| {});
            // Before the end, which is the last option.
            let end = bytes.iter().rposition(|byte| *byte == 255).unwrap();
            let option = [&[code, length][..], &vec![0xff; length.into()]].concat();
            bytes.splice(end..end, option);
            let Some(terms) = granted(&bytes) else {
                continue;
            };
            assert_eq!(terms.lease.address, ADDRESS, "option {code}");
        }
    }
}

#[test]
fn masks() {
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    for (own, mask, want) in [
        ("10.0.2.15", Some("255.255.255.0"), Some(24)),
        ("10.0.2.15", Some("255.255.255.255"), Some(32)),
        ("10.0.2.15", Some("255.0.255.0"), None),
        ("10.0.2.15", Some("0.0.0.0"), None),
        ("10.0.2.15", None, Some(8)),
        ("172.16.0.9", None, Some(16)),
        ("192.168.0.9", None, Some(24)),
        ("0.0.0.0", None, None),
        ("255.255.255.255", None, None),
        ("224.0.0.1", None, None),
        ("127.0.0.1", None, None),
    ] {
        let found = prefix_of(address(own), mask.map(address));
        assert_eq!(found, want, "{own} {mask:?}");
    }
}

#[test]
fn times_are_in_order() {
    for (renew, rebind, want) in [
        (None, None, (400, 700)),
        (Some(100), Some(200), (100, 200)),
        (Some(100), None, (100, 700)),
        (Some(0), Some(200), (400, 700)),
        (Some(300), Some(200), (400, 700)),
        (Some(100), Some(800), (400, 700)),
    ] {
        let (first, second) = times(800, renew, rebind);
        assert_eq!(
            (first.as_secs(), second.as_secs()),
            want,
            "{renew:?} {rebind:?}"
        );
    }
}

#[test]
fn what_is_not_for_us_is_left_alone() {
    let without = |code: OptionCode| {
        answer(move |message| {
            message.opts_mut().remove(code);
        })
    };
    let short = with(&[DhcpOption::AddressLeaseTime(5)]);
    let question = answer(|message| {
        message.set_opcode(Opcode::BootRequest);
    });
    let other = answer(|message| {
        message.set_chaddr(&[1, 2, 3, 4, 5, 6]);
    });
    for (bytes, why) in [
        (question, "a question"),
        (other, "another's answer"),
        (without(OptionCode::MessageType), "no type"),
        (without(OptionCode::ServerIdentifier), "no server"),
        (without(OptionCode::AddressLeaseTime), "no time"),
        (short, "a lease too short"),
        (b"not a message".to_vec(), "not a message"),
    ] {
        assert_eq!(decode(&bytes, MAC), None, "{why}");
    }
}

#[test]
fn no_cut_off_or_changed_message_panics() {
    let whole = with(&[DhcpOption::Router(vec![SERVER])]);
    for length in 0..whole.len() {
        decode(&whole[..length], MAC);
    }
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            decode(&changed, MAC);
        }
    }
}

#[test]
fn a_refusal_needs_no_terms() {
    let mut bytes = answer(|message| message.opts_mut().clear());
    assert_eq!(decode(&bytes, MAC), None);
    bytes = answer(|message| {
        message.opts_mut().clear();
        message
            .opts_mut()
            .insert(DhcpOption::MessageType(MessageType::Nak));
    });
    let want = Reply {
        xid: 7,
        kind: ReplyKind::Nak,
    };
    assert_eq!(decode(&bytes, MAC), Some(want));
}

#[test]
fn a_request_names_the_offer() {
    let ask = Ask::Request {
        address: ADDRESS,
        server: SERVER,
    };
    let bytes = encode(ask, MAC, Some("edge"), 7, 3).unwrap();
    let message = Message::decode(&mut Decoder::new(&bytes)).unwrap();
    let options = message.opts();
    assert_eq!((message.xid(), message.secs()), (7, 3));
    assert_eq!(message.ciaddr(), Ipv4Addr::UNSPECIFIED);
    assert_eq!(options.msg_type(), Some(MessageType::Request));
    assert_eq!(option!(options, RequestedIpAddress), Some(&ADDRESS));
    assert_eq!(option!(options, ServerIdentifier), Some(&SERVER));
    assert_eq!(option!(options, Hostname).map(String::as_str), Some("edge"));
}

#[test]
fn a_renewal_names_the_address_in_its_header() {
    let bytes = encode(Ask::Renew { address: ADDRESS }, MAC, None, 7, 0).unwrap();
    let message = Message::decode(&mut Decoder::new(&bytes)).unwrap();
    assert_eq!(message.ciaddr(), ADDRESS);
    assert_eq!(option!(message.opts(), RequestedIpAddress), None);
    assert_eq!(option!(message.opts(), ServerIdentifier), None);
}
