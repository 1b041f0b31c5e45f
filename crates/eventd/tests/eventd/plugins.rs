//! What plugins may rely on.
