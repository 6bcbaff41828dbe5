//! The load generator itself: whether it is the limit.

use super::short::{CLIENTS, closed_loop};
use super::{Section, Subject};
use crate::competitors::{Competitor, Program};
use crate::figures::{CLIENT_CPU, CPU, Figures, Metric, RATE};
use crate::world::World;
use Program::Native;

const BUSY: Metric = "clients' share of a CPU";
const SERVER_BUSY: Metric = "server's share of a CPU";

pub(super) fn section(world: &World) -> Section {
    let of = |name, mode, threads| {
        Subject::server(
            world,
            Competitor::new(name, Native(mode)),
            move |world, amount, competitor| {
                let figures = closed_loop(world, amount, competitor, CLIENTS, threads)?;
                let share = |metric| {
                    let rate = figures.get(RATE).unwrap_or_default();
                    figures.get(metric).unwrap_or_default() * rate / 1e6
                };
                let (clients, server) = (share(CLIENT_CPU), share(CPU));
                Ok(Figures::default()
                    .with(RATE, figures.get(RATE).unwrap_or_default())
                    .with(CLIENT_CPU, figures.get(CLIENT_CPU).unwrap_or_default())
                    .with(CPU, figures.get(CPU).unwrap_or_default())
                    .with(BUSY, clients)
                    .with(SERVER_BUSY, server))
            },
        )
    };
    Section {
        key: "generator",
        title: "The load generator",
        work: format!(
            "The same short connections against native servers, by one thread of clients and by two, {CLIENTS} clients. Where \
             the clients' thread has time left (less than 1 of a CPU), it is not the limit."
        ),
        subjects: vec![
            of("native, threads kept; clients on one thread", "threads", 1),
            of("native, threads kept; clients on two", "threads", 2),
            of("native, serial; clients on one thread", "serial", 1),
            of("native, serial; clients on two", "serial", 2),
        ],
        metrics: vec![RATE, CLIENT_CPU, CPU, BUSY, SERVER_BUSY],
        picture: RATE,
        targets: Vec::new(),
    }
}
