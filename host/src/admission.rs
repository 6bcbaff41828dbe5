//! Who may come in, and how many of them. Refusing costs less than serving, and nothing that a client
//! could make expensive comes before it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::address::Endpoint;
use crate::concurrency::Permit;
use crate::config::{AdmissionOptions, Overload};

/// What a client is counted by: its IPv4 address, or the /64 of its IPv6 address, in which one host has
/// as many addresses as it likes (RFC 7421).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(u64);

impl Source {
    /// Where a request comes from. Peers of Unix sockets have no source: who may reach those is for the
    /// socket's mode and owner to say.
    pub(crate) fn of(client_address: &Endpoint) -> Option<Self> {
        let Endpoint::Inet(address) = client_address else {
            return None;
        };
        Some(match address.ip() {
            // Its network would be one of ::/32, where nobody but `::1` has an address.
            IpAddr::V4(v4) => Source(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Source((v6.to_bits() >> 64) as u64),
        })
    }

    /// As a number, for memory that processes share: never `u64::MAX`, which is multicast.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }
}

/// Why a request is not let in, or not taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `--allow` and `--deny`.
    Address,
    /// `--rate-per-source`.
    Rate,
    /// `--max-per-source`.
    PerSource,
    /// `--overload close`.
    Overload,
    /// The hook `verify_request`.
    VerifyRequest,
    /// `--max-packet`.
    TooLong,
    /// A packet's source is no client's.
    Source,
}

impl Refusal {
    pub(crate) const ALL: [Refusal; 7] = [
        Refusal::Address,
        Refusal::Rate,
        Refusal::PerSource,
        Refusal::Overload,
        Refusal::VerifyRequest,
        Refusal::TooLong,
        Refusal::Source,
    ];

    /// The word in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Refusal::Address => "address",
            Refusal::Rate => "rate-per-source",
            Refusal::PerSource => "max-per-source",
            Refusal::Overload => "overload",
            Refusal::VerifyRequest => "verify_request",
            Refusal::TooLong => "max-packet",
            Refusal::Source => "source",
        }
    }
}

/// What decides; all listeners of a service share it.
pub(crate) struct Admission {
    options: AdmissionOptions,
    rates: Option<Rates>,
}

impl Admission {
    pub(crate) fn new(options: AdmissionOptions) -> Self {
        Admission {
            rates: options
                .rate_per_source
                .get()
                .map(|rate| Rates::new(rate.quota())),
            options,
        }
    }

    /// Whether a client finds room, or is sent away, where requests in flight are at their limit.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.options.overload == Overload::Wait
    }

    /// Lets a request in that `permit` is for.
    ///
    /// # Errors
    ///
    /// Why it is not let in.
    pub(crate) fn admit(
        &self,
        client_address: &Endpoint,
        permit: Option<&mut Permit>,
    ) -> Result<(), Refusal> {
        self.check_address(client_address)?;
        let source = Source::of(client_address);
        if let (Some(rates), Some(source)) = (&self.rates, source) {
            rates.check(source)?;
        }
        let permit = permit.ok_or(Refusal::Overload)?;
        match (self.options.max_per_source.get(), source) {
            (Some(max), Some(source)) if !permit.count_for(source, max) => Err(Refusal::PerSource),
            _ => Ok(()),
        }
    }

    fn check_address(&self, client_address: &Endpoint) -> Result<(), Refusal> {
        let Endpoint::Inet(address) = client_address else {
            return Ok(());
        };
        let AdmissionOptions { allow, deny, .. } = &self.options;
        let ip = address.ip();
        let is_allowed = allow.is_empty() || allow.iter().any(|net| net.contains(&ip));
        match is_allowed && !deny.iter().any(|net| net.contains(&ip)) {
            true => Ok(()),
            false => Err(Refusal::Address),
        }
    }
}

/// A token bucket for each source, in memory that a flood of forged sources does not make larger: sources
/// are spread over so many buckets by a hash that nobody outside knows. Two that share one share its rate.
struct Rates {
    hash: RandomState,
    buckets: DefaultKeyedRateLimiter<u16>,
}

impl Rates {
    fn new(quota: Quota) -> Self {
        Rates {
            hash: RandomState::new(),
            buckets: RateLimiter::keyed(quota),
        }
    }

    fn check(&self, source: Source) -> Result<(), Refusal> {
        // The low bits are as good as any.
        let bucket = self.hash.hash_one(source) as u16;
        self.buckets.check_key(&bucket).map_err(|_| Refusal::Rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        let endpoint = Endpoint::Inet(address.parse().unwrap());
        Source::of(&endpoint).unwrap()
    }

    #[test]
    fn ipv6_is_counted_by_its_64_and_ipv4_by_address() {
        assert_eq!(source("[2001:db8::1]:1"), source("[2001:db8::ffff:2]:9"));
        assert_ne!(source("[2001:db8::1]:1"), source("[2001:db8:0:1::1]:1"));
        assert_eq!(source("192.0.2.1:1"), source("192.0.2.1:2"));
        assert_ne!(source("192.0.2.1:1"), source("192.0.2.2:1"));
        assert!(Source::of(&Endpoint::Unnamed).is_none());
    }

    #[test]
    fn deny_wins_over_allow_and_an_empty_list_allows_all() {
        let admits = |allow: &str, deny: &str, address: &str| {
            let nets = |text: &str| {
                let nets = text.split_whitespace();
                nets.map(|net| net.parse().unwrap()).collect::<Vec<_>>()
            };
            let admission = Admission::new(AdmissionOptions {
                allow: nets(allow),
                deny: nets(deny),
                ..AdmissionOptions::default()
            });
            let endpoint = Endpoint::Inet(address.parse().unwrap());
            admission.check_address(&endpoint).is_ok()
        };
        assert!(admits("", "", "192.0.2.1:1"));
        assert!(admits("192.0.2.0/24", "", "192.0.2.1:1"));
        assert!(!admits("192.0.2.0/24", "", "192.0.3.1:1"));
        assert!(!admits("192.0.2.0/24", "", "[2001:db8::1]:1"));
        assert!(!admits("192.0.2.0/24", "192.0.2.1/32", "192.0.2.1:1"));
        assert!(!admits("", "2001:db8::/32", "[2001:db8::1]:1"));
    }
}
