//! A strict parser for responses.

use httparse::EMPTY_HEADER;

#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Returns the value of a field, which must not occur twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(other, _)| other == name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        value.map(|(_, value)| value.as_str())
    }

    /// Parses one response, to HEAD or to another method, and returns the bytes after it.
    pub(crate) fn read(bytes: &[u8], is_head: bool) -> (Response, &[u8]) {
        let mut fields = [EMPTY_HEADER; 32];
        let mut parser = httparse::Response::new(&mut fields);
        let parsed = parser.parse(bytes).expect("a response");
        assert!(parsed.is_complete(), "a whole head");
        let len = parsed.unwrap();
        let head = std::str::from_utf8(&bytes[..len]).expect("text");
        assert!(head.lines().all(|line| line.bytes().all(is_printable)), "{head:?}");
        assert_eq!(head.matches('\n').count(), head.matches("\r\n").count());
        let fields = parser.headers.iter().map(|field| {
            let value = std::str::from_utf8(field.value).expect("text");
            (field.name.to_ascii_lowercase(), value.to_owned())
        });
        let mut response = Response {
            status: parser.code.expect("a status"),
            fields: fields.collect(),
            body: Vec::new(),
        };
        let rest = &bytes[len..];
        let len = response.body_len(is_head);
        assert!(
            len <= rest.len(),
            "a body of {len} bytes, of which {} were received: {head}",
            rest.len()
        );
        let (body, rest) = rest.split_at(len);
        response.body = body.to_vec();
        (response, rest)
    }

    fn body_len(&self, is_head: bool) -> usize {
        let len = self.field("content-length").map(|len| len.parse().expect("a length"));
        assert_eq!(len.is_none(), matches!(self.status, 204 | 304), "{self:?}");
        assert!(self.field("transfer-encoding").is_none());
        if is_head { 0 } else { len.unwrap_or(0) }
    }

    /// Removes the date and replaces the boundary, which differ between responses to one request.
    pub(crate) fn normalise(&mut self) {
        self.fields.retain(|(name, _)| name != "date");
        if let Some(boundary) = self.boundary() {
            for (_, value) in &mut self.fields {
                *value = value.replace(&boundary, "B");
            }
            // The replacement has the same length, so that `Content-Length` stays correct.
            let replacement = vec![b'B'; boundary.len()];
            let mut at = 0;
            while let Some(found) = find(&self.body[at..], boundary.as_bytes()) {
                at += found;
                self.body[at..at + replacement.len()].copy_from_slice(&replacement);
            }
        }
    }

    /// Returns the boundary of a multipart response.
    fn boundary(&self) -> Option<String> {
        let media_type = self.field("content-type")?;
        let boundary = media_type.strip_prefix("multipart/byteranges; boundary=");
        boundary.map(str::to_owned)
    }

    /// Returns the `Content-Range` and the bytes of each part. Asserts the exact bytes between the
    /// parts.
    pub(crate) fn parts(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let delimiter = format!("\r\n--{}", self.boundary()?);
        let mut rest = &self.body[..];
        let mut parts = Vec::new();
        loop {
            rest = rest.strip_prefix(delimiter.as_bytes()).expect("a boundary");
            if rest == b"--\r\n" {
                return Some(parts);
            }
            let end = find(rest, b"\r\n\r\n").expect("the end of a head") + 4;
            let head = std::str::from_utf8(&rest[..end]).expect("text");
            let lines: Vec<&str> = head.trim().split("\r\n").collect();
            let [media_type, content_range] = lines[..] else {
                panic!("{head:?}");
            };
            assert!(media_type.starts_with("Content-Type: "), "{head:?}");
            let content_range = content_range.strip_prefix("Content-Range: ");
            let content_range = content_range.expect("a range").to_owned();
            let bytes = &rest[end..];
            let len = find(bytes, delimiter.as_bytes()).expect("a boundary");
            parts.push((content_range, bytes[..len].to_vec()));
            rest = &bytes[len..];
        }
    }
}

fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
