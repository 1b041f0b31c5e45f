use pyo3::prelude::*;
use sgtk_host::Host;

fn main() {
    let host = Host::builder().build().unwrap();
    Python::attach(|py| {
        let lease = host.lease(py, "project_a").unwrap();
        py.detach(|| lease.getattr("__version__").map(drop)).unwrap();
    });
}
