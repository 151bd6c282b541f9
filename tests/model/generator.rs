//! Generates random cases: most are small and at the edges, a few are large.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::case::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The sizes of pages, pipes and fallback blocks, the cap of a call and the budget.
const SMALL_EDGES: [u64; 6] = [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB];
const LARGE_EDGES: [u64; 6] = [256 * KIB, 512 * KIB, MIB, 2 * MIB, 3 * MIB, LONGEST - 1];

/// A send buffer larger than the budget.
const WIDE: usize = 4 << 20;

/// The kernel raises the smallest one to about 4 KiB.
const SEND_BUFFERS: [usize; 8] = [1, 1, 1, 1, 4096, 16_384, 65_536, WIDE];

/// Segments on loopback have 64 KiB. With a smaller buffer, a sender waits 200 ms for each window
/// probe.
const RECEIVE_BUFFERS: [usize; 4] = [65_536, 65_536, 262_144, 4 << 20];

/// Offsets that few files reach or none, and the first invalid one.
const FAR: [u64; 4] = [LONGEST + 9, i64::MAX as u64 - 1, i64::MAX as u64, 1 << 63];

/// No transfer takes more steps than about this, no reader more reads.
const MAX_STEPS: u64 = 200;

/// The most times that a TCP sender fills its buffer. Each time it may wait 40 ms for a delayed
/// acknowledgement.
const MAX_FILLINGS: u64 = 4;

fn edges(edges: &'static [u64]) -> impl Strategy<Value = u64> {
    (select(edges), 0..3_u64).prop_map(|(edge, beside)| edge + beside - 1)
}

/// A length or an offset.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => 0..100_u64,
        30 => 0..6000_u64,
        70 => edges(&SMALL_EDGES),
        70 => 0..150_000_u64,
        3 => edges(&LARGE_EDGES),
        1 => 0..=LONGEST,
    ]
}

fn size() -> impl Strategy<Value = (Medium, u64)> {
    let medium = prop_oneof![
        100 => Just(Medium::Memory),
        50 => Just(Medium::Disk),
        5 => Just(Medium::Cold),
        30 => Just(Medium::Overlay),
        5 => Just(Medium::Squashfs),
        3 => Just(Medium::ColdSquashfs),
    ];
    (medium, bytes()).prop_map(|(medium, size)| match medium.is_fixed() {
        true => (medium, COLD),
        false => (medium, size),
    })
}

fn wire() -> impl Strategy<Value = Wire> {
    let kind = prop_oneof![
        60 => Just(Kind::Unix),
        40 => Just(Kind::Tcp),
        1 => Just(Kind::Nagle),
    ];
    let send = weighted(0.8, select(&SEND_BUFFERS[..]));
    let receive = weighted(0.6, select(&RECEIVE_BUFFERS[..]));
    (kind, send, receive).prop_map(|(kind, send_buffer, receive_buffer)| Wire {
        kind,
        send_buffer,
        receive_buffer,
    })
}

fn reader() -> impl Strategy<Value = Reader> {
    let piece = prop_oneof![1..100_usize, 100..10_000_usize, Just(65_536), Just(MAX_PIECE)];
    let rest = prop_oneof![3 => Just(0), 1 => 1..4_u32, 1 => 4..20_u32];
    (piece, rest).prop_map(|(piece, rest)| Reader { piece, rest })
}

fn when() -> impl Strategy<Value = When> {
    let soon = || prop_oneof![3 => 0..20_000_u64, 1 => bytes()];
    prop_oneof![
        1 => (0..3_u32).prop_map(When::Polls),
        1 => (0..12_u32).prop_map(When::Polls),
        2 => soon().prop_map(When::Sent),
        2 => soon().prop_map(When::Received),
    ]
}

/// An offset or a count relative to the file, whose size is not known yet.
///
/// So proptest can shrink each one by itself.
#[derive(Debug, Clone, Copy)]
enum Spot {
    At(u64),
    /// A number of bytes before the end, or one byte after it.
    BeforeEnd(u64),
}

impl Spot {
    fn of(self, size: u64) -> u64 {
        match self {
            Spot::At(at) => at,
            Spot::BeforeEnd(bytes) => (size + 1).saturating_sub(bytes),
        }
    }
}

/// Generates an offset and a count, often near the end of the file.
fn part() -> impl Strategy<Value = (Spot, Option<Spot>)> {
    let offset = prop_oneof![
        50 => Just(Spot::At(0)),
        10 => bytes().prop_map(Spot::At),
        20 => (0..5000_u64).prop_map(Spot::At),
        15 => (0..3_u64).prop_map(Spot::BeforeEnd),
        15 => (0..5000_u64).prop_map(Spot::BeforeEnd),
        1 => select(&FAR[..]).prop_map(Spot::At),
    ];
    let count = prop_oneof![
        60 => Just(None),
        30 => bytes().prop_map(|count| Some(Spot::At(count))),
        3 => Just(Some(Spot::At(0))),
        10 => (0..3_u64).prop_map(|bytes| Some(Spot::BeforeEnd(bytes))),
        2 => Just(Some(Spot::At(u64::MAX))),
    ];
    (offset, count)
}

/// A writer before the file's size is known.
#[derive(Debug, Clone)]
enum Rough {
    Bytes(usize),
    File(Spot, Option<Spot>, Transfer),
}

impl Rough {
    fn of(self, size: u64) -> What {
        match self {
            Rough::Bytes(len) => What::Bytes(len),
            Rough::File(offset, count, mut transfer) => {
                transfer.offset = offset.of(size);
                transfer.count = count.map(|count| count.of(size));
                What::File(transfer)
            }
        }
    }
}

fn transfer() -> impl Strategy<Value = Rough> {
    let header = prop_oneof![8 => Just(0), 4 => 1..300_usize, 1 => 1..MAX_BYTES];
    // One step sends many tiny chunks if the socket has room.
    let chunk = prop_oneof![
        200 => Just(None),
        40 => (1..100_u64).prop_map(Some),
        99 => bytes().prop_map(|bytes| Some(bytes + 1)),
        3 => Just(Some(0))
    ];
    let flags = (
        proptest::bool::weighted(0.8),
        any::<bool>(),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.75),
    );
    (part(), chunk, header, flags).prop_map(|((offset, count), chunk, header, flags)| {
        let (fallback, prefetch, stall_timeout, update_position) = flags;
        Rough::File(
            offset,
            count,
            Transfer {
                offset: 0,
                count: None,
                chunk,
                header,
                fallback,
                prefetch,
                stall_timeout,
                update_position,
            },
        )
    })
}

/// The start of a writer, its cancellation, and its kind.
type RoughWriter = (u32, Option<When>, Rough);

fn writer(what: impl Strategy<Value = Rough>) -> impl Strategy<Value = RoughWriter> {
    (0..4_u32, weighted(0.35, when()), what)
}

fn writers() -> impl Strategy<Value = Vec<RoughWriter>> {
    let sendall = bytes().prop_map(|len| Rough::Bytes(len.min(MAX_BYTES as u64) as usize));
    let other = prop_oneof![transfer(), sendall];
    let others = prop_oneof![
        13 => Just(Vec::new()),
        7 => vec(writer(other), 1..MAX_WRITERS),
    ];
    (writer(transfer()), others, any::<bool>()).prop_map(|(one, mut others, last)| {
        let place = if last { others.len() } else { 0 };
        others.insert(place, one);
        others
    })
}

fn disturbances() -> impl Strategy<Value = Vec<Disturbance>> {
    let act = prop_oneof![
        6 => bytes().prop_map(Act::Resize),
        1 => Just(Act::HalfClose),
        2 => Just(Act::Reset),
    ];
    let disturbance = (when(), act).prop_map(|(when, what)| Disturbance { when, what });
    prop_oneof![
        12 => Just(Vec::new()),
        8 => vec(disturbance, 1..=2),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    (size(), writers(), bytes(), wire(), reader(), disturbances()).prop_map(
        |((medium, size), writers, position, wire, reader, disturbances)| {
            let finish = |(begins, cancelled, rough): RoughWriter| Writer {
                begins,
                cancelled,
                what: rough.of(size),
            };
            bounded(Case {
                medium,
                size,
                position,
                wire,
                reader,
                writers: writers.into_iter().map(finish).collect(),
                disturbances,
            })
        },
    )
}

/// Keeps a large case from taking tiny steps, and a cold file from changing.
fn bounded(mut case: Case) -> Case {
    if case.medium.is_fixed() {
        case.disturbances.retain(|disturbance| !matches!(disturbance.what, Act::Resize(_)));
    }
    let volume = case.volume();
    let step = volume / MAX_STEPS;
    let fillings = match case.wire.kind {
        Kind::Unix => MAX_STEPS,
        Kind::Tcp | Kind::Nagle => MAX_FILLINGS,
    };
    let least_buffer = (volume / fillings) as usize;
    if !case.disturbances.is_empty() || case.writers.iter().any(|writer| writer.cancelled.is_some())
    {
        let narrow = case.wire.send_buffer.map_or(4096, |len| len.min(16_384));
        case.wire.send_buffer = Some(narrow);
    }
    let widened = |len: usize| match volume {
        ..=MIB => len.max(least_buffer),
        _ if len >= 16_384 => WIDE,
        _ => len.max(least_buffer),
    };
    case.wire.send_buffer = case.wire.send_buffer.map(widened);
    case.reader.piece = case.reader.piece.max(step as usize + 1);
    let pieces = volume / case.reader.piece as u64 + 1;
    case.reader.rest = case.reader.rest.min((2 * MAX_STEPS / pieces) as u32);
    for writer in &mut case.writers {
        if let What::File(Transfer { chunk: Some(chunk @ 1..), .. }) = &mut writer.what {
            *chunk = (*chunk).max(step);
        }
    }
    case
}
