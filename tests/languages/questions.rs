//! What is asked, in the order of `guest-sdk/conformance/README.md`, and what comes of it.

/// One request that a client sends whole.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) input: &'static [u8],
    pub(super) expected: Expected,
}

/// What the client receives, and what the log says beside it.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Ok(&'static [u8]),
    Prints(&'static [u8], &'static str),
    /// `handler-error`
    Fails(&'static [u8], &'static str),
    /// Where it is reported, and where it is a trap.
    Crashes(&'static [u8], &'static [u8], &'static str),
}

use Expected::{Crashes, Fails, Ok, Prints};

const fn question(name: &'static str, input: &'static [u8], expected: Expected) -> Question {
    Question {
        name,
        input,
        expected,
    }
}

/// Every byte that there is, and line ends of all kinds among them.
const BYTES: &[u8] = &{
    let mut bytes = [0; 512];
    let mut n = 0;
    while n < 512 {
        bytes[n] = (n * 37 % 256) as u8;
        n += 1;
    }
    bytes
};

const ECHO_BYTES: &[u8] = &{
    let mut bytes = [0; 517];
    let order = b"echo\n";
    let mut n = 0;
    while n < 517 {
        bytes[n] = if n < 5 { order[n] } else { BYTES[n - 5] };
        n += 1;
    }
    bytes
};

const ANSWERS: &[u8] = b"5
-38
error: what is `make tea`?
error: what is `add 1`?
error: what is `add one two`?
error: what is ``?
bye
";

pub(super) const QUESTIONS: &[Question] = &[
    question("hello", b"hello\nyou\n", Ok(b"hello, you\n")),
    question("a line without an end", b"hello\nyou", Ok(b"hello, you\n")),
    question("no input", b"", Ok(b"empty\n")),
    question("an empty line", b"hello\n\n", Ok(b"hello, \n")),
    question(
        "UTF-8",
        "hello\n你好 \u{1f9e6}\n".as_bytes(),
        Ok("hello, 你好 \u{1f9e6}\n".as_bytes()),
    ),
    question("echo", b"echo\none\ntwo", Ok(b"one\ntwo")),
    question("echo of every byte", ECHO_BYTES, Ok(BYTES)),
    question("echo of nothing", b"echo\n", Ok(b"")),
    question(
        "lines",
        b"lines\nadd 2 3\nadd -40 2\nmake tea\nadd 1\nadd one two\n\nquit\nadd 1 1\n",
        Ok(ANSWERS),
    ),
    question("lines without quit", b"lines\nadd 20 22", Ok(b"42\n")),
    question(
        "mixed",
        b"mixed\nabcdef\nthe\nrest",
        Ok(b"[abc][def][the\nrest]"),
    ),
    question("mixed, on the edge", b"mixed\nabc\n", Ok(b"[abc][][]")),
    question(
        "print",
        b"print to the log\n",
        Prints(b"printed\n", "to the log"),
    ),
    question("steps", b"steps\n", Ok(b"handle\nfinish\n")),
    question("refuse", b"refuse\n", Fails(b"", "refused in setup")),
    question(
        "fail",
        b"fail no such user: \xc3\xa4\n",
        Fails(b"before\nfinish\n", "no such user: \u{e4}"),
    ),
    question(
        "crash",
        b"crash on purpose\n",
        Crashes(b"before\nfinish\n", b"before\n", "on purpose"),
    ),
    question(
        "no such order",
        b"dance\n",
        Fails(b"", "no such order: dance"),
    ),
];
