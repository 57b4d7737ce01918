//! Frames survive the way; nothing else passes for one.

use ferryway_core::{
    Digest, Direction, JobId, RemotePath, RunNumber, Status,
    notice::{Announcement, Delivery, Reference, Withdrawal},
};
use proptest::{collection::vec, option, prelude::*};

use super::*;

const KEY: [u8; 32] = [7; 32];

fn seal() -> Seal {
    Seal::keyed(KEY)
}

/// The seals that show what was changed.
const SEALS: [fn([u8; 32]) -> Seal; 2] = [Seal::keyed, Seal::summed];

/// What the reader of a connection does, over bytes in memory.
fn read(seal: &mut Seal, bytes: &[u8]) -> Result<Frame, Malformed> {
    let (head, payload) = bytes.split_at(HEAD_BYTES);
    let head = Head::parse(head.try_into().unwrap())?;
    let payload = payload.get(..head.length()).ok_or(Malformed::Message)?;
    seal.decode(&head, payload.into())
}

fn encode(seal: &mut Seal, frame: Frame) -> Vec<u8> {
    let (head, payload) = seal.encode(frame).unwrap();
    [&head[..], &payload].concat()
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Crc32), Just(Algorithm::Sha256), Just(Algorithm::Blake3)]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        text().prop_map(|path| Request::Stat { path }),
        option::of(text()).prop_map(|folder| Request::List { folder }),
        (text(), any::<u64>(), any::<bool>()).prop_map(|(path, offset, packed)| Request::Fetch {
            path,
            offset,
            packed
        }),
        (text(), any::<u64>(), any::<u64>()).prop_map(|(path, offset, length)| Request::Store {
            path,
            offset,
            length
        }),
        (text(), text()).prop_map(|(from, to)| Request::Rename { from, to }),
        text().prop_map(|path| Request::Remove { path }),
        text().prop_map(|path| Request::MakeFolder { path }),
        text().prop_map(|path| Request::RemoveFolder { path }),
        (text(), algorithm(), any::<u64>())
            .prop_map(|(path, algorithm, length)| Request::Checksum { path, algorithm, length }),
        notice().prop_map(|notice| Request::Tell { notice }),
        Just(Request::Ping),
    ]
}

fn notice() -> impl Strategy<Value = Notice> {
    let of = || {
        (1..9999_u64, any::<u32>()).prop_map(|(run, delivery)| {
            let job = JobId::new(&"PRDY01".parse().unwrap(), RunNumber(run));
            Reference { job, delivery }
        })
    };
    let path = || "[a-z/]{1,20}[a-z]".prop_map(|path| path.parse::<RemotePath>());
    let path = move || path().prop_filter_map("no path", Result::ok);
    prop_oneof![
        (of(), any::<(u32, bool, bool)>(), path(), option::of(any::<u64>())).prop_map(
            |(of, (start, first, sends), path, size)| {
                let direction = if sends { Direction::Send } else { Direction::Fetch };
                let definition = "PRDY01".parse().unwrap();
                let what = Announcement { of, start, first, definition, direction, path, size };
                Notice::Announce(what)
            }
        ),
        (of(), path(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(of, path, size, digest)| {
            let digest = Some(Digest::from_bytes(Algorithm::Blake3, &digest));
            Notice::Delivered(Delivery { of, path, size, digest })
        }),
        (of(), any::<u32>(), text()).prop_map(|(of, start, reason)| Notice::Withdraw(Withdrawal {
            of,
            start,
            reason
        })),
        Just(Notice::Back),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    (1..9999_u64, 0..Status::EACH.len(), option::of(text())).prop_map(|(run, status, open)| {
        let job = JobId::new(&"PRDY01".parse().unwrap(), RunNumber(run));
        Standing { job, status: Status::EACH[status], open }
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let offer = (any::<[bool; 4]>(), vec(algorithm(), 0..4), any::<u32>());
    prop_oneof![
        Just(Answer::Nothing),
        offer.prop_map(|([resume, replaces, notices, packs], checksums, rooms)| {
            Answer::Opened(Offer { resume, replaces, checksums, notices, packs, rooms })
        }),
        (any::<bool>(), option::of(any::<u64>()), option::of(0..u32::MAX)).prop_map(
            |(folder, size, modified)| Answer::Stat {
                folder,
                size,
                modified: modified.map(|s| {
                    SystemTime::UNIX_EPOCH + std::time::Duration::new(s.into(), s % 1_000_000_000)
                }),
            }
        ),
        any::<u64>().prop_map(Answer::Bytes),
        (any::<(u64, Option<u64>)>(), option::of((algorithm(), text())))
            .prop_map(|((bytes, size), digest)| Answer::Stored { bytes, size, digest }),
        text().prop_map(Answer::Digest),
        option::of(standing()).prop_map(Answer::Standing),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let ground = prop_oneof![
        Just(Ground::NotFound),
        Just(Ground::Unavailable),
        Just(Ground::Denied),
        Just(Ground::Login),
        Just(Ground::Locked),
        Just(Ground::Space),
        Just(Ground::Unsupported),
        Just(Ground::Refused),
        Just(Ground::OldEpoch),
        Just(Ground::Broken),
    ];
    let again = prop_oneof![
        option::of(any::<u32>()).prop_map(|after_ms| Again::Later { after_ms }),
        Just(Again::Never),
        Just(Again::WhenFree),
    ];
    (ground, again, text(), option::of((any::<u16>(), text())))
        .prop_map(|(ground, again, message, reply)| Refusal { ground, again, message, reply })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (text(), text(), any::<u64>()).prop_map(|(host, instance, epoch)| Message::Open {
            host,
            instance,
            epoch
        }),
        request().prop_map(Message::Ask),
        any::<u64>().prop_map(|bytes| Message::End { bytes }),
        Just(Message::Abort),
        any::<u32>().prop_map(|frames| Message::Credit { frames }),
        answer().prop_map(Message::Done),
        refusal().prop_map(Message::Refused),
        Just(Message::Working),
        Just(Message::Close),
        Just(Message::Ping),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let body = prop_oneof![
        message().prop_map(Body::Message),
        vec(any::<u8>(), 0..2000).prop_map(|bytes| Body::Data(bytes.into())),
        vec(any::<u8>(), 0..2000).prop_map(|bytes| Body::Packed(bytes.into())),
    ];
    (any::<u32>(), body).prop_map(|(stream, body)| Frame { stream, body })
}

proptest! {
    #[test]
    fn frames_round_trip_in_their_order(frames in vec(frame(), 1..8)) {
        for seal in SEALS {
            let (mut here, mut there) = (seal(KEY), seal(KEY));
            for frame in &frames {
                let bytes = encode(&mut here, frame.clone());
                prop_assert_eq!(read(&mut there, &bytes), Ok(frame.clone()));
            }
        }
    }

    #[test]
    fn a_changed_byte_is_noticed(frame in frame(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for seal in SEALS {
            let mut bytes = encode(&mut seal(KEY), frame.clone());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(&mut seal(KEY), &bytes).is_err());
        }
    }

    #[test]
    fn a_repeated_a_lost_and_a_foreign_frame_are_noticed(one in frame(), two in frame()) {
        for seal in SEALS {
            let mut here = seal(KEY);
            let (first, second) = (encode(&mut here, one.clone()), encode(&mut here, two.clone()));
            let mut there = seal(KEY);
            prop_assert!(read(&mut there, &second).is_err(), "the first is lost");
            prop_assert!(read(&mut there, &first).is_ok());
            prop_assert!(read(&mut there, &first).is_err(), "repeated");
            prop_assert!(read(&mut seal([8; 32]), &first).is_err(), "another key");
        }
    }
}

#[test]
fn nothing_longer_than_its_kind_allows_is_read_or_written() {
    for (kind, limit) in [(0, MESSAGE_BYTES), (1, CHUNK_BYTES), (2, CHUNK_BYTES)] {
        let mut head = [0; HEAD_BYTES];
        head[8] = kind;
        head[..4].copy_from_slice(&u32::try_from(limit).unwrap().to_be_bytes());
        assert_eq!(Head::parse(&head).unwrap().length(), limit);
        for length in [u32::try_from(limit).unwrap() + 1, u32::MAX] {
            head[..4].copy_from_slice(&length.to_be_bytes());
            assert!(matches!(Head::parse(&head), Err(Malformed::Long { .. })));
        }
    }
    let body = Body::Data(vec![0; CHUNK_BYTES + 1].into());
    assert!(matches!(seal().encode(Frame { stream: 1, body }), Err(Malformed::TooMuchToSay(_))));
    let body = Body::Message(Message::Ask(Request::Stat { path: "x".repeat(MESSAGE_BYTES) }));
    assert!(matches!(seal().encode(Frame { stream: 1, body }), Err(Malformed::TooMuchToSay(_))));
}

#[path = "../../fuzz/any_bytes.rs"]
mod any_bytes;

/// The fuzz target for a moment: bytes from a seed, as they are and in place of some of a message's
/// and of a compressed frame's.
#[test]
fn any_bytes_are_understood_or_refused() {
    const ROUNDS: u64 = 50_000;
    let seed = std::env::var("FERRYWAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.subsec_nanos().into()
    });
    eprintln!("FERRYWAY_TEST_SEED={seed} repeats this run's bytes");
    let message = Message::Ask(Request::Rename { from: "a/b".to_owned(), to: "c".to_owned() });
    let seeds = [
        encode(&mut Seal::of_channel(), Frame { stream: 1, body: Body::Message(message.clone()) }),
        postcard::to_extend(&message, Vec::new()).unwrap(),
        zstd::bulk::compress(&[7; 1000], 1).unwrap(),
    ];
    let mut stream = blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof();
    let mut understood = 0;
    for round in 0..ROUNDS {
        let mut random = [0; 64];
        stream.fill(&mut random);
        let bytes = match seeds.get(usize::from(random[0] % 8)) {
            Some(seed) => changed(seed, &random[1..9]),
            // Small numbers choose among the variants; large ones are refused at once.
            None if round % 2 == 0 => {
                random[2..][..usize::from(random[1] % 48)].iter().map(|byte| byte % 16).collect()
            }
            None => random[2..][..usize::from(random[1] % 48)].to_vec(),
        };
        understood += u64::from(any_bytes::take(&bytes));
    }
    eprintln!("{understood} of {ROUNDS} were messages");
    assert!((50..ROUNDS - 50).contains(&understood), "{understood}");
}

/// The bytes with up to four others in their places.
fn changed(bytes: &[u8], random: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for pair in random.chunks_exact(2) {
        let length = bytes.len();
        bytes[usize::from(pair[0]) % length] = pair[1];
    }
    bytes
}
