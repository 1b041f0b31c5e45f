//! Worker processes. In a process of its own: it counts processes, threads and descriptors, and kills.
#![cfg(target_os = "linux")]

mod calls;
mod support;
