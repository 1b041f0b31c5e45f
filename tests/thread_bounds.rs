//! Which types may go to other threads. What the compiler refuses of a lease is in `src/compile_fail.rs`.

use sgtk_host::{Error, ForeignModule, Host, HostBuilder, Lease, PythonError, Resident};

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

#[test]
fn hosts_and_errors_go_to_other_threads_and_leases_do_not() {
    const {
        assert!(implements!(Host: Send) && implements!(Host: Sync));
        assert!(implements!(HostBuilder: Send) && implements!(HostBuilder: Sync));
        assert!(implements!(Error: Send) && implements!(Error: Sync));
        assert!(implements!(PythonError: Send) && implements!(PythonError: Sync));
        assert!(implements!(Resident: Send) && implements!(Resident: Sync));
        assert!(implements!(ForeignModule: Send) && implements!(ForeignModule: Sync));
        assert!(!implements!(Lease<'static>: Send) && !implements!(Lease<'static>: Sync));
    };
}

#[test]
#[cfg(unix)]
fn pools_handles_and_their_errors_go_to_other_threads() {
    use sgtk_host::{Call, CallHandle, PoolError, WorkerPool, WorkerPoolBuilder};
    const {
        assert!(implements!(WorkerPool: Send) && implements!(WorkerPool: Sync));
        assert!(implements!(WorkerPoolBuilder: Send) && implements!(WorkerPoolBuilder: Sync));
        assert!(implements!(Call: Send) && implements!(Call: Sync));
        // Whatever the result is, as it is made by the one who takes it.
        assert!(implements!(CallHandle<std::rc::Rc<()>>: Send) && implements!(CallHandle<u32>: Sync));
        assert!(implements!(PoolError: Send) && implements!(PoolError: Sync));
    };
}
