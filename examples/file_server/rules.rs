//! The options that decide what is served and how.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::proxies::Proxies;

#[derive(Debug)]
pub(crate) struct Rules {
    /// Set if names that begin with a dot are served.
    pub(crate) hidden: bool,
    pub(crate) follow_links: bool,
    /// A file that is served with 200 if nothing is found: an application that routes in the
    /// browser.
    pub(crate) spa: Option<PathBuf>,
    /// A file that is served with 404 if nothing is found.
    pub(crate) not_found: PathBuf,
    /// The charset of texts.
    pub(crate) charset: Option<String>,
    pub(crate) cache_control: Vec<CacheControl>,
    /// Set if scripts of all origins may read everything.
    pub(crate) cors: bool,
    pub(crate) proxies: Proxies,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            hidden: false,
            follow_links: false,
            spa: None,
            not_found: "404.html".into(),
            charset: None,
            cache_control: Vec::new(),
            cors: false,
            proxies: Proxies::default(),
        }
    }
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

    /// The value of `Cache-Control` for a file: that of the first pattern that fits.
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
    /// A line that says that the value cannot stand in a header.
    pub(crate) fn read(text: &str) -> Result<CacheControl, String> {
        let (pattern, value) = text.rsplit_once(':').unwrap_or(("*", text));
        let value = value.trim();
        let is_printable = |char: char| char == ' ' || char.is_ascii_graphic();
        if value.is_empty() || !value.chars().all(is_printable) {
            return Err(format!("{text:?} is no [PATTERN:]VALUE"));
        }
        Ok(CacheControl {
            pattern: pattern.trim_start_matches('/').to_owned(),
            value: value.to_owned(),
        })
    }

    /// A pattern with a slash is one of the whole path, another is one of the name alone.
    fn fits(&self, path: &[u8]) -> bool {
        let pattern = self.pattern.as_bytes();
        let name = path.rsplit(|&byte| byte == b'/').next();
        let text = match pattern.contains(&b'/') {
            true => path,
            false => name.unwrap_or_default(),
        };
        matches(pattern, text)
    }
}

/// A star stands for any bytes, slashes too. The last star gives way first, which is enough and
/// takes no more than the product of the lengths.
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
