//! The proxies whose `X-Forwarded-For` is believed, in the log.

use std::net::{IpAddr, SocketAddr};

/// Addresses and networks; without any, nobody is believed.
#[derive(Default, Debug)]
pub(crate) struct Proxies {
    networks: Vec<(IpAddr, u8)>,
    /// Whether those who come by a Unix socket are trusted.
    unix: bool,
}

impl Proxies {
    /// Adds `IP`, `IP/LEN` or `unix`.
    ///
    /// # Errors
    ///
    /// A line that says that the text is none of these.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "unix" {
            self.unix = true;
            return Ok(());
        }
        let wrong = || format!("{text:?} is neither IP, IP/LEN nor unix");
        let (ip, len) = text.split_once('/').unwrap_or((text, ""));
        let ip = ip.parse().map_err(|_| wrong())?;
        let width = bits(ip).1;
        let len = match text.contains('/') {
            true => len.parse().ok().filter(|len| *len <= width),
            false => Some(width),
        };
        self.networks.push((ip, len.ok_or_else(wrong)?));
        Ok(())
    }

    /// The client's address: the last in the list that is no proxy's. Those before it are anybody's
    /// word.
    pub(crate) fn client(&self, peer: Option<IpAddr>, forwarded: Option<&str>) -> Option<IpAddr> {
        let mut client = peer;
        let list = forwarded.unwrap_or_default();
        for entry in list.rsplit(',') {
            let is_trusted = client.map_or(self.unix, |ip| self.trusts(ip));
            match address(entry.trim()) {
                Some(ip) if is_trusted => client = Some(ip),
                _ => break,
            }
        }
        client
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        let (address, most) = bits(ip);
        self.networks.iter().any(|&(network, len)| {
            let (network, width) = bits(network);
            let ignored = u32::from(width - len);
            width == most && (network ^ address).checked_shr(ignored).unwrap_or(0) == 0
        })
    }
}

/// An address as a number, and how many bits it has. One of IPv4 may come in the clothes of IPv6.
fn bits(ip: IpAddr) -> (u128, u8) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u32::from(ip).into(), 32),
        IpAddr::V6(ip) => (ip.into(), 128),
    }
}

/// Some proxies write the port too.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    with_port().or_else(|_| bare.parse()).ok()
}
