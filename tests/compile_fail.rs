//! What the compiler refuses: a lease outside its attachment, or on another thread.
//!
//! The messages are the compiler's: `TRYBUILD=overwrite` writes them anew for a new one.

use sgtk_host::{Error, ForeignModule, Host, HostBuilder, Lease, PythonError, Resident};

#[test]
fn a_lease_cannot_outlive_its_attachment_nor_leave_its_thread() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}

/// Whether a type is `Send` or `Sync`, asked without requiring it: the inherent constant hides the trait's.
macro_rules! implements {
    ($type:ty: $trait:ident) => {{
        #[allow(dead_code, reason = "not used where the answer is yes")]
        trait Otherwise {
            const ANSWER: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Asked<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "not used where the answer is no")]
        impl<T: ?Sized + $trait> Asked<T> {
            const ANSWER: bool = true;
        }
        Asked::<$type>::ANSWER
    }};
}

const _: () = {
    assert!(implements!(Host: Send) && implements!(Host: Sync));
    assert!(implements!(HostBuilder: Send) && implements!(HostBuilder: Sync));
    assert!(implements!(Error: Send) && implements!(Error: Sync));
    assert!(implements!(PythonError: Send) && implements!(PythonError: Sync));
    assert!(implements!(Resident: Send) && implements!(Resident: Sync));
    assert!(implements!(ForeignModule: Send) && implements!(ForeignModule: Sync));
    assert!(!implements!(Lease<'static>: Send) && !implements!(Lease<'static>: Sync));
};
