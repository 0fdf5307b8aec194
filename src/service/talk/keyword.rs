//! The word that ends a conversation: a whole line, in a stream that keeps no boundaries.

/// Looks for keywords in one direction of a conversation.
#[derive(Debug)]
pub(super) struct Keyword {
    words: Vec<Vec<u8>>,
    /// How the line began that is being read, as far as it may still be a keyword.
    line: Option<Vec<u8>>,
}

impl Keyword {
    pub(super) fn new(words: &[String]) -> Self {
        let words = words.iter().map(|word| word.clone().into_bytes()).collect();
        Self { words, line: Some(Vec::new()) }
    }

    /// How many of these bytes, which follow those given before, reach to the end of the first line that is a keyword.
    ///
    /// A line may end in CR LF too.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.words.is_empty() {
            return None;
        }
        let mut seen = 0;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            seen += piece.len();
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.append(text);
            if ends && self.is_keyword() {
                return Some(seen);
            }
            if ends {
                self.line = Some(Vec::new());
            }
        }
        None
    }

    fn append(&mut self, text: &[u8]) {
        let longest = self.words.iter().map(Vec::len).max().unwrap_or(0) + b"\r".len();
        if let Some(line) = &mut self.line {
            if line.len() + text.len() > longest {
                self.line = None;
            } else {
                line.extend_from_slice(text);
            }
        }
    }

    fn is_keyword(&self) -> bool {
        let Some(line) = &self.line else { return false };
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        self.words.iter().any(|word| word == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyword() -> Keyword {
        Keyword::new(&["revoir".to_owned(), "quit".to_owned()])
    }

    #[test]
    fn a_keyword_is_a_whole_line() {
        for (bytes, end) in [
            (&b"revoir\n"[..], Some(7)),
            (b"hello\nquit\r\nmore\n", Some(12)),
            (b"revoirez\n", None),
            (b" revoir\n", None),
            (b"revoir \n", None),
            (b"au revoir\n", None),
            (b"revoir", None),
            (b"revoir\0\n", None),
            (b"rev\roir\n", None),
            (b"\nquit\n", Some(6)),
        ] {
            assert_eq!(keyword().find(bytes), end, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_keyword_may_arrive_byte_by_byte() {
        let mut keyword = keyword();
        for byte in b"bonjour\nrevoir" {
            assert_eq!(keyword.find(&[*byte]), None);
        }
        assert_eq!(keyword.find(b"\nmore"), Some(1));
    }

    #[test]
    fn the_end_of_a_long_line_is_no_keyword() {
        let mut keyword = keyword();
        assert_eq!(keyword.find(&[b'x'; 100_000]), None);
        assert_eq!(keyword.find(b"quit\n"), None);
        assert_eq!(keyword.find(b"quit\n"), Some(5));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn it_does_not_matter_where_reads_cut(text in "(quit|revoir|x|\n|\r|\r\n){0,12}", cut in 0..100_usize) {
            let whole = keyword().find(text.as_bytes());
            let (before, after) = text.as_bytes().split_at(cut.min(text.len()));
            let mut keyword = keyword();
            let cut = keyword.find(before).or_else(|| keyword.find(after).map(|end| before.len() + end));
            proptest::prop_assert_eq!(cut, whole);
        }
    }
}
