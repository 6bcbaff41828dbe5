//! What the README shows is an example that was compiled, and that others run.

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../../examples/echo.rs");
    let code = example.split_once("\n\n").unwrap().1;
    assert!(readme.contains(&format!("```rust\n{code}```")), "{code}");
}
