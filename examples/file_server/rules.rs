//! The options about files and their fields, and the trusted proxies.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Default, Debug)]
pub(crate) struct Rules {
    /// Set if names that begin with a dot are served.
    pub(crate) hidden: bool,
    pub(crate) follow_links: bool,
    /// A file that is served with 200 if nothing is found: an application that routes in the
    /// browser.
    pub(crate) spa: Option<PathBuf>,
    /// The file that is served with 404 if nothing is found, instead of `404.html`.
    pub(crate) not_found: Option<PathBuf>,
    /// The charset of texts.
    pub(crate) charset: Option<String>,
    pub(crate) cache_control: Vec<CacheControl>,
    /// Set if scripts of all origins may read everything.
    pub(crate) cors: bool,
    pub(crate) proxies: Proxies,
}

impl Rules {
    /// Returns whether the server must answer as if nothing was at this path. `/.well-known/` is
    /// meant for everybody (RFC 8615).
    pub(crate) fn hides(&self, path: &Path) -> bool {
        let mut names = path.as_os_str().as_bytes().split(|&byte| byte == b'/');
        let is_hidden = |name: &[u8]| name.starts_with(b".") && name != b".";
        let first = names.next().unwrap_or_default();
        !self.hidden && (is_hidden(first) && first != b".well-known" || names.any(is_hidden))
    }

    /// Returns the value of `Cache-Control` for a file, by the first pattern that fits.
    pub(crate) fn cache_control(&self, path: &Path) -> Option<&str> {
        let mut fitting = self.cache_control.iter();
        let first = fitting.find(|rule| rule.fits(path.as_os_str().as_bytes()))?;
        Some(&first.value)
    }
}

/// `[PATTERN:]VALUE`.
#[derive(Debug)]
pub(crate) struct CacheControl {
    pattern: String,
    value: String,
}

impl CacheControl {
    /// # Errors
    ///
    /// A line with the mistake, if the value cannot stand in a header.
    pub(crate) fn read(text: &str) -> Result<CacheControl, String> {
        let (pattern, value) = text.rsplit_once(':').unwrap_or(("*", text));
        let value = value.trim();
        let is_printable = |char: char| char == ' ' || char.is_ascii_graphic();
        if value.is_empty() || !value.chars().all(is_printable) {
            return Err(format!("{text:?} is no [PATTERN:]VALUE"));
        }
        Ok(CacheControl { pattern: pattern.to_owned(), value: value.to_owned() })
    }

    /// Matches the whole path if the pattern has a slash, else the name.
    fn fits(&self, path: &[u8]) -> bool {
        // The index of the root has the path `./index.html`.
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        match self.pattern.contains('/') {
            true => matches(self.pattern.trim_start_matches('/').as_bytes(), path),
            false => matches(self.pattern.as_bytes(), name),
        }
    }
}

/// A star stands for any bytes, slashes too. Only the last star is retried. So the time is at most
/// the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut last_star = None;
    while of < text.len() {
        if pattern.get(at) == Some(&b'*') {
            last_star = Some((at, of));
            at += 1;
        } else if pattern.get(at) == Some(&text[of]) {
            (at, of) = (at + 1, of + 1);
        } else if let Some((star, begin)) = last_star {
            last_star = Some((star, begin + 1));
            (at, of) = (star + 1, begin + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// The proxies whose `X-Forwarded-For` the log believes.
#[derive(Default, Debug)]
pub(crate) struct Proxies {
    networks: Vec<(IpAddr, u8)>,
    /// True if the peers of a Unix socket are trusted.
    unix: bool,
}

impl Proxies {
    /// Adds `IP`, `IP/LEN` or `unix`.
    ///
    /// # Errors
    ///
    /// A line with the mistake.
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

    /// Returns the client's address: the last in the list that is no proxy's. The client may have
    /// invented those before it.
    pub(crate) fn client(&self, peer: Option<IpAddr>, forwarded: Option<&str>) -> Option<IpAddr> {
        let mut client = peer;
        let entries = forwarded.unwrap_or_default().rsplit(',').map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let is_trusted = client.map_or(self.unix, |ip| self.trusts(ip));
            match address(entry) {
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

/// Returns an address as a number, and its bits. IPv4 may be mapped to IPv6.
fn bits(ip: IpAddr) -> (u128, u8) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u32::from(ip).into(), 32),
        IpAddr::V6(ip) => (ip.into(), 128),
    }
}

/// Reads an address. Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    with_port().or_else(|_| bare.parse()).ok()
}
