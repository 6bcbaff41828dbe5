//! `sandsock new`: a project of one handler, in a language, that builds and is tested.

mod templates;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::Usage;

/// Makes a folder with a handler that builds, has a test, and needs nothing of sandsock's but this program: the
/// SDK is in it. What it prints at the end are the commands that come next.
#[derive(Args)]
pub(super) struct NewArgs {
    /// The folder: a new one, or an empty one
    dir: PathBuf,
    /// The language that the handler is written in
    #[arg(long, value_enum)]
    lang: Lang,
    /// The project's name [default: the folder's]
    #[arg(long)]
    name: Option<String>,
}

/// A language that has an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lang {
    Rust,
    C,
    Zig,
    Go,
    #[value(name = "assemblyscript", alias = "as")]
    AssemblyScript,
    #[value(alias = "py")]
    Python,
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    #[value(name = "typescript", alias = "ts")]
    TypeScript,
}

/// A file of a project: where it goes, and what is in it.
struct File {
    path: &'static str,
    text: &'static str,
}

struct Template {
    /// What the language is called.
    language: &'static str,
    /// Programs that the commands start.
    needs: &'static [&'static str],
    /// The project's own; a name stands for `{{name}}`, and as an identifier for `{{ident}}`.
    project: &'static [File],
    /// The SDK, which goes into the folder `sandsock` as it is.
    sdk: &'static [File],
}

pub(super) fn main(args: NewArgs) -> anyhow::Result<ExitCode> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of(&args.dir)?,
    };
    check_name(&name)?;
    let template = args.lang.template();
    claim(&args.dir)?;
    for file in template.project {
        write(&args.dir, file.path, &named(file.text, &name))?;
    }
    for file in template.sdk {
        write(&args.dir.join("sandsock"), file.path, file.text)?;
    }
    say(&args.dir, template, &named(template.readme(), &name))?;
    Ok(ExitCode::SUCCESS)
}

impl Template {
    fn readme(&self) -> &'static str {
        let readme = self.project.iter().find(|file| file.path == "README.md");
        readme.map_or("", |file| file.text)
    }
}

fn name_of(dir: &Path) -> anyhow::Result<String> {
    let dir = std::path::absolute(dir).with_context(|| format!("what is {}?", dir.display()))?;
    let name = dir.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// What every language's tools take for a name.
fn check_name(name: &str) -> Result<(), Usage> {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_lowercase());
    let goes_on = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if begins && letters.all(goes_on) {
        return Ok(());
    }
    Err(Usage(format!(
        "`{name}` cannot be the name of a project: a small letter, then small letters, digits, - and _; say --name NAME"
    )))
}

fn named(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{ident}}", &name.replace('-', "_"))
}

/// The folder is there and has nothing in it that could be lost.
fn claim(dir: &Path) -> anyhow::Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!(
                    "{} is there already and is not empty: name another folder",
                    dir.display()
                );
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be used", dir.display())),
    }
}

fn write(dir: &Path, path: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(path);
    let folder = path.parent().unwrap_or(dir);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The commands that come next: those of the project's README.
fn say(dir: &Path, template: &Template, readme: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "{}: a handler in {}. Next:\n",
        dir.display(),
        template.language
    )?;
    writeln!(out, "    cd {}", dir.display())?;
    for command in commands(readme) {
        writeln!(out, "    {command}")?;
    }
    for program in template.needs {
        if !is_on_path(program) {
            writeln!(
                out,
                "\n`{program}` is not on the PATH: {} says where to get it.",
                dir.join("README.md").display()
            )?;
        }
    }
    Ok(())
}

/// The lines of the first block of commands.
fn commands(readme: &str) -> impl Iterator<Item = &str> {
    let mut lines = readme.lines();
    lines.find(|line| *line == "```sh");
    lines.take_while(|line| *line != "```")
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_tool_takes() {
        for good in ["hello", "a", "my-handler_2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "9x", "Hello", "a b", "-x", "ä", "..", "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_template_has_commands_and_leaves_no_gap() {
        for lang in Lang::value_variants() {
            let template = lang.template();
            let readme = named(template.readme(), "my-handler");
            let found: Vec<_> = commands(&readme).collect();
            assert!(found.len() >= 4, "{lang:?}: {found:?}");
            assert!(
                found
                    .last()
                    .is_some_and(|last| last.starts_with("sandsock serve "))
            );
            for file in template.project {
                assert!(
                    !named(file.text, "my-handler").contains("{{"),
                    "{}",
                    file.path
                );
            }
            for expected in [".gitignore", "README.md"] {
                let has = |file: &&File| file.path == expected;
                assert!(
                    template.project.iter().any(|file| has(&file)),
                    "{lang:?}: {expected}"
                );
            }
        }
    }
}
