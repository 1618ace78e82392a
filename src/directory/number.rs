//! Numbers: DIDs and verified caller IDs.

use super::Name;

/// Where a call to one of our numbers goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// To the origination URIs of this trunk.
    Trunk(Name),
    /// To the application's callback.
    Application,
    /// Nowhere: the number is only a verified caller ID.
    None,
}

/// A number of an application.
#[derive(Clone, Debug)]
pub struct Number {
    /// E.164 with `+`.
    pub number: String,
    /// Key of the application that it belongs to.
    pub application: Name,
    /// What happens to calls to it.
    pub inbound: Inbound,
}

/// All numbers, sorted.
#[derive(Debug, Default)]
pub struct Numbers {
    sorted: Vec<Number>,
}

impl Numbers {
    /// Sorts the numbers; each is there once.
    pub fn new(mut numbers: Vec<Number>) -> Self {
        numbers.sort_by(|a, b| a.number.cmp(&b.number));
        Self { sorted: numbers }
    }

    /// All of them, sorted.
    pub fn all(&self) -> &[Number] {
        &self.sorted
    }

    /// The entry of a number in E.164 with `+`.
    pub fn find(&self, number: &str) -> Option<&Number> {
        let found = self.sorted.binary_search_by(|n| n.number.as_str().cmp(number)).ok()?;
        self.sorted.get(found)
    }

    /// Whether `application` may show `number` as its caller ID.
    pub fn may_show(&self, application: &str, number: &str) -> bool {
        self.find(number).is_some_and(|n| n.application.as_str() == application)
    }
}
