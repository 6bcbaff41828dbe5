//! `server_bind`, `server_activate`, `server_address`: in one step and in two.

use std::io::ErrorKind;
use std::path::Path;

use sandsock::{Server, ServerError};
use tempfile::TempDir;

use crate::client::{Client, Transport};
use crate::running::{Running, echo};

fn path(address: &str) -> &Path {
    Path::new(address.split_once("://").unwrap().1)
}

#[test]
fn one_step_binds_listens_and_serves() {
    for transport in Transport::all() {
        let dir = TempDir::new().unwrap();
        let server = Server::new(&transport.any_address(dir.path()), echo()).unwrap();
        let running = Running::serve(server, dir);
        assert_eq!(running.ask("hello"), b"hello", "{transport:?}");
        running.stop();
    }
}

#[test]
fn between_the_two_steps_it_has_an_address_and_refuses_connections() {
    for transport in Transport::all() {
        let dir = TempDir::new().unwrap();
        let asked = transport.any_address(dir.path());
        let mut server = Server::unbound(&asked, echo()).unwrap();
        assert_eq!(server.server_address(), asked);
        assert!(server.fileno().is_none());
        let error = server.serve_forever(None).unwrap_err();
        assert!(error.to_string().contains("server_bind"), "{error}");

        server.server_bind().unwrap();
        let address = server.server_address().to_owned();
        assert!(!address.ends_with(":0") && server.fileno().is_some());
        if !transport.is_datagram() {
            let refused = Client::try_connect(&address).map(|_| ()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            for error in [server.serve_forever(None), server.handle_request()] {
                let error = error.unwrap_err();
                assert!(error.to_string().contains("server_activate"), "{error}");
            }
        }

        server.server_activate().unwrap();
        let running = Running::serve(server, dir);
        assert_eq!(running.address, address);
        assert_eq!(running.ask("hello"), b"hello", "{transport:?}");
        running.stop();
    }
}

#[test]
fn steps_that_do_not_fit_are_errors_and_change_nothing() {
    let mut server = Server::unbound("tcp://127.0.0.1:0", echo()).unwrap();
    let error = server.server_activate().unwrap_err();
    assert!(error.problem.contains("server_bind"), "{error}");
    server.server_bind().unwrap();
    server.server_activate().unwrap();
    let address = server.server_address().to_owned();
    let error = server.server_bind().unwrap_err();
    assert!(error.problem.contains("server_close"), "{error}");
    let running = Running::serve(server, TempDir::new().unwrap());
    assert_eq!(Client::connect(&address).ask("still"), b"still");
    running.stop();
}

#[test]
fn an_address_that_is_taken_is_an_error_and_its_server_serves_on() {
    for transport in Transport::all() {
        let running = Running::start(transport, echo(), Default::default());
        let Err(ServerError::Bind(error)) = Server::new(&running.address, echo()) else {
            panic!("{transport:?}: bound twice");
        };
        assert_eq!(error.address, running.address);
        assert!(
            error.problem.contains("taken") || error.problem.contains("another server"),
            "{error}"
        );
        let mut second = Server::unbound(&running.address, echo()).unwrap();
        second.server_bind().unwrap_err();
        assert!(second.fileno().is_none());
        assert_eq!(running.ask("still"), b"still", "{transport:?}");
        running.stop();
    }
}

#[test]
fn an_address_that_is_none_is_an_error() {
    for address in ["127.0.0.1:1", "http://127.0.0.1:1", "tcp://", "unix://"] {
        let error = Server::new(address, echo()).map(|_| ()).unwrap_err();
        assert!(matches!(error, ServerError::Address(_)), "{error}");
    }
    let error = Server::new("fd://3", echo()).map(|_| ()).unwrap_err();
    assert!(matches!(error, ServerError::Bind(_)), "{error}");
}

#[test]
fn a_name_is_bound_at_one_of_its_addresses() {
    let server = Server::new("tcp://localhost:0", echo()).unwrap();
    let running = Running::serve(server, TempDir::new().unwrap());
    assert_eq!(running.ask("hello"), b"hello");
    running.stop();
}

#[test]
fn a_unix_socket_has_its_file_for_as_long_as_it_is_bound() {
    for transport in [Transport::Unix, Transport::Unixgram] {
        let dir = TempDir::new().unwrap();
        let address = transport.any_address(dir.path());
        let mut server = Server::unbound(&address, echo()).unwrap();
        assert!(!path(&address).exists());
        server.server_bind().unwrap();
        assert!(path(&address).exists());
        server.server_close();
        assert!(!path(&address).exists());
        assert_eq!(server.server_address(), address);

        server.server_bind().unwrap();
        server.server_activate().unwrap();
        drop(server);
        assert!(!path(&address).exists());
    }
}
