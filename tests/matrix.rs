//! Echo over every transport, under every concurrency, by every kind of handler: three clients one
//! after the other, and sixty-four at once.

use crate::harness::{Client, Serve, Transport, guest_component, handler, handler_component, wat};
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

/// The kinds of handler. A command can be a module or a component.
#[derive(Clone, Copy)]
enum Kind {
    Module,
    Component,
    Command,
    ComponentCommand,
}

impl Kind {
    fn echo(self) -> PathBuf {
        match self {
            Kind::Module => handler("echo"),
            Kind::Component => handler_component("echo"),
            Kind::Command => wat("cat"),
            Kind::ComponentCommand => guest_component("probe"),
        }
    }

    /// What has to be said first.
    fn greeting(self) -> &'static str {
        match self {
            Kind::ComponentCommand => "echo\n",
            _ => "",
        }
    }
}

fn ask(client: Client, kind: Kind, text: &str) {
    let answer = client.ask(format!("{}{text}", kind.greeting()));
    assert_eq!(String::from_utf8_lossy(&answer), text);
}

fn three_one_after_the_other(transport: Transport, concurrency: &str, kind: Kind) {
    if !transport.is_there() {
        return;
    }
    let mut server = Serve::new(kind.echo())
        .on(transport)
        .with("--concurrency")
        .arg(concurrency)
        .start();
    for _ in 0..3 {
        ask(server.connect(), kind, "hello world\n");
    }
    for event in server.requests(3) {
        assert_eq!(event["outcome"], "ok", "{event}");
        assert_eq!(event["bytes_out"], "hello world\n".len(), "{event}");
    }
    assert_eq!(server.terminate().code(), Some(0));
}

fn sixty_four_at_once(transport: Transport, concurrency: &str, kind: Kind) {
    const CLIENTS: usize = 64;
    if !transport.is_there() {
        return;
    }
    let server = Serve::new(kind.echo())
        .on(transport)
        .with("--concurrency")
        .arg(concurrency)
        .start();
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (server, start) = (&server, &start);
            scope.spawn(move || {
                let client = server.connect();
                start.wait();
                ask(client, kind, &format!("client {n}\n"));
            });
        }
    });
    for event in server.requests(CLIENTS) {
        assert_eq!(event["outcome"], "ok", "{event}");
    }
}

/// A test for each pair of a transport, a concurrency and a kind, in modules named after them.
macro_rules! matrix {
    ($($name:ident: $transport:ident,)*) => { $(
        mod $name {
            use super::{Kind, Transport, sixty_four_at_once, three_one_after_the_other};
            matrix!(@concurrencies Transport::$transport);
        }
    )* };
    (@concurrencies $transport:expr) => {
        matrix!(@kinds serial $transport);
        matrix!(@kinds threads $transport);
        matrix!(@kinds fork $transport);
    };
    (@kinds $concurrency:ident $transport:expr) => {
        mod $concurrency {
            use super::{Kind, Transport, sixty_four_at_once, three_one_after_the_other};
            matrix!(@tests module $concurrency $transport, Kind::Module);
            matrix!(@tests component $concurrency $transport, Kind::Component);
            matrix!(@tests command $concurrency $transport, Kind::Command);
            matrix!(@tests component_command $concurrency $transport, Kind::ComponentCommand);
        }
    };
    (@tests $name:ident $concurrency:ident $transport:expr, $kind:expr) => {
        mod $name {
            use super::{Kind, Transport};
            #[test]
            fn serves_three_one_after_the_other() {
                super::three_one_after_the_other($transport, stringify!($concurrency), $kind);
            }
            #[test]
            fn serves_sixty_four_at_once() {
                super::sixty_four_at_once($transport, stringify!($concurrency), $kind);
            }
        }
    };
}

matrix! {
    tcp: Tcp,
    tcp6: Tcp6,
    udp: Udp,
    unix: Unix,
    unixgram: Unixgram,
}
