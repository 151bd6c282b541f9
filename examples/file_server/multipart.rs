//! `multipart/byteranges` (RFC 9110, section 14.6): several parts of a file in one response.

use std::hash::{BuildHasher, RandomState};

use crate::range::Part;

#[derive(Debug)]
pub(crate) struct Multipart {
    /// What stands between the parts and must not be in them.
    boundary: String,
    content_type: String,
    /// That of the whole file.
    size: u64,
    pub(crate) parts: Vec<Part>,
}

impl Multipart {
    pub(crate) fn new(parts: Vec<Part>, content_type: String, size: u64) -> Multipart {
        Multipart {
            boundary: boundary(),
            content_type,
            size,
            parts,
        }
    }

    /// The type of the response as a whole.
    pub(crate) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What stands in front of a part.
    pub(crate) fn head(&self, part: Part) -> String {
        format!(
            "\r\n--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            self.boundary,
            self.content_type,
            part.place(self.size),
        )
    }

    /// What stands behind the last.
    pub(crate) fn tail(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Of everything, from the first head to the tail.
    pub(crate) fn len(&self) -> u64 {
        let parts = self.parts.iter();
        let parts: u64 = parts
            .map(|&part| self.head(part).len() as u64 + part.count)
            .sum();
        parts + self.tail().len() as u64
    }
}

/// 128 random bits, anew for each response: nobody can put into a file what nobody knows.
fn boundary() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", random(), random())
}
