//! How the program is linked.

fn main() {
    // `cli/fork_loop/huge_pages.rs` moves the program to huge pages: the more of it lies on whole ones, the better.
    if std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|os| os == "linux") {
        println!("cargo::rustc-link-arg-bin=sandsock=-Wl,-z,max-page-size=2097152");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
