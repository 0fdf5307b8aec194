//! A set of nf_tables as the kernel describes it, and its elements.

use super::super::element_set::{ElementData, ElementSet, SetElement};
use super::attribute::Nest;
use super::expression::verdict;

/// What `NFT_MSG_NEWSET` says of the set itself.
pub(super) fn description(set: Nest<'_>) -> ElementSet {
    const KEY_LENGTH: u16 = 5;
    const DESCRIPTION: u16 = 9;
    const COMBINATION: u16 = 2;
    const FIELD_LENGTH: u16 = 1;
    let fields = set.nest(DESCRIPTION).unwrap_or(Nest(&[])).elements(COMBINATION);
    ElementSet {
        key_length: set.size(KEY_LENGTH).unwrap_or(0),
        fields: fields.filter_map(|field| Nest(field).size(FIELD_LENGTH)).collect(),
        ..ElementSet::default()
    }
}

/// An element as the kernel lists it: where a range begins, or ends.
pub(super) struct ListedElement {
    key: Vec<u8>,
    end: Option<Vec<u8>>,
    is_end: bool,
    is_for_others: bool,
    data: ElementData,
}

/// Adds the elements of one `NFT_MSG_NEWSETELEM`.
pub(super) fn elements(message: Nest<'_>, listed: &mut Vec<ListedElement>) {
    const ELEMENTS: u16 = 3;
    listed.extend(message.elements(ELEMENTS).map(|bytes| element(Nest(bytes))));
}

fn element(nest: Nest<'_>) -> ListedElement {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const FLAGS: u16 = 3;
    const END: u32 = 1;
    const OTHERS: u32 = 2;
    const KEY_END: u16 = 10;
    let flags = nest.number(FLAGS).unwrap_or(0);
    let data = match (nest.data(DATA), nest.nest(DATA).and_then(verdict)) {
        _ if is_limited(nest) => ElementData::Limited,
        (Some(value), _) => ElementData::Value(value.to_vec()),
        (None, Some(verdict)) => ElementData::Verdict(verdict),
        (None, None) => ElementData::Nothing,
    };
    ListedElement {
        key: nest.data(KEY).unwrap_or_default().to_vec(),
        end: nest.data(KEY_END).map(<[u8]>::to_vec),
        is_end: flags & END != 0,
        is_for_others: flags & OTHERS != 0,
        data,
    }
}

/// Whether it has an expression that may not match.
fn is_limited(nest: Nest<'_>) -> bool {
    const NAME: u16 = 1;
    const EXPRESSION: u16 = 7;
    const EXPRESSIONS: u16 = 11;
    let one = nest.nest(EXPRESSION).into_iter();
    let all = one.chain(nest.elements(EXPRESSIONS).map(Nest));
    all.filter_map(|expression| expression.name(NAME))
        .any(|name| !matches!(name.as_str(), "counter" | "last"))
}

/// The ranges that these elements come to.
pub(super) fn fill(set: &mut ElementSet, listed: Vec<ListedElement>) {
    let has_ends = listed.iter().any(|element| element.is_end);
    let (others, mut listed): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|element| element.is_for_others);
    set.others = others.into_iter().next().map(|element| element.data);
    if !has_ends {
        set.elements = listed
            .into_iter()
            .map(|ListedElement { key, end, data, .. }| SetElement {
                high: end.unwrap_or(key.clone()),
                low: key,
                data,
            })
            .collect();
        return;
    }
    // Where one range ends another may begin: that comes last, and so counts.
    listed.sort_by(|one, other| one.key.cmp(&other.key).then(other.is_end.cmp(&one.is_end)));
    let mut beginning: Option<ListedElement> = None;
    for element in listed {
        if let Some(ListedElement { key, data, .. }) = beginning.take() {
            set.elements.push(SetElement { high: before(&element.key), low: key, data });
        }
        if !element.is_end {
            beginning = Some(element);
        }
    }
    if let Some(ListedElement { key, data, .. }) = beginning {
        set.elements.push(SetElement { high: vec![0xff; key.len()], low: key, data });
    }
}

/// The value before this one.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(port: u16, is_end: bool) -> ListedElement {
        let key = port.to_be_bytes().to_vec();
        ListedElement { key, end: None, is_end, is_for_others: false, data: ElementData::Nothing }
    }

    #[test]
    fn ranges_are_read_whatever_the_order_of_their_ends() {
        let mut set = ElementSet { key_length: 2, ..ElementSet::default() };
        // 80-89, 90-99 and 1000 on; the kernel marks all below the first as an end.
        let ends = [(100, true), (90, false), (90, true), (80, false), (0, true), (1000, false)];
        fill(&mut set, ends.map(|(port, is_end)| listed(port, is_end)).into());
        let port = |bytes: &[u8]| u16::from_be_bytes(bytes.try_into().unwrap());
        let ranges: Vec<_> =
            set.elements.iter().map(|element| (port(&element.low), port(&element.high))).collect();
        assert_eq!(ranges, [(80, 89), (90, 99), (1000, 65_535)]);
    }
}
