//! The first answer: `hello`, served, and what to type next.

use crate::run::say;
use crate::{build, layout};
use anyhow::{Context, Result, anyhow, bail};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Builds what is needed, then becomes the server.
pub(crate) fn demo(port: u16) -> Result<()> {
    // Before the minutes of building, not after them.
    is_free(port)?;
    build::program()?;
    let handler = handler()?;
    is_free(port)?;

    let address = format!("tcp://127.0.0.1:{port}");
    let mut serve = Command::new(layout::program()?);
    serve.arg("serve").arg(&address).arg(&handler);
    let client = match port {
        9999 => String::new(),
        _ => format!(" 127.0.0.1 {port}"),
    };
    eprintln!(
        "\n\
         Serving {handler} with:\n\
         \n    {program} serve {address} {handler}\n\
         \n\
         Once it says `listening {address}`, type in another terminal\n\
         \n    printf 'hello,server\\n' | nc 127.0.0.1 {port}\n\
         \n\
         or, in this folder,\n\
         \n    python3 examples/tcp-server/client.py{client}\n\
         \n\
         and you are answered 你好, each time by a fresh sandbox. Ctrl-C ends it.\n",
        handler = layout::shown(&handler),
        program = layout::shown(&layout::program()?),
    );
    // Replaces this process: Ctrl-C reaches the server alone, and its exit code is this command's.
    let error = serve.exec();
    Err(anyhow!(error).context(format!("cannot start {}", layout::program()?.display())))
}

/// The handler from Rust; without its compiler's targets, the same one from its text form.
fn handler() -> Result<PathBuf> {
    let Err(error) = build::hello() else {
        return layout::handler("hello");
    };
    let text = layout::root().join("examples/wat/hello.wat");
    say(format!("the handler cannot be built: {error:#}"));
    say(format!(
        "serving {} instead, which needs no compiler",
        layout::shown(&text)
    ));
    Ok(text)
}

fn is_free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} on 127.0.0.1 is taken: end what listens there (`ss -ltnp` shows it), or \
             choose another with `cargo xtask demo --port {}`",
            if port == u16::MAX { 9998 } else { port + 1 }
        ),
        Err(error) => Err(error).with_context(|| {
            format!("port {port} on 127.0.0.1 cannot be had: choose another with `--port`")
        }),
    }
}
