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
    #[inline]
    pub fn parse(name: &[u8]) -> Self {
        if let [letter] = name {
            return COMPACT[usize::from(letter | 0x20)];
        }
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return Self::Other;
        };
        let mut slot = slot(name.len(), *first, *last);
        loop {
            let candidate = SLOTS[slot];
            if candidate == Self::Other {
                return Self::Other;
            }
            if candidate.name().as_bytes().eq_ignore_ascii_case(name) {
                return candidate;
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

const SLOT_COUNT: usize = 512;

/// Names by length, first and last letter, with linear probing; made at compile time.
static SLOTS: [HeaderName; SLOT_COUNT] = build_slots();
static COMPACT: [HeaderName; 256] = build_compact();

const fn slot(length: usize, first: u8, last: u8) -> usize {
    (length * 37 + (first | 0x20) as usize * 11 + (last | 0x20) as usize * 101) % SLOT_COUNT
}

const fn build_slots() -> [HeaderName; SLOT_COUNT] {
    let mut slots = [HeaderName::Other; SLOT_COUNT];
    let mut at = 0;
    while at < ALL.len() {
        let name = ALL[at].name().as_bytes();
        let mut free = slot(name.len(), name[0], name[name.len() - 1]);
        while !matches!(slots[free], HeaderName::Other) {
            free = (free + 1) % SLOT_COUNT;
        }
        slots[free] = ALL[at];
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
