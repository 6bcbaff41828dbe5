//! What stands behind an option: durations with a unit, sizes, limits that can be `none`, networks, rates.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use governor::Quota;
use ipnet::IpNet;

/// A duration, written with its unit: `250ms`, `30s`, `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(Duration);

impl Span {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A number of bytes, written with or without a unit: `65507`, `64KiB`, `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A limit: a value above nought, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(Option<T>);

impl<T: Copy> Limit<T> {
    /// This value.
    pub const fn at(value: T) -> Self {
        Limit(Some(value))
    }

    /// No limit.
    pub const fn none() -> Self {
        Limit(None)
    }

    /// The value, where there is one.
    pub const fn get(self) -> Option<T> {
        self.0
    }
}

/// No limit.
impl<T> Default for Limit<T> {
    fn default() -> Self {
        Limit(None)
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// A longer time could overflow the clock when it is added to now; nobody waits for it anyhow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) fn whole_duration(text: &str) -> Result<Span, String> {
    let span = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number and a unit, as in 250ms, 30s, 5m"))?;
    if span > LONGEST {
        return Err("it is longer than a hundred years".to_owned());
    }
    Ok(Span(span))
}

/// Of a wait that ends by itself; `none` is for as long as that takes.
pub(super) fn patience(text: &str) -> Result<Span, String> {
    match text {
        "none" => Ok(Span(LONGEST)),
        _ => whole_duration(text),
    }
}

pub(super) fn bounded_duration(text: &str) -> Result<Limit<Span>, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    match whole_duration(text)? {
        Span(Duration::ZERO) => Err(NOUGHT.to_owned()),
        span => Ok(Limit(Some(span))),
    }
}

pub(crate) fn bounded_size(text: &str) -> Result<Limit<Size>, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let size = ByteSize::from_str(text)
        .map_err(|_| "write a number of bytes or a size, as in 65507, 64KiB, 10MB".to_owned())?;
    match size.as_u64() {
        0 => Err(NOUGHT.to_owned()),
        bytes => Ok(Limit(Some(Size(bytes)))),
    }
}

pub(super) fn positive_count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("write a whole number, at least 1".to_owned()),
    }
}

pub(super) fn bounded_count(text: &str) -> Result<Limit<u32>, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => positive_count(text).map(Limit::at),
    }
}

pub(super) fn bounded_rate(text: &str) -> Result<Limit<Rate>, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => text.parse().map(Limit::at),
    }
}

/// A network in CIDR notation; an address is a network of one. One of IPv4 that is written as IPv6 is IPv4, as
/// its clients are.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            "write a network or an address, as in 192.0.2.0/24, 2001:db8::/32".to_owned()
        })?;
    /// Bits of an IPv4-mapped address before the IPv4 address (RFC 4291, section 2.5.5.2).
    const MAPPED: u8 = 96;
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= MAPPED => v6.addr().to_ipv4_mapped(),
        _ => None,
    };
    match mapped {
        Some(v4) => IpNet::new(v4.into(), network.prefix_len() - MAPPED).map_err(|e| e.to_string()),
        None => Ok(network),
    }
}

/// So many requests in a time: `100/1s`, `10/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once, and again in the time.
    pub requests: NonZeroU32,
    /// The time.
    pub per: Span,
}

impl Rate {
    /// As a token bucket: full it has `requests` tokens.
    pub(crate) fn quota(self) -> Quota {
        let each = self.per.0 / self.requests.get();
        Quota::with_period(each.max(Duration::from_nanos(1)))
            .unwrap_or(Quota::per_second(self.requests))
            .allow_burst(self.requests)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.per)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (requests, per) = text
            .split_once('/')
            .ok_or("write a number and a time, as in 100/1s or 10/1m")?;
        let requests = positive_count(requests)?;
        match (NonZeroU32::new(requests), whole_duration(per)?) {
            (Some(requests), per) if per.0 > Duration::ZERO => Ok(Rate { requests, per }),
            _ => Err("a time of nought is no rate".to_owned()),
        }
    }
}

/// Ports of UDP whose packets are not taken: `7,13`, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePorts(pub Vec<u16>);

impl Default for SourcePorts {
    /// The small services that answer whatever comes: echo (RFC 862), daytime (RFC 867), qotd (RFC 865), chargen
    /// (RFC 864), time (RFC 868).
    fn default() -> Self {
        SourcePorts(vec![7, 13, 17, 19, 37])
    }
}

impl fmt::Display for SourcePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<_> = self.0.iter().map(u16::to_string).collect();
        match ports.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&ports.join(",")),
        }
    }
}

impl FromStr for SourcePorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(SourcePorts(Vec::new()));
        }
        let ports = text.split(',').map(|port| match port.parse() {
            // Nobody has port 0: its packets are dropped in any case.
            Ok(0) | Err(_) => Err("write ports, as in 7,19, or none".to_owned()),
            Ok(port) => Ok(port),
        });
        ports.collect::<Result<_, _>>().map(SourcePorts)
    }
}

/// A file's mode as chmod(1) takes it: octal, read and write for user, group and others.
pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "write an octal mode, such as 660".to_owned())
}

/// A file's owner as chown(1) takes it.
pub(super) fn file_owner(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        None if !text.is_empty() => Ok(text.to_owned()),
        Some((_, group)) if !group.is_empty() && !group.contains(':') => Ok(text.to_owned()),
        _ => Err("write USER, USER:GROUP or :GROUP, by name or number".to_owned()),
    }
}

const NOUGHT: &str = "a limit of nought lets nothing through: write a larger value, or `none`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_limit_is_not_nought() {
        assert_eq!(
            Limit::at(Span(Duration::from_millis(250))),
            bounded_duration("250ms").unwrap()
        );
        assert_eq!(None, bounded_duration("none").unwrap().get());
        for wrong in ["5", "0s", "", "-1s", "5x", "999999999999999999y"] {
            assert!(bounded_duration(wrong).is_err(), "{wrong}");
        }
        assert!(whole_duration("0s").is_ok());
    }

    #[test]
    fn networks_of_ipv4_are_ipv4_however_they_are_written() {
        for (text, same) in [
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), same);
        }
        for wrong in ["", "127.0.0", "127.0.0.1/33", "::1/129", "localhost"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_may_have_a_unit() {
        let size = |text| bounded_size(text).unwrap().get().unwrap().0;
        assert_eq!(65_507, size("65507"));
        assert_eq!(64 << 10, size("64KiB"));
        assert_eq!(10_000_000, size("10MB"));
        for wrong in ["0", "0KiB", "-1", "", "five"] {
            assert!(bounded_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!("64KiB", Size(64 << 10).to_string());
        assert_eq!("65507", Size(65_507).to_string());
    }
}
