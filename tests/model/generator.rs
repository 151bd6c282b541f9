//! Cases at random: most of them small and at the edges, a few large.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::case::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Pages, pipes, blocks of the fallback, the cap of a call and the budget of a turn.
const SMALL_EDGES: [u64; 6] = [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB];
const LARGE_EDGES: [u64; 6] = [256 * KIB, 512 * KIB, MIB, 2 * MIB, 3 * MIB, LONGEST - 1];

/// Offsets that few files or none reach, and the first that is refused.
const FAR: [u64; 4] = [LONGEST + 9, i64::MAX as u64 - 1, i64::MAX as u64, 1 << 63];

/// No transfer takes more steps than about this, no reader more reads.
const MOST_STEPS: u64 = 300;

fn edges(edges: &'static [u64]) -> impl Strategy<Value = u64> {
    (select(edges), 0..3_u64).prop_map(|(edge, beside)| edge + beside - 1)
}

/// A length or an offset.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        30 => 0..100_u64,
        100 => 0..6000_u64,
        60 => edges(&SMALL_EDGES),
        25 => 0..150_000_u64,
        4 => edges(&LARGE_EDGES),
        1 => 0..=LONGEST,
    ]
}

fn size() -> impl Strategy<Value = (Medium, u64)> {
    let medium = prop_oneof![
        100 => Just(Medium::Memory),
        60 => Just(Medium::Disk),
        3 => Just(Medium::Cold),
    ];
    (medium, bytes()).prop_map(|(medium, size)| match medium {
        Medium::Cold => (medium, LONGEST),
        _ => (medium, size),
    })
}

fn wire() -> impl Strategy<Value = Wire> {
    let kind = prop_oneof![4 => Just(Kind::Unix), 3 => Just(Kind::Tcp)];
    let send = weighted(0.6, select(&[1, 4096, 16_384, 65_536, 1 << 20][..]));
    let receive = weighted(0.4, select(&[65_536, 262_144, 4 << 20][..]));
    (kind, send, receive).prop_map(|(kind, send_buffer, receive_buffer)| Wire {
        kind,
        send_buffer,
        receive_buffer,
    })
}

fn reader() -> impl Strategy<Value = Reader> {
    let piece = prop_oneof![1..100_usize, 100..10_000_usize, Just(65_536), Just(1 << 20)];
    let rest = prop_oneof![3 => Just(0), 1 => 1..4_u32, 1 => 4..20_u32];
    (piece, rest).prop_map(|(piece, rest)| Reader { piece, rest })
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        (0..8_u32).prop_map(When::Polls),
        bytes().prop_map(When::Sent),
        bytes().prop_map(When::Received),
    ]
}

/// Offset and count, many of them where the file ends.
fn part(size: u64) -> impl Strategy<Value = (u64, Option<u64>)> {
    let near_end = (0..3_u64, 0..5000_u64)
        .prop_map(move |(beyond, before)| (size + beyond).saturating_sub(1 + before % 3000));
    let offset = prop_oneof![
        30 => Just(0),
        30 => bytes(),
        30 => near_end,
        1 => select(&FAR[..]),
    ];
    let count = prop_oneof![
        40 => Just(None),
        40 => bytes().prop_map(Some),
        10 => Just(Some(0)),
        10 => (0..3_u64).prop_map(move |beyond| Some((size + beyond).saturating_sub(1))),
        2 => Just(Some(u64::MAX)),
    ];
    (offset, count)
}

fn transfer(size: u64) -> impl Strategy<Value = Transfer> {
    let header = prop_oneof![4 => Just(0), 2 => 1..300_usize, 1 => 1..MOST_BYTES];
    let chunk = prop_oneof![
        200 => Just(None),
        99 => bytes().prop_map(|bytes| Some(bytes + 1)),
        1 => Just(Some(0))
    ];
    let flags = (
        proptest::bool::weighted(0.8),
        any::<bool>(),
        proptest::bool::weighted(0.1),
    );
    (part(size), chunk, header, flags).prop_map(move |((offset, count), chunk, header, flags)| {
        let (fallback, prefetch, stall_timeout) = flags;
        Transfer {
            offset,
            count,
            chunk,
            header,
            fallback,
            prefetch,
            stall_timeout,
        }
    })
}

fn writer(what: impl Strategy<Value = What>) -> impl Strategy<Value = Writer> {
    (what, weighted(0.35, when()), 0..4_u32).prop_map(|(what, given_up, begins)| Writer {
        begins,
        given_up,
        what,
    })
}

fn writers(size: u64) -> impl Strategy<Value = Vec<Writer>> {
    let file = || transfer(size).prop_map(What::File);
    let sendall = bytes().prop_map(|len| What::Bytes(len.min(MOST_BYTES as u64) as usize));
    let other = prop_oneof![file(), sendall];
    let others = prop_oneof![
        13 => Just(Vec::new()),
        7 => vec(writer(other), 1..=2),
    ];
    (writer(file()), others, any::<bool>()).prop_map(|(one, mut others, first)| {
        let place = if first { 0 } else { others.len() };
        others.insert(place, one);
        others
    })
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let act = prop_oneof![
        6 => bytes().prop_map(Act::Resize),
        1 => Just(Act::HalfClose),
        1 => Just(Act::Reset),
    ];
    let deed = (when(), act).prop_map(|(when, what)| Deed { when, what });
    prop_oneof![
        12 => Just(Vec::new()),
        8 => vec(deed, 1..=2),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let file = size().prop_flat_map(|file| (Just(file), writers(file.1)));
    (file, bytes(), wire(), reader(), deeds()).prop_map(
        |(((medium, size), writers), position, wire, reader, deeds)| {
            let case = Case {
                medium,
                size,
                position,
                wire,
                reader,
                writers,
                deeds,
            };
            bounded(case)
        },
    )
}

/// Keeps a large case from taking tiny steps, and a cold file from changing.
fn bounded(mut case: Case) -> Case {
    if case.medium == Medium::Cold {
        case.deeds
            .retain(|deed| !matches!(deed.what, Act::Resize(_)));
    }
    let step = case.volume() / MOST_STEPS;
    case.reader.piece = case.reader.piece.max(step as usize + 1);
    case.wire.send_buffer = case.wire.send_buffer.map(|len| len.max(step as usize));
    for writer in &mut case.writers {
        if let What::File(Transfer {
            chunk: Some(chunk @ 1..),
            ..
        }) = &mut writer.what
        {
            *chunk = (*chunk).max(step);
        }
    }
    case
}
