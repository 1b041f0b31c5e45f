use pyo3::prelude::*;
use sgtk_host::Host;

fn main() {
    let host = Host::builder().build().unwrap();
    Python::attach(|py| {
        let sgtk: &Bound<'_, PyModule> = {
            let lease = host.lease(py, "project_a").unwrap();
            lease.sgtk()
        };
        sgtk.getattr("__version__").unwrap();
    });
}
