//! CSeq (RFC 3261 §20.16).

use super::error::Fault;
use super::method::Method;
use super::table::{LWS, TOKEN, skip};

/// A CSeq value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The request's method; in a response, that of the request answered.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads a value without white space at its ends.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let bytes = text.as_bytes();
        let mut number = 0u32;
        let mut at = 0;
        while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
            number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
            at += 1;
        }
        if at == 0 {
            return Err(Fault::new(0, "no number"));
        }
        if number >= 1 << 31 {
            return Err(Fault::new(0, "number is not below 2^31"));
        }
        let method = skip(bytes, at, LWS);
        let end = skip(bytes, method, TOKEN);
        if method == at || end == method || end != bytes.len() {
            return Err(Fault::new(method, "no method"));
        }
        Ok(Self { number, method: Method::parse(&text[method..]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_shape() {
        let cseq = CSeq::parse("0009\r\n  INVITE").expect("folded");
        assert_eq!(cseq, CSeq { number: 9, method: Method::Invite });
        assert!(CSeq::parse("2147483647 BYE").is_ok());
        for bad in [
            "2147483648 BYE",
            "36893488147419103232 REGISTER",
            "BYE",
            "1",
            "1BYE",
            "-1 BYE",
            "1 BYE x",
            "",
            "1 ",
        ] {
            assert!(CSeq::parse(bad).is_err(), "{bad}");
        }
    }
}
