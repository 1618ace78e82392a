//! Header names: a small number for each that Carrick knows, found without allocation.

use std::fmt;

macro_rules! header_names {
    ($($id:ident = $name:literal, $compact:literal;)*) => {
        /// A header that Carrick knows by number (RFC 3261 §20 and the extensions in use on
        /// trunks). Long and compact forms, in any case, are the same header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $name, "`.")] $id,)*
            /// Any header without a number of its own.
            Other,
        }

        impl HeaderName {
            /// Headers known, [`HeaderName::Other`] not counted.
            pub const COUNT: usize = ALL.len();

            /// The name as Carrick writes it; empty for [`HeaderName::Other`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)*
                    Self::Other => "",
                }
            }

            /// The one-letter form, where there is one (RFC 3261 §7.3.3).
            pub const fn compact(self) -> Option<u8> {
                let letter: u8 = match self {
                    $(Self::$id => $compact,)*
                    Self::Other => 0,
                };
                if letter == 0 { None } else { Some(letter) }
            }
        }

        const ALL: &[HeaderName] = &[$(HeaderName::$id),*];
    };
}

header_names! {
    Accept = "Accept", 0;
    AcceptContact = "Accept-Contact", b'a';
    AcceptEncoding = "Accept-Encoding", 0;
    AcceptLanguage = "Accept-Language", 0;
    AlertInfo = "Alert-Info", 0;
    Allow = "Allow", 0;
    AllowEvents = "Allow-Events", b'u';
    AuthenticationInfo = "Authentication-Info", 0;
    Authorization = "Authorization", 0;
    CallId = "Call-ID", b'i';
    CallInfo = "Call-Info", 0;
    Contact = "Contact", b'm';
    ContentDisposition = "Content-Disposition", 0;
    ContentEncoding = "Content-Encoding", b'e';
    ContentLanguage = "Content-Language", 0;
    ContentLength = "Content-Length", b'l';
    ContentType = "Content-Type", b'c';
    CSeq = "CSeq", 0;
    Date = "Date", 0;
    Diversion = "Diversion", 0;
    ErrorInfo = "Error-Info", 0;
    Event = "Event", b'o';
    Expires = "Expires", 0;
    From = "From", b'f';
    Geolocation = "Geolocation", 0;
    HistoryInfo = "History-Info", 0;
    Identity = "Identity", b'y';
    IdentityInfo = "Identity-Info", b'n';
    InReplyTo = "In-Reply-To", 0;
    InfoPackage = "Info-Package", 0;
    Join = "Join", 0;
    MaxForwards = "Max-Forwards", 0;
    MimeVersion = "MIME-Version", 0;
    MinExpires = "Min-Expires", 0;
    MinSe = "Min-SE", 0;
    Organization = "Organization", 0;
    PAccessNetworkInfo = "P-Access-Network-Info", 0;
    PAssertedIdentity = "P-Asserted-Identity", 0;
    PCalledPartyId = "P-Called-Party-ID", 0;
    PChargeInfo = "P-Charge-Info", 0;
    PChargingVector = "P-Charging-Vector", 0;
    PEarlyMedia = "P-Early-Media", 0;
    PPreferredIdentity = "P-Preferred-Identity", 0;
    Path = "Path", 0;
    Priority = "Priority", 0;
    Privacy = "Privacy", 0;
    ProxyAuthenticate = "Proxy-Authenticate", 0;
    ProxyAuthorization = "Proxy-Authorization", 0;
    ProxyRequire = "Proxy-Require", 0;
    RAck = "RAck", 0;
    Reason = "Reason", 0;
    RecordRoute = "Record-Route", 0;
    RecvInfo = "Recv-Info", 0;
    ReferSub = "Refer-Sub", 0;
    ReferTo = "Refer-To", b'r';
    ReferredBy = "Referred-By", b'b';
    RejectContact = "Reject-Contact", b'j';
    RemotePartyId = "Remote-Party-ID", 0;
    Replaces = "Replaces", 0;
    ReplyTo = "Reply-To", 0;
    RequestDisposition = "Request-Disposition", b'd';
    Require = "Require", 0;
    RetryAfter = "Retry-After", 0;
    Route = "Route", 0;
    RSeq = "RSeq", 0;
    Server = "Server", 0;
    ServiceRoute = "Service-Route", 0;
    SessionExpires = "Session-Expires", b'x';
    SipETag = "SIP-ETag", 0;
    SipIfMatch = "SIP-If-Match", 0;
    Subject = "Subject", b's';
    SubscriptionState = "Subscription-State", 0;
    Supported = "Supported", b'k';
    TargetDialog = "Target-Dialog", 0;
    Timestamp = "Timestamp", 0;
    To = "To", b't';
    Unsupported = "Unsupported", 0;
    UserAgent = "User-Agent", 0;
    UserToUser = "User-to-User", 0;
    Via = "Via", b'v';
    Warning = "Warning", 0;
    WwwAuthenticate = "WWW-Authenticate", 0;
}

impl HeaderName {
    /// The header of this name, long or compact, in any case.
    pub fn parse(name: &[u8]) -> Self {
        let mut padded = [0; NAME_ROOM];
        match padded.get_mut(..name.len()) {
            Some(room) => room.copy_from_slice(name),
            None => return Self::Other,
        }
        Self::find(&padded, name.len())
    }

    /// The header whose name is `bytes[start..end]`. Where enough bytes follow, as in a message
    /// they do, it is read as three words without a copy of changing length.
    #[inline]
    pub(crate) fn parse_at(bytes: &[u8], start: usize, end: usize) -> Self {
        match bytes.get(start..).and_then(|rest| rest.first_chunk::<NAME_ROOM>()) {
            Some(room) if end - start <= NAME_ROOM => Self::find(room, end - start),
            _ => Self::parse(bytes.get(start..end).unwrap_or(&[])),
        }
    }

    /// The header whose name is the first `length` bytes of `room`.
    #[inline]
    fn find(room: &[u8; NAME_ROOM], length: usize) -> Self {
        if length == 1 {
            return COMPACT[usize::from(room[0] | 0x20)];
        }
        let words = folded(room, length);
        let mut slot = slot(words);
        loop {
            let (candidate, name) = &SLOTS[slot];
            // Word by word: the words are in registers, and an array comparison would spill them.
            if name[0] == words[0] && name[1] == words[1] && name[2] == words[2] {
                return *candidate;
            }
            if *candidate == Self::Other {
                return Self::Other;
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
    }

    /// The place of this header in a table of `COUNT` (+ 1 for `Other`) entries.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl HeaderName {
    /// The header at this place.
    pub(crate) fn from_index(index: usize) -> Self {
        ALL.get(index).copied().unwrap_or(Self::Other)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Other { "unnamed" } else { self.name() })
    }
}

/// Bytes of the longest known name, rounded up to words.
const NAME_ROOM: usize = 24;
const SLOT_COUNT: usize = 512;

type Words = [u64; NAME_ROOM / 8];

/// Names by hash, with linear probing; made at compile time. A free slot holds words that no name
/// has, and [`HeaderName::Other`].
static SLOTS: [(HeaderName, Words); SLOT_COUNT] = build_slots();
static COMPACT: [HeaderName; 256] = build_compact();

/// The name as words: bytes behind it are zero, letters are small. Setting bit five makes a letter
/// small and leaves `-` and digits as they are; what it does to other bytes gives no known name.
#[inline]
const fn folded(room: &[u8; NAME_ROOM], length: usize) -> Words {
    let mut words = [0; NAME_ROOM / 8];
    let mut at = 0;
    while at < words.len() {
        let (chunk, _) = room.split_at(at * 8).1.split_at(8);
        let [a, b, c, d, e, f, g, h] = *chunk else { unreachable!() };
        let word = u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 0x2020_2020_2020_2020;
        let left = length.saturating_sub(at * 8);
        let mask = if left >= 8 { u64::MAX } else { (1 << (left * 8)) - 1 };
        words[at] = word & mask;
        at += 1;
    }
    words
}

const fn slot(words: Words) -> usize {
    let mixed = words[0] ^ words[1].rotate_left(23) ^ words[2].rotate_left(41);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize
}

const fn build_slots() -> [(HeaderName, Words); SLOT_COUNT] {
    let mut slots = [(HeaderName::Other, [u64::MAX; NAME_ROOM / 8]); SLOT_COUNT];
    let mut at = 0;
    while at < ALL.len() {
        let name = ALL[at].name().as_bytes();
        let mut room = [0; NAME_ROOM];
        let mut byte = 0;
        while byte < name.len() {
            room[byte] = name[byte];
            byte += 1;
        }
        let words = folded(&room, name.len());
        let mut free = slot(words);
        while !matches!(slots[free].0, HeaderName::Other) {
            free = (free + 1) % SLOT_COUNT;
        }
        slots[free] = (ALL[at], words);
        at += 1;
    }
    slots
}

const fn build_compact() -> [HeaderName; 256] {
    let mut table = [HeaderName::Other; 256];
    let mut at = 0;
    while at < ALL.len() {
        if let Some(letter) = ALL[at].compact() {
            table[letter as usize] = ALL[at];
        }
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in ALL {
            assert_eq!(HeaderName::parse(name.name().as_bytes()), *name);
            assert_eq!(HeaderName::parse(name.name().to_uppercase().as_bytes()), *name);
            assert_eq!(HeaderName::parse(name.name().to_lowercase().as_bytes()), *name);
            if let Some(letter) = name.compact() {
                assert_eq!(HeaderName::parse(&[letter]), *name);
                assert_eq!(HeaderName::parse(&[letter.to_ascii_uppercase()]), *name);
            }
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in [&b"Vi"[..], b"Viaa", b"X-Via", b"", b"q", b"Content_Length", b"!"] {
            assert_eq!(HeaderName::parse(name), HeaderName::Other);
        }
        // The compact table folds case by one bit; that must not turn marks into letters.
        assert_eq!(HeaderName::parse(b"\x56"), HeaderName::Via);
        assert_eq!(HeaderName::parse(b"\x16"), HeaderName::Other);
    }
}
