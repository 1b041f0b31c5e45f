use pyo3::prelude::*;
use sgtk_host::{Host, Lease};

fn keep(host: &Host) -> Lease<'_> {
    Python::attach(|py| host.lease(py, "project_a").unwrap())
}

fn main() {
    let host = Host::builder().build().unwrap();
    keep(&host);
}
