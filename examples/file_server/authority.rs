//! Authorities: the value of `Host`, and the part of an absolute target between `//` and its path.

use std::net::Ipv6Addr;

/// Returns whether `authority` is a host with an optional port (RFC 9110, section 4.2).
///
/// The user information that other schemes have in front of the host is refused (section 4.2.4).
pub(crate) fn is_valid(authority: &[u8]) -> bool {
    split(authority).is_some_and(|(host, port)| is_host(host) && port.is_none_or(is_port))
}

/// Splits at the colon in front of the port. Colons in brackets belong to an address.
fn split(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let find = |wanted| authority.iter().position(|&byte| byte == wanted);
    let host_len = match authority.first() {
        Some(b'[') => find(b']')? + 1,
        _ => find(b':').unwrap_or(authority.len()),
    };
    match authority.split_at(host_len) {
        (host, []) => Some((host, None)),
        (host, [b':', port @ ..]) => Some((host, Some(port))),
        _ => None,
    }
}

/// A port may be left out after its colon.
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u16, |number, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit as u16)
    });
    number.is_some()
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', address @ .., b']'] => is_address(address),
        _ => !host.is_empty() && is_name(host),
    }
}

/// Accepts an IPv6 address, with a zone or without, and an address of a later version (RFC 3986,
/// section 3.2.2).
fn is_address(address: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = address {
        let mut parts = rest.splitn(2, |&byte| byte == b'.');
        let version = parts.next().unwrap_or_default();
        let address = parts.next().unwrap_or_default();
        let is_in_address = |&byte: &u8| byte == b':' || (byte != b'%' && is_in_name(byte));
        return is_filled(version, u8::is_ascii_hexdigit) && is_filled(address, is_in_address);
    }
    let mut parts = address.splitn(2, |&byte| byte == b'%');
    let number = std::str::from_utf8(parts.next().unwrap_or_default());
    let is_number = number.is_ok_and(|number| number.parse::<Ipv6Addr>().is_ok());
    is_number && parts.next().is_none_or(|zone| !zone.is_empty() && is_name(zone))
}

fn is_filled(bytes: &[u8], is_right: impl Fn(&u8) -> bool) -> bool {
    !bytes.is_empty() && bytes.iter().all(is_right)
}

/// A registered name: two digits must follow each percent sign.
fn is_name(name: &[u8]) -> bool {
    let mut encoded = name.split(|&byte| byte == b'%');
    let first = encoded.next().unwrap_or_default();
    let is_right = |part: &[u8]| part.iter().copied().all(is_in_name);
    let is_encoded = |part: &[u8]| match part {
        [high, low, rest @ ..] => {
            high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && is_right(rest)
        }
        _ => false,
    };
    is_right(first) && encoded.all(is_encoded)
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}
