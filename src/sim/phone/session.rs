//! Session descriptions as phones write and read them: one audio line.

use std::net::{IpAddr, SocketAddr};

/// A codec as SDP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Payload type.
    pub payload: u8,
    /// `name/rate[/channels]`.
    pub name: &'static str,
}

/// G.711 µ-law.
pub const PCMU: Codec = Codec { payload: 0, name: "PCMU/8000" };
/// G.711 A-law.
pub const PCMA: Codec = Codec { payload: 8, name: "PCMA/8000" };
/// Opus under a dynamic payload type.
pub const OPUS: Codec = Codec { payload: 96, name: "opus/48000/2" };
/// DTMF events.
pub const EVENTS: Codec = Codec { payload: 101, name: "telephone-event/8000" };

/// Which way media flows, seen from whoever says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Both ways.
    #[default]
    SendRecv,
    /// Only from the speaker.
    SendOnly,
    /// Only towards the speaker.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Flow {
    const ALL: [(Self, &'static str); 4] = [
        (Self::SendRecv, "sendrecv"),
        (Self::SendOnly, "sendonly"),
        (Self::RecvOnly, "recvonly"),
        (Self::Inactive, "inactive"),
    ];

    /// What an answer says to an offer of this flow.
    pub const fn answered(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether the speaker sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the speaker receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What one side says about its media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where it receives; port 0: refused.
    pub media: SocketAddr,
    /// Payload types and names, in order of preference.
    pub formats: Vec<(u8, String)>,
    /// Which way.
    pub flow: Flow,
    /// `o=` session id.
    pub id: u64,
    /// `o=` version.
    pub version: u64,
}

impl Session {
    /// The text.
    pub fn text(&self) -> String {
        let ip = self.media.ip();
        let family = if ip.is_ipv6() { "IP6" } else { "IP4" };
        let (id, version, port) = (self.id, self.version, self.media.port());
        let list: String = self.formats.iter().map(|(payload, _)| format!(" {payload}")).collect();
        let mut text = format!(
            "v=0\r\no=- {id} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\n\
             t=0 0\r\nm=audio {port} RTP/AVP{list}\r\n"
        );
        for (payload, name) in &self.formats {
            text += &format!("a=rtpmap:{payload} {name}\r\n");
            if name.starts_with("telephone-event") {
                text += &format!("a=fmtp:{payload} 0-16\r\n");
            }
        }
        let flow = Flow::ALL.iter().find(|(flow, _)| *flow == self.flow).map_or("", |(_, w)| w);
        text + &format!("a=ptime:20\r\na={flow}\r\n")
    }

    /// Reads the first audio line of a description.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut ip, mut port, mut formats) = (None, None, Vec::<(u8, String)>::new());
        let (mut flow, mut origin) = (Flow::SendRecv, (0, 0));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("c=IN IP") {
                ip = rest.get(2..)?.trim().parse::<IpAddr>().ok();
            } else if let Some(rest) = line.strip_prefix("o=") {
                let mut words = rest.split(' ').skip(1);
                origin = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            } else if let Some(rest) = line.strip_prefix("m=audio ") {
                let mut words = rest.split(' ');
                port = words.next()?.parse::<u16>().ok();
                let payloads = words.skip(1).filter_map(|word| word.trim().parse().ok());
                formats = payloads.map(|payload| (payload, static_name(payload))).collect();
            } else if let Some(rest) = line.strip_prefix("a=rtpmap:") {
                let (payload, name) = rest.split_once(' ')?;
                let payload: u8 = payload.parse().ok()?;
                if let Some(format) = formats.iter_mut().find(|(p, _)| *p == payload) {
                    name.trim().clone_into(&mut format.1);
                }
            } else if let Some((found, _)) =
                Flow::ALL.iter().find(|(_, word)| line.strip_prefix("a=") == Some(word))
            {
                flow = *found;
            }
        }
        let media = SocketAddr::new(ip?, port?);
        Some(Self { media, formats, flow, id: origin.0, version: origin.1 })
    }

    /// The formats that both have, under the payload types of `self`.
    pub fn common(&self, codecs: &[Codec]) -> Vec<(u8, String)> {
        let known = |name: &str| codecs.iter().any(|c| c.name.eq_ignore_ascii_case(name));
        self.formats.iter().filter(|(_, name)| known(name)).cloned().collect()
    }
}

fn static_name(payload: u8) -> String {
    let found = [PCMU, PCMA].into_iter().find(|codec| codec.payload == payload);
    found.map_or_else(String::new, |codec| codec.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let session = Session {
            media: "10.0.0.1:4000".parse().expect("address"),
            formats: [PCMU, OPUS, EVENTS].map(|c| (c.payload, c.name.to_owned())).to_vec(),
            flow: Flow::SendOnly,
            id: 5,
            version: 6,
        };
        assert_eq!(Session::parse(session.text().as_bytes()), Some(session.clone()));
        assert_eq!(session.common(&[PCMA, OPUS]), [(96, "opus/48000/2".to_owned())]);
        let bare = b"v=0\r\nc=IN IP4 1.2.3.4\r\nm=audio 7 RTP/AVP 8\r\n";
        let bare = Session::parse(bare).expect("reads");
        assert_eq!(bare.formats, [(8, "PCMA/8000".to_owned())]);
    }
}
