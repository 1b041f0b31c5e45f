use pyo3::prelude::*;
use sgtk_host::{Host, Lease};

fn needs_send<T: Send>(_: T) {}

fn send(lease: Lease<'_>) {
    needs_send(lease);
}

fn main() {
    let host = Host::builder().build().unwrap();
    Python::attach(|py| send(host.lease(py, "project_a").unwrap()));
}
