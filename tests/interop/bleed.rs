//! A stranger sprays RTP at the media ports of a live call, and gets and gives nothing.

use std::net::UdpSocket;
use std::time::Duration;

use carrick::sys::clock;

use super::edge::{CARRIER, CUSTOMER, STRANGER, Settings, leg, machine};
use super::peer::{Sipp, installed};

/// Seconds of the call.
const SECONDS: u64 = 4;

/// Sends RTP of a payload type that the call uses to every port for two seconds; how many
/// datagrams came back.
fn spray(socket: &UdpSocket, ports: (u16, u16)) -> u32 {
    socket.set_nonblocking(true).expect("set");
    let (mut got, end) = (0, clock::now() + Duration::from_secs(2));
    let mut sequence = 0_u16;
    while clock::now() < end {
        let mut packet = [0xff; 172];
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        packet[8..12].copy_from_slice(b"evil");
        for port in ports.0..=ports.1 {
            let _ = socket.send_to(&packet, (CUSTOMER, port));
        }
        while socket.recv_from(&mut [0; 2048]).is_ok() {
            got += 1;
        }
        sequence = sequence.wrapping_add(1);
        clock::pause(Duration::from_millis(20));
    }
    got
}

/// A call with a stranger at `address`; whether the trunk and the carrier are behind NAT.
fn sprayed_from(address: &str, nat: bool) {
    let callee = Sipp::new("uas", CARRIER).with(&["-rtp_echo"]);
    let mut settings = Settings::office("bleed", "", &[callee.uri()]);
    settings.media = (11_000, 11_015);
    if nat {
        for name in ["office", "carrier-0"] {
            let line = format!("name = \"{name}\"\n");
            settings.directory = settings.directory.replace(&line, &format!("{line}nat = true\n"));
        }
    }
    let ports = settings.media;
    let edge = settings.start();
    let callee = callee.start(CUSTOMER);
    let caller = Sipp::new("uac", CUSTOMER)
        .word("DURATION", &(SECONDS * 1000).to_string())
        .start(&edge.target());
    clock::pause(Duration::from_millis(1000));
    let stranger = UdpSocket::bind((address, 0)).expect("bound");
    assert_eq!(spray(&stranger, ports), 0, "the stranger at {address} was sent media");
    caller.succeed();
    callee.succeed();
    assert!(edge.metric("carrick_rtp_stranger_total") > 50.0, "nothing was sprayed");
    let cdrs = edge.wait_cdrs(2);
    for letter in ["a", "b"] {
        let record = leg(&cdrs, letter);
        for member in ["rtp_pkts_in", "rtp_pkts_out"] {
            let packets = record[member].as_u64().expect("a count");
            let honest = SECONDS * 50;
            let range = honest * 8 / 10..=honest + 15;
            assert!(range.contains(&packets), "{member}, sprayed from {address}: {record:#?}");
        }
    }
    edge.stop();
}

#[test]
fn strangers_inject_nothing_and_hear_nothing() {
    if !installed(&["sipp"]) {
        return;
    }
    let _machine = machine();
    sprayed_from(STRANGER, false);
    // From the carrier's own host, but not the port that it named.
    sprayed_from(CARRIER, false);
    // Where media may come from elsewhere, the first source that sends it is the only one.
    sprayed_from(STRANGER, true);
}
