//! Whole connections: what a client gets is what its requests ask for, one answer each, however they come in pieces.

use std::cell::RefCell;

use crate::fuzz::answers::{Answer, find};
use crate::fuzz::request::{End, requests};
use crate::fuzz::server::Server;
use crate::fuzz::tree::{SECRET, Tree};
use crate::request::{Method, Request, first_line};

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// The first byte says how long the pieces are, the rest is what the client sends.
///
/// # Panics
///
/// Where an answer is not right, or another one than for all at once.
pub fn check_bytes(bytes: &[u8]) {
    if let Some((&len, sent)) = bytes.split_first() {
        let len = usize::from(len).max(1).max(sent.len() / 64);
        let whole = check(sent);
        compare(&whole, sent, answers(sent, sent.chunks(len)));
    }
}

/// All at once; the answers.
///
/// # Panics
///
/// Where one of them is not right.
pub(crate) fn check(sent: &[u8]) -> Vec<Answer> {
    answers(sent, [sent].into_iter())
}

/// # Panics
///
/// Where the answers are others when it comes in two pieces that part here.
#[cfg(test)]
pub(crate) fn check_split(whole: &[Answer], sent: &[u8], at: usize) {
    let (first, second) = sent.split_at(at);
    compare(whole, sent, answers(sent, [first, second].into_iter()));
}

fn compare(whole: &[Answer], sent: &[u8], pieces: Vec<Answer>) {
    let shown = String::from_utf8_lossy(sent);
    assert!(whole == pieces, "{whole:?} or {pieces:?} to {shown:?}");
}

fn answers<'a>(sent: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Answer> {
    // A server whose answer was wrong is not used again.
    let server = SERVER.take().unwrap_or_else(Server::new);
    let received = server.answer(pieces.filter(|piece| !piece.is_empty()));
    let shown = String::from_utf8_lossy(sent);
    assert!(
        find(&received, SECRET).is_none(),
        "the secret for {shown:?}"
    );
    let seen = requests(sent);
    let mut rest = &received[..];
    let mut at = 0;
    let mut answers = Vec::new();
    for (request, len) in &seen.requests {
        let (answer, behind) = Answer::read(rest, request.method == Method::Head);
        check_answer(request, &answer);
        answers.push(answer);
        rest = behind;
        at += len;
    }
    if seen.end == End::Refused {
        let is_head = first_line(&sent[at..]).starts_with(b"HEAD ");
        let (answer, behind) = Answer::read(rest, is_head);
        assert!(
            matches!(answer.status, 400 | 414 | 417 | 431 | 501 | 505),
            "{shown:?}"
        );
        assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
        answers.push(answer);
        rest = behind;
    }
    assert!(rest.is_empty(), "more answers than questions: {shown:?}");
    SERVER.set(Some(server));
    answers.iter_mut().for_each(Answer::settle);
    answers
}

fn check_answer(request: &Request, answer: &Answer) {
    let connection = match request.keep_alive {
        true => "keep-alive",
        false => "close",
    };
    assert_eq!(answer.field("connection"), Some(connection), "{request:?}");
    let statuses: &[u16] = match request.method {
        Method::Get => &[200, 206, 301, 304, 404, 406, 412, 416],
        Method::Head => &[200, 301, 304, 404, 406, 412],
        Method::Options => &[204],
        Method::Connect | Method::Known => &[405],
        Method::Unknown => &[501],
    };
    assert!(
        statuses.contains(&answer.status),
        "{answer:?} to {request:?}"
    );
    if request.method == Method::Head {
        return;
    }
    match answer.status {
        200 if answer.field("etag").is_some() => {
            let size = answer.body.len() as u64;
            assert!(
                Tree::shared().of_size(size) == Some(&answer.body[..]),
                "{request:?}"
            );
        }
        206 => check_ranges(request, answer),
        416 => assert!(answer.field("content-range").is_some(), "{request:?}"),
        _ => {}
    }
}

/// Each part is where it says, and all parts are no more than the file.
fn check_ranges(request: &Request, answer: &Answer) {
    let several = answer.parts().unwrap_or_else(|| {
        let place = answer.field("content-range").expect("its place");
        vec![(place.to_owned(), answer.body.clone())]
    });
    let mut total = 0;
    let mut of = 0;
    for (place, bytes) in &several {
        let place = place.strip_prefix("bytes ").expect("bytes");
        let (range, size) = place.split_once('/').expect("a size");
        let (first, last) = range.split_once('-').expect("two ends");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let (first, last, size) = (number(first), number(last), number(size));
        let file = Tree::shared().of_size(size as u64).expect("a file");
        assert!(
            bytes == &file[first..=last],
            "{request:?}: the content differs"
        );
        total += bytes.len();
        of = size;
    }
    assert!(total <= of, "{request:?}");
}
