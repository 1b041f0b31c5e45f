//! Many hosts, as processes, on a real NATS server. They run only where there is one: `nats-server` on the
//! PATH, or named by `SGTK_HOST_NATS_SERVER`.

mod beside;
mod cluster;
mod failures;
mod judge;
mod link;
mod network;
mod order;
mod page;
mod power;
mod refusals;
mod security;
mod server;
mod studio;
