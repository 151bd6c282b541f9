//! `Accept-Encoding` (RFC 9110, section 12.5.3): the precompressed variants that a client prefers.

/// The coding of a precompressed variant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// Returns its name in HTTP.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// Returns the suffix of a variant's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
        }
    }
}

/// The codings that a client accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Acceptable {
    /// The codings that it prefers to the file as it is, the best first.
    pub(crate) codings: [Option<Coding>; 2],
    /// True if it accepts the file as it is.
    pub(crate) identity: bool,
}

/// A weight, in thousandths.
type Weight = u16;

const FULL: Weight = 1000;

impl Acceptable {
    /// Reads the field's value. Without one the server sends the file as it is. RFC 9110 allows
    /// any coding then, but few such clients can decode one.
    pub(crate) fn read(value: Option<&str>) -> Acceptable {
        let Some(value) = value else {
            return Acceptable { codings: [None; 2], identity: true };
        };
        let any = weight_of(value, &["*"]);
        let identity = weight_of(value, &["identity"]).or(any);
        let weight = |coding, names: &[&str]| (weight_of(value, names).or(any), coding);
        let mut codings =
            [weight(Coding::Brotli, &["br"]), weight(Coding::Gzip, &["gzip", "x-gzip"])];
        // Stable: of equals, the one that is smaller.
        codings.sort_by_key(|&(weight, _)| std::cmp::Reverse(weight));
        // A client that does not name the identity accepts it, and prefers the codings that it
        // names.
        let least = identity.unwrap_or(0).max(1);
        Acceptable {
            codings: codings.map(|(weight, coding)| (weight? >= least).then_some(coding)),
            identity: identity != Some(0),
        }
    }
}

/// Returns whether a client prefers JSON for a listing, by its `Accept`.
pub(crate) fn prefers_json(accept: Option<&str>) -> bool {
    let weight = |name| weight_of(accept.unwrap_or_default(), &[name]);
    let json = weight("application/json").unwrap_or(0);
    match weight("text/html") {
        Some(html) => json > html,
        // A range may stand for HTML. Of equals, the client prefers the one that it names.
        None => json > 0 && json >= weight("text/*").or(weight("*/*")).unwrap_or(0),
    }
}

/// Returns the weight that the list gives to the first of these names.
fn weight_of(list: &str, names: &[&str]) -> Option<Weight> {
    list.split(',').find_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next()?;
        let is_named = names.iter().any(|other| other.eq_ignore_ascii_case(name));
        is_named.then(|| parts.find_map(quality).unwrap_or(FULL))
    })
}

/// Reads `q=0.5` and the like. A malformed weight counts as 0.
fn quality(parameter: &str) -> Option<Weight> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    // A weight beyond the limits becomes the nearest one.
    Some((value.clamp(0.0, 1.0) * f32::from(FULL)).round() as Weight)
}
