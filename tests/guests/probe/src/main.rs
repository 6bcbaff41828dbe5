//! A guest of the tests: an ordinary WASI program, which does what its first line of input says and
//! prints what came of it. It knows nothing of sandsock.

use std::env;
use std::fs;
use std::io::{self, BufRead, Write};
use std::process;
use std::thread;
use std::time::Duration;

fn main() {
    let mut line = String::new();
    if let Err(error) = io::stdin().lock().read_line(&mut line) {
        eprintln!("reading: {error}");
        process::exit(1);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Err(error) = carry_out(&words) {
        println!(
            "error: {:?} {}",
            error.kind(),
            error.raw_os_error().unwrap_or(0)
        );
    }
}

fn carry_out(words: &[&str]) -> io::Result<()> {
    match words {
        ["echo"] => io::copy(&mut io::stdin().lock(), &mut io::stdout().lock()).map(drop),
        ["arguments"] => {
            env::args()
                .skip(1)
                .for_each(|argument| println!("{argument}"));
            Ok(())
        }
        ["environment"] => {
            let mut variables: Vec<_> = env::vars().collect();
            variables.sort();
            variables
                .iter()
                .for_each(|(name, value)| println!("{name}={value}"));
            Ok(())
        }
        ["read", path] => fs::read(path).and_then(|bytes| io::stdout().write_all(&bytes)),
        ["count", path] => {
            let count = io::copy(&mut fs::File::open(path)?, &mut io::sink())?;
            println!("{count}");
            Ok(())
        }
        ["open", path] => {
            let mut files = Vec::new();
            let refusal = loop {
                match fs::File::open(path) {
                    Ok(file) => files.push(file),
                    Err(refusal) => break refusal,
                }
            };
            println!("{} files", files.len());
            Err(refusal)
        }
        ["stream", name] => {
            println!("{} streams", streams(name));
            Ok(())
        }
        ["write", path, text] => fs::write(path, text).map(|()| println!("written")),
        ["list", path] => {
            let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            names
                .iter()
                .for_each(|name| println!("{}", name.to_string_lossy()));
            Ok(())
        }
        ["rename", from, to] => fs::rename(from, to).map(|()| println!("renamed")),
        ["link", from, to] => fs::hard_link(from, to).map(|()| println!("linked")),
        ["remove", path] => fs::remove_file(path).map(|()| println!("removed")),
        ["sleep", millis] => {
            thread::sleep(Duration::from_millis(number(millis)));
            println!("slept");
            Ok(())
        }
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["allocate", bytes] => {
            let size = usize::try_from(number(bytes)).unwrap_or(usize::MAX);
            let mut memory: Vec<u8> = Vec::new();
            memory
                .try_reserve_exact(size)
                .map_err(|_| io::ErrorKind::OutOfMemory)?;
            println!("allocated {}", memory.capacity());
            Ok(())
        }
        ["complain", rest @ ..] => {
            eprintln!("{}", rest.join(" "));
            Ok(())
        }
        ["exit", code] => {
            println!("about to exit");
            process::exit(i32::try_from(number(code)).unwrap_or(1));
        }
        ["random"] => {
            random();
            Ok(())
        }
        ["panic"] => panic!("asked to"),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// How many streams of a file in the first granted folder there can be, where each outlives the
/// descriptor that it was made from.
#[cfg(target_env = "p2")]
fn streams(name: &str) -> usize {
    use wasip2::filesystem::preopens::get_directories;
    use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
    let folders = get_directories();
    let open = || {
        let file = folders[0].0.open_at(
            PathFlags::empty(),
            name,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        file.ok()?.read_via_stream(0).ok()
    };
    std::iter::from_fn(open).collect::<Vec<_>>().len()
}

/// WASI preview 1 has none.
#[cfg(not(target_env = "p2"))]
fn streams(_name: &str) -> usize {
    0
}

/// Two numbers of 64 bits from each source of randomness that WASI has.
#[cfg(target_env = "p2")]
fn random() {
    use wasip2::random::{insecure, insecure_seed, random};
    let (a, b) = insecure_seed::insecure_seed();
    println!("{a:x}\n{b:x}");
    for get in [random::get_random_u64, insecure::get_insecure_random_u64] {
        println!("{:x}\n{:x}", get(), get());
    }
}

/// Two numbers of 64 bits from what hash tables are seeded with: `random_get`.
#[cfg(not(target_env = "p2"))]
fn random() {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let number = || RandomState::new().build_hasher().finish();
    println!("{:x}\n{:x}", number(), number());
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or(0)
}
