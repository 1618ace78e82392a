//! Header names: a small number for each that Carrick knows, found without allocation.

use std::fmt;

use super::table::{ONES, below};

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
        Self::find(words(&padded), name.len())
    }

    /// The known header whose name stands at `at` with its colon right behind it, and the length of
    /// the name. `None` says nothing: the name may be unknown, or too near the end of the bytes to
    /// be read as words. A name that is found needs no look at its characters.
    #[inline(always)]
    pub(crate) fn before_colon(bytes: &[u8], at: usize) -> Option<(Self, usize)> {
        const COLONS: u64 = ONES * b':' as u64;
        let room = bytes.get(at..)?.first_chunk::<NAME_ROOM>()?;
        let [first, second, third] = words(room);
        let mut colon = below(first ^ COLONS, 1);
        let (words, before) = if colon != 0 {
            ([first & mask(colon), 0, 0], 0)
        } else {
            colon = below(second ^ COLONS, 1);
            if colon != 0 {
                ([first, second & mask(colon), 0], 8)
            } else {
                colon = below(third ^ COLONS, 1);
                ([first, second, third & mask(colon)], 16)
            }
        };
        if colon == 0 {
            return None;
        }
        let length = before + colon.trailing_zeros() as usize / 8;
        match Self::find(words, length) {
            Self::Other => None,
            name => Some((name, length)),
        }
    }

    /// The header whose name is these words, zero behind its `length` bytes.
    #[inline(always)]
    fn find(words: Words, length: usize) -> Self {
        if length == 1 {
            return COMPACT[usize::from(words[0].to_le_bytes()[0] | 0x20)];
        }
        let words = words.map(small);
        let mut slot = slot(words);
        loop {
            let found = &SLOTS[slot];
            // Word by word: the words are in registers, and an array comparison would spill them.
            // The length tells padding from a zero byte that came.
            if found.words[0] == words[0]
                && found.words[1] == words[1]
                && found.words[2] == words[2]
                && usize::from(found.length) == length
            {
                return found.name;
            }
            if found.name == Self::Other {
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

/// A known name; a free slot holds words that no name has, and [`HeaderName::Other`].
#[derive(Clone, Copy)]
struct Slot {
    words: Words,
    length: u8,
    name: HeaderName,
}

/// Names by hash, with linear probing; made at compile time.
static SLOTS: [Slot; SLOT_COUNT] = build_slots();
static COMPACT: [HeaderName; 256] = build_compact();

#[inline(always)]
const fn words(room: &[u8; NAME_ROOM]) -> Words {
    let mut words = [0; NAME_ROOM / 8];
    let mut at = 0;
    while at < words.len() {
        let (chunk, _) = room.split_at(at * 8).1.split_at(8);
        let [a, b, c, d, e, f, g, h] = *chunk else { unreachable!() };
        words[at] = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        at += 1;
    }
    words
}

/// The bytes before the one whose top bit is the lowest bit set; none where no bit is.
#[inline(always)]
const fn mask(found: u64) -> u64 {
    (found & found.wrapping_neg()).wrapping_sub(1) >> 7
}

/// The word with its letters small. Bytes from 0x40 have bit five set, which leaves `-` and digits
/// as they are and makes letters of nothing but letters.
#[inline(always)]
const fn small(word: u64) -> u64 {
    word | (word & (ONES << 6)) >> 1
}

const fn slot(words: Words) -> usize {
    let mixed = words[0] ^ words[1].rotate_left(23) ^ words[2].rotate_left(41);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "names are at most NAME_ROOM bytes")]
const fn build_slots() -> [Slot; SLOT_COUNT] {
    let free = Slot { words: [u64::MAX; NAME_ROOM / 8], length: 0, name: HeaderName::Other };
    let mut slots = [free; SLOT_COUNT];
    let mut at = 0;
    while at < ALL.len() {
        let name = ALL[at].name().as_bytes();
        let mut room = [0; NAME_ROOM];
        let mut byte = 0;
        while byte < name.len() {
            room[byte] = name[byte];
            byte += 1;
        }
        let [first, second, third] = words(&room);
        let words = [small(first), small(second), small(third)];
        let mut free = slot(words);
        while !matches!(slots[free].name, HeaderName::Other) {
            free = (free + 1) % SLOT_COUNT;
        }
        slots[free] = Slot { words, length: name.len() as u8, name: ALL[at] };
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
        // Case is folded by one bit; that must make names of nothing else.
        for name in [&b"Call\rID"[..], b"Via\0", b"Via ", b"VIA\xff", b"\xd6ia", b"To@"] {
            assert_eq!(HeaderName::parse(name), HeaderName::Other);
            let line = [name, b": x padded so that words can be read"].concat();
            assert_eq!(HeaderName::before_colon(&line, 0), None);
        }
        // The compact table folds case by one bit; that must not turn marks into letters.
        assert_eq!(HeaderName::parse(b"\x56"), HeaderName::Via);
        assert_eq!(HeaderName::parse(b"\x16"), HeaderName::Other);
    }
}
