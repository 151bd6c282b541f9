//! A request's fields, by name.

use httparse::Header;

pub(crate) struct Fields<'a>(pub(crate) &'a [Header<'a>]);

impl<'a> Fields<'a> {
    /// Returns the values of all fields of this name, in their order.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let named = self.0.iter();
        let named = named.filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// Returns the value of a field that stands there once. Two fields contradict each other.
    pub(crate) fn single(&self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        let value = values.next()?;
        values.next().is_none().then(|| text(value))
    }

    /// Returns the value of a list. Several fields of one name are one list, with commas between.
    pub(crate) fn list(&self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        let mut list = text(values.next()?);
        for value in values {
            list.push_str(", ");
            list.push_str(&text(value));
        }
        Some(list)
    }

    pub(crate) fn has_token(&self, name: &'static str, token: &str) -> bool {
        let mut tokens = self
            .all(name)
            .flat_map(|value| value.split(|&byte| byte == b','));
        tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// The server writes only UTF-8. With replacements, other bytes still compare unequal to it.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
