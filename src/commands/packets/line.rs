//! A segment as a line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::net::spelling::{Form, Grammar, Zones};
use crate::text::{Format, Line};
use crate::wire::segment::Segment;
use crate::wire::sequence::{SegmentPosition, SequenceSpaces};

/// What is shown in place of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressAlias {
    address: SocketAddr,
    name: String,
}

/// A segment has no zone.
const ADDRESS_PORT: Grammar =
    Grammar { forms: &[Form::AddressPort], names: false, zones: Zones::None, lowest_port: 0 };

/// Reads `127.0.0.1:3000=listener`.
pub(super) fn parse_name(text: &str) -> Result<AddressAlias, String> {
    let words = "not ADDR:PORT=NAME, such as 127.0.0.1:3000=listener";
    let (address, name) = text.split_once('=').ok_or(words)?;
    let address = ADDRESS_PORT.read(address)?.socket_address(Ipv4Addr::UNSPECIFIED.into());
    if name.is_empty() || !name.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter)) {
        return Err("a name has letters, digits, '-', '_' and '.' in it".to_owned());
    }
    Ok(AddressAlias { address, name: name.to_owned() })
}

/// Makes lines of segments in the order they were captured.
pub(super) struct Printer<'a> {
    format: Format,
    names: &'a [AddressAlias],
    spaces: SequenceSpaces,
    first: Option<Duration>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: Format, names: &'a [AddressAlias]) -> Self {
        Self { format, names, spaces: SequenceSpaces::default(), first: None }
    }

    /// The line of the next segment.
    pub(super) fn line(&mut self, segment: &Segment) -> String {
        let place = self.spaces.place(segment);
        let first = *self.first.get_or_insert(segment.time);
        let mut line = Line::at(self.format, "segment", segment.time);
        match self.format {
            Format::Text => {
                let time = segment.time.saturating_sub(first);
                line.field("time", format_args!("{}.{:06}s", time.as_secs(), time.subsec_micros()))
                    .field("local", self.named(segment.from))
                    .field("remote", self.named(segment.to));
            }
            Format::Json => {
                line.field("from", segment.from).field("to", segment.to);
            }
        }
        describe(&mut line, self.format, segment, &place);
        line.finish()
    }

    fn named(&self, address: SocketAddr) -> String {
        let name = self.names.iter().find(|name| name.address == address);
        name.map_or_else(|| address.to_string(), |name| name.name.clone())
    }
}

fn describe(line: &mut Line, format: Format, segment: &Segment, place: &SegmentPosition) {
    line.field("flags", segment.flags)
        .number("seq", place.sequence.into())
        .optional("ack", place.acknowledgement)
        .number("length", segment.length as u64)
        .number("window", segment.window.into());
    let options: Vec<String> =
        segment.options.iter().map(|option| option.describe(place.acknowledgement_base)).collect();
    match format {
        Format::Text if options.is_empty() => {}
        Format::Text => {
            line.field("options", format_args!("\"{}\"", options.join(",")));
        }
        Format::Json => {
            line.list("options", &options);
        }
    }
    line.mark("retransmission", place.retransmission);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_address_and_no_blank() {
        let name = parse_name("[::1]:3000=red").unwrap();
        assert_eq!((name.address.to_string().as_str(), name.name.as_str()), ("[::1]:3000", "red"));
        for wrong in ["", "red", "127.0.0.1=red", ":3000=red", "127.0.0.1:3000=", "127.0.0.1:3000=a b"] {
            assert!(parse_name(wrong).is_err(), "{wrong}");
        }
    }
}
