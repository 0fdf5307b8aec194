//! Foreign bytes reach nobody raw, can be read back, and forge nothing. `scripts/fuzz` looks further for an exception.

#[path = "../fuzz/property.rs"]
mod property;

use proptest::collection::vec;
use proptest::prelude::*;

/// What a terminal or a reader of lines may fall for, in pieces.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const BAIT: [&[u8]; 12] = [
        b"\x1b[2J",
        b"\x1b]8;;http://x\x1b\\",
        b"\x1b]52;c;eA==\x07",
        b"\xc2\x9b31m",
        b"\r\nclosed reason=fin",
        b"\0",
        b"\" reason=fin text=\"",
        b"\\",
        b"\\x41\\u{41}",
        "\u{202e}\u{2066}\u{2028}…".as_bytes(),
        b"\xf0\x9f\xa6",
        b"\xed\xa0\x80",
    ];
    prop_oneof![
        proptest::sample::select(&BAIT).prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..8),
        any::<String>().prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn foreign_bytes_are_shown_read_back_and_forge_nothing(pieces in vec(piece(), 0..12)) {
        property::check(&pieces.concat());
    }
}

#[test]
fn every_control_character_alone_is_shown_and_read_back() {
    for number in 0..=0x2_ffff {
        if let Some(character) = char::from_u32(number).filter(|character| character.is_control()) {
            property::check(character.to_string().as_bytes());
        }
    }
}
