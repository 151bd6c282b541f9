//! Media types, by the name of a file.

use std::path::Path;

use mime_guess::mime;

/// The types that IANA has, or that are in use, and `mime_guess` has otherwise or not at all.
const CORRECTED: &[(&str, &[&str])] = &[
    ("application/cbor", &["cbor"]),
    ("application/gzip", &["tgz"]),
    ("application/json", &["map"]),
    ("application/lzip", &["lz"]),
    ("application/octet-stream", &["br"]),
    ("application/pem-certificate-chain", &["pem"]),
    ("application/sql", &["sql"]),
    ("application/toml", &["toml"]),
    ("application/vnd.apple.mpegurl", &["m3u", "m3u8"]),
    ("application/vnd.debian.binary-package", &["deb"]),
    ("application/vnd.rar", &["rar"]),
    ("application/x-iso9660-image", &["iso"]),
    ("application/x-redhat-package-manager", &["rpm"]),
    ("application/xml", &["xml"]),
    ("application/yaml", &["yaml", "yml"]),
    ("application/zstd", &["zst"]),
    ("audio/matroska", &["mka"]),
    ("audio/mp4", &["m4a"]),
    ("font/otf", &["otf"]),
    ("font/woff", &["woff"]),
    ("image/vnd.adobe.photoshop", &["psd"]),
    ("image/vnd.microsoft.icon", &["ico"]),
    ("model/stl", &["stl"]),
    ("text/javascript", &["cjs", "mjs"]),
    ("text/plain", &["diff", "go", "java", "lock", "patch", "rb", "rs", "rst"]),
    ("text/vcard", &["vcf"]),
    ("video/iso.segment", &["m4s"]),
    ("video/matroska", &["mkv"]),
    ("video/mp2t", &["m2ts", "mts", "ts"]),
    ("video/mp4", &["m4v"]),
];

/// Text files without a suffix. `LICENSE-MIT` counts as `LICENSE`.
const TEXTS: &str = "AUTHORS CHANGELOG CHANGES CODEOWNERS CONTRIBUTING COPYING COPYRIGHT Dockerfile \
    HISTORY INSTALL LICENCE LICENSE Makefile NEWS NOTICE README TODO VERSION";

/// Returns the value of `Content-Type`. A text gets the charset of the option, or none. Clients
/// believe a wrong charset more than the text's own statement. WebVTT is always UTF-8.
pub(crate) fn media_type(path: &Path, charset: Option<&str>) -> String {
    let name = essence(path);
    let charset = match name {
        "text/vtt" => Some("utf-8"),
        _ => charset.filter(|_| name.starts_with("text/")),
    };
    match charset {
        Some(charset) => format!("{name}; charset={charset}"),
        None => name.to_owned(),
    }
}

fn essence(path: &Path) -> &'static str {
    let Some(suffix) = path.extension() else {
        return match is_text(path) {
            true => "text/plain",
            false => "application/octet-stream",
        };
    };
    let suffix = suffix.to_ascii_lowercase();
    let mut corrected = CORRECTED.iter();
    match corrected.find(|(_, of)| of.iter().any(|of| *of == suffix)) {
        Some((corrected, _)) => corrected,
        None => mime_guess::from_path(path)
            .first_raw()
            .unwrap_or(mime::APPLICATION_OCTET_STREAM.as_ref()),
    }
}

fn is_text(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let stem = name.and_then(|name| name.split('-').next());
    stem.is_some_and(|stem| TEXTS.split(' ').any(|text| text == stem))
}
