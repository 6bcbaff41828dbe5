//! Text that a handler, its file or a client has made: it must not act on the terminal that shows it, nor
//! fill it.

use std::fmt::{self, Write};

/// Whether a character shows nothing by itself: a terminal acts on it, it turns the direction of writing, it is of no
/// width, or nobody knows what it looks like. Blanks, and marks that belong to a letter, are shown.
pub(crate) fn is_unprintable(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    // Zl and Zp of Unicode, and of the same property the blanks that people write with.
    if character.is_whitespace() {
        return character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    }
    is_escaped(character) || is_invisible(character)
}

/// What Rust escapes in the middle of a text: control, format, private and unassigned characters (Unicode's general
/// categories Cc, Cf, Co and Cn). A list of ours would be out of date with the next Unicode.
fn is_escaped(character: char) -> bool {
    // A mark that belongs to the letter before it is escaped only where there is none.
    let mut text = [b'x'; 5];
    let end = 1 + character.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..end]).is_ok_and(|text| text.escape_debug().nth(2).is_some())
}

/// Letters and marks that show nothing: what Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt, Unicode
/// 17) has beyond the categories above. Fillers, variation selectors, and a joiner.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// The same as JSON has it in a string: `\u1234`, twice for characters beyond those of four digits (RFC 8259, section 7).
pub(crate) fn json_escape(character: char, out: &mut impl Write) -> fmt::Result {
    let mut units = [0; 2];
    for unit in character.encode_utf16(&mut units) {
        write!(out, "\\u{unit:04x}")?;
    }
    Ok(())
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

    /// Unicode's general category Cf and its property `Default_Ignorable_Code_Point` (DerivedGeneralCategory.txt and
    /// DerivedCoreProperties.txt of Unicode 17).
    const HIDDEN: [std::ops::RangeInclusive<char>; 32] = [
        '\u{ad}'..='\u{ad}',
        '\u{34f}'..='\u{34f}',
        '\u{600}'..='\u{605}',
        '\u{61c}'..='\u{61c}',
        '\u{6dd}'..='\u{6dd}',
        '\u{70f}'..='\u{70f}',
        '\u{890}'..='\u{891}',
        '\u{8e2}'..='\u{8e2}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{180b}'..='\u{180f}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{3164}'..='\u{3164}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{fff0}'..='\u{fffb}',
        '\u{110bd}'..='\u{110bd}',
        '\u{110cd}'..='\u{110cd}',
        '\u{13430}'..='\u{1343f}',
        '\u{1bca0}'..='\u{1bca3}',
        '\u{1d173}'..='\u{1d17a}',
        '\u{e0000}'..='\u{e0fff}',
        // Control characters, private ones, and such as are none.
        '\0'..='\u{1f}',
        '\u{7f}'..='\u{9f}',
        '\u{e000}'..='\u{f8ff}',
        '\u{fdd0}'..='\u{fdef}',
        '\u{ffff}'..='\u{ffff}',
        '\u{f0000}'..='\u{ffffd}',
        '\u{100000}'..='\u{10fffd}',
    ];

    #[test]
    fn what_shows_nothing_is_not_printable() {
        let all = HIDDEN.into_iter().flatten();
        let shown: Vec<_> = all.filter(|c| !is_unprintable(*c)).collect();
        assert!(shown.is_empty(), "{shown:?}");
    }

    #[test]
    fn what_people_write_is_printable() {
        let text =
            "a'\"\\~ \u{a0}\u{3000}é e\u{301} ß 你好 नमस्ते שָׁלוֹם السَّلام 한글 ไทย 🙂 € 👍🏽 \u{202f}";
        assert_eq!(text, Printable(text).to_string());
    }

    #[test]
    fn json_has_long_characters_as_two() {
        let mut line = String::new();
        for character in ['\u{1b}', '\u{e0041}'] {
            json_escape(character, &mut line).unwrap();
        }
        assert_eq!(line, "\\u001b\\udb40\\udc41");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!("éé…", clipped("ééé", 2));
        assert_eq!("éé", clipped("éé", 2));
    }
}
