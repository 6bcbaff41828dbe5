//! What somebody may have meant: the nearest of the names that there are.

use strsim::osa_distance;

/// A longer name is not a slip of anybody's pen; comparing it takes its length squared.
const LONGEST: usize = 80;

/// The nearest of these to `wanted`, where it is near at all: one in three letters may be wrong, where two
/// that are swapped count once.
pub(super) fn nearest<'a>(
    wanted: &str,
    among: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = among
        .into_iter()
        .filter_map(|name| Some((distance(wanted, name)?, name)));
    near.min().map(|(_, name)| name)
}

/// As [`nearest`], of names that stand in modules: the right name in any module is near, a slip is in the name
/// or in the module.
pub(super) fn nearest_in_modules<'a>(
    (module, name): (&str, &str),
    among: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<(&'a str, &'a str)> {
    let near = among.into_iter().filter_map(|offered| {
        let by_name = distance(name, offered.1)?;
        let by_module = match distance(module, offered.0) {
            Some(distance) => distance,
            None if by_name == 0 => LONGEST,
            None => return None,
        };
        Some((by_name + by_module, offered))
    });
    near.min().map(|(_, offered)| offered)
}

fn distance(wanted: &str, name: &str) -> Option<usize> {
    if wanted.len() > LONGEST {
        return None;
    }
    let distance = osa_distance(wanted, name);
    (distance <= (name.chars().count() / 3).max(1)).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_name_is_not() {
        let offered = [
            ("rfile", "read"),
            ("rfile", "read_line"),
            ("wfile", "write"),
        ];
        for (wanted, meant) in [
            (("rfile", "raed"), Some(("rfile", "read"))),
            (("rfile", "readline"), Some(("rfile", "read_line"))),
            (("rfiel", "read"), Some(("rfile", "read"))),
            (("env", "write"), Some(("wfile", "write"))),
            (("env", "wriet"), None),
            (("rfile", "seek"), None),
            (("", ""), None),
        ] {
            assert_eq!(meant, nearest_in_modules(wanted, offered), "{wanted:?}");
        }
    }

    #[test]
    fn a_name_that_goes_on_and_on_is_near_to_nothing() {
        let long = "read".repeat(25_000);
        assert_eq!(None, nearest(&long, ["read"]));
    }
}
