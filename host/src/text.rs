//! Text that a handler, its file or a client has made: it must not act on the terminal that shows it, nor
//! fill it.

use std::fmt::{self, Write};

/// Characters that a terminal acts on; that turn the direction of writing or hide (Unicode's bidirectional
/// controls, and line and paragraph separators).
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// As it is, with what a terminal would act on as `\u{1b}` and `\n`.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match is_unprintable(character) {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// The longest name of a file's that is kept, in characters.
pub(crate) const LONGEST_NAME: usize = 200;

/// A name as it stands in a file: cut where it is longer than anybody reads.
pub(crate) fn name(text: &str) -> String {
    clipped(text, LONGEST_NAME)
}

/// A name for a sentence, on one line.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", Printable(&name(text)))
}

/// No more than `longest` characters; what is cut off ends in `…`.
pub(crate) fn clipped(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_acts_on() {
        let text = "a\u{1b}[31mé\u{202e}\r\n\u{9b}";
        assert_eq!(
            "a\\u{1b}[31mé\\u{202e}\\r\\n\\u{9b}",
            Printable(text).to_string()
        );
        assert!(!Printable(text).to_string().chars().any(is_unprintable));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!("éé…", clipped("ééé", 2));
        assert_eq!("éé", clipped("éé", 2));
    }
}
