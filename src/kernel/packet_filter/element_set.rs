//! Sets and maps of nf_tables, and what is found in them.

use super::bits::Bits;
use super::rule::RuleVerdict;

/// A set of values, ranges of values or combinations of them, and what it maps each to.
#[derive(Debug, Default)]
pub(crate) struct ElementSet {
    /// How long a key is, in bytes.
    pub(crate) key_length: usize,
    /// How long each field of a key is, where it is a combination of several; each begins at a multiple of four.
    pub(crate) fields: Vec<usize>,
    pub(crate) elements: Vec<SetElement>,
    /// What all other values are mapped to.
    pub(crate) others: Option<ElementData>,
}

/// From the one to the other, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetElement {
    pub(crate) low: Vec<u8>,
    pub(crate) high: Vec<u8>,
    pub(crate) data: ElementData,
}

/// What comes of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ElementData {
    /// It is there.
    Nothing,
    /// It is there, with a limit of its own that may not be met.
    Limited,
    Value(Vec<u8>),
    Verdict(RuleVerdict),
}

/// What a set has of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Nothing,
    This(&'a ElementData),
    /// One of these, or nothing, by something that is not known.
    OneOf(Vec<&'a ElementData>, &'static str),
}

impl ElementSet {
    /// What the set has of `key`.
    pub(super) fn find(&self, key: &Bits) -> Found<'_> {
        let mut possible = Vec::new();
        for element in &self.elements {
            match self.has(element, key) {
                Some(true) if possible.is_empty() => return Found::This(&element.data),
                Some(false) => {}
                Some(true) | None => possible.push(&element.data),
            }
        }
        match (possible.is_empty(), &self.others) {
            (true, None) => Found::Nothing,
            (true, Some(others)) => Found::This(others),
            (false, others) => {
                possible.extend(others);
                Found::OneOf(possible, if key.about.is_empty() { "a set" } else { key.about })
            }
        }
    }

    fn has(&self, element: &SetElement, key: &Bits) -> Option<bool> {
        if element.low == element.high || self.fields.len() < 2 {
            return key.is_within(&element.low, &element.high);
        }
        let mut start = 0_usize;
        let mut all = Some(true);
        for &length in &self.fields {
            let range = start..start.checked_add(length)?;
            let (low, high) = (element.low.get(range.clone())?, element.high.get(range)?);
            match key.part(start, length)?.is_within(low, high) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => all = None,
            }
            start = start.checked_add(length.checked_next_multiple_of(4)?)?;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(low: &[u8], high: &[u8], data: ElementData) -> SetElement {
        SetElement { low: low.to_vec(), high: high.to_vec(), data }
    }

    #[test]
    fn a_known_value_is_found_or_not_and_an_unknown_one_is_one_of_those_that_it_may_be() {
        let drop = ElementData::Verdict(RuleVerdict::Drop);
        let set = ElementSet {
            key_length: 2,
            elements: vec![
                element(&[0, 22], &[0, 22], ElementData::Nothing),
                element(&[0x1f, 0], &[0x20, 0], drop.clone()),
            ],
            ..ElementSet::default()
        };
        assert_eq!(set.find(&Bits::exact(&[0, 22])), Found::This(&ElementData::Nothing));
        assert_eq!(set.find(&Bits::exact(&[0x1f, 144])), Found::This(&drop));
        assert_eq!(set.find(&Bits::exact(&[0, 23])), Found::Nothing);
        let any = Bits::unknown(2, "a port");
        assert_eq!(set.find(&any), Found::OneOf(vec![&ElementData::Nothing, &drop], "a port"));
        let set = ElementSet { others: Some(ElementData::Limited), ..set };
        assert_eq!(set.find(&Bits::exact(&[0, 23])), Found::This(&ElementData::Limited));
    }

    #[test]
    fn each_field_of_a_combination_has_its_own_range() {
        let set = ElementSet {
            key_length: 8,
            fields: vec![4, 2],
            elements: vec![element(
                &[10, 0, 0, 0, 0, 80, 0, 0],
                &[10, 0, 0, 9, 0, 90, 0, 0],
                ElementData::Nothing,
            )],
            others: None,
        };
        let found = |key: &[u8]| set.find(&Bits::exact(key)) != Found::Nothing;
        assert!(found(&[10, 0, 0, 5, 0, 85, 0, 0]));
        assert!(!found(&[10, 0, 0, 5, 0, 95, 0, 0]), "within the whole, but not in its second field");
        let half = Bits::partly(&[0, 0, 0, 0, 0, 95, 0, 0], &[0, 0, 0, 0, 255, 255, 255, 255], "the source");
        assert_eq!(set.find(&half), Found::Nothing);
    }
}
