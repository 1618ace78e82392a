//! Whole calls, step by step.

use carrick::link::svaml::{Action, ConnectPstn};

use super::World;
use super::phone::{Caller, NORTH, callee_request, one, reply, sdp, to_tag};

/// Where the callee of [`connect`] takes requests inside the dialog.
pub const CALLEE: &str = "203.0.113.66:5070";

/// A call that is being set up: the callee's INVITE is out.
#[derive(Clone, Debug)]
pub struct Dialled {
    /// The caller.
    pub caller: Caller,
    /// The INVITE that the carrier got.
    pub invite: String,
    /// The carrier's address.
    pub carrier: &'static str,
}

/// A call that is up.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The caller.
    pub caller: Caller,
    /// The INVITE that the carrier got.
    pub invite: String,
    /// The 200 that the caller got.
    pub ok: String,
}

/// The caller's INVITE goes in, control answers if it is asked, and the carrier's INVITE is out.
pub fn dial(world: &mut World, caller: &Caller, carrier: &'static str) -> Dialled {
    let mut sent = world.send(caller.address, &caller.invite());
    one(&sent, "100", caller.address);
    if caller.address != super::phone::PLAIN && caller.address != super::phone::LIMITED {
        sent = world.answer(Action::ConnectPstn(ConnectPstn::default()));
    }
    let invite = one(&sent, "INVITE", carrier).to_owned();
    Dialled { caller: caller.clone(), invite, carrier }
}

/// Ringing and answer, up to both ACKs.
pub fn connect(world: &mut World, dialled: Dialled, tag: &str) -> Connected {
    let Dialled { caller, invite, carrier } = dialled;
    let sent = world.send(carrier, &reply(&invite, 180, tag, "", ""));
    one(&sent, "180", caller.address);
    let body = sdp("203.0.113.77", 6000);
    let mut sent = world.send(carrier, &reply(&invite, 200, tag, "", &body));
    one(&sent, "ACK", CALLEE);
    if world.control.said.iter().any(|word| matches!(word, carrick::link::ToControl::Ask(_))) {
        sent = world.answer(Action::Continue);
    }
    let ok = one(&sent, "200", caller.address).to_owned();
    let sent = world.send(caller.address, &caller.ack(&ok));
    assert!(sent.is_empty(), "{sent:#?}");
    Connected { caller, invite, ok }
}

/// A call that is up, through carrier north.
pub fn up(world: &mut World, caller: &Caller) -> Connected {
    let dialled = dial(world, caller, NORTH);
    connect(world, dialled, "bob")
}

impl Connected {
    /// The caller hangs up, the callee's side agrees, the records are written.
    pub fn hang_up(&self, world: &mut World) {
        let Self { caller, ok, .. } = self;
        let bye = caller.inside("BYE", caller.cseq + 20, ok, "");
        let sent = world.send(caller.address, &bye);
        let theirs = one(&sent, "BYE", CALLEE).to_owned();
        assert_eq!(sent.len(), 1, "the BYE's 200 waits for the records: {sent:#?}");
        let sent = world.send(CALLEE, &reply(&theirs, 200, "", "", ""));
        assert!(sent.is_empty());
        let (_, sent) = world.record();
        one(&sent, "200", caller.address);
    }

    /// A request of the callee's inside the dialog.
    pub fn callee(&self, method: &str, cseq: u32, body: &str) -> String {
        callee_request(&self.invite, "bob", method, cseq, body)
    }

    /// The edge's tag towards the caller.
    pub fn tag(&self) -> String {
        to_tag(&self.ok)
    }
}
