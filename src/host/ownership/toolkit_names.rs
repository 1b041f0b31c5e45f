//! The names by which Toolkit's modules are told.

/// The part of a dotted name before the first dot.
pub(crate) fn top_level(name: &str) -> &str {
    name.split_once('.').map_or(name, |(top, _)| top)
}

/// Whether a core's modules have such names, `tank*` and `sgtk*`: what the published recipe removes.
pub(crate) fn is_core_name(name: &str) -> bool {
    name.starts_with("tank") || name.starts_with("sgtk")
}

/// Whether Toolkit makes up such names, for the hooks and bundles that it loads by hand.
pub(crate) fn is_generated(name: &str) -> bool {
    let top = top_level(name);
    let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    top.starts_with("tkimp") || top.len() == 32 && top.bytes().all(is_hexadecimal)
}

/// Whether Toolkit gives modules such names: a core's, those of swapped cores, and those of hooks and
/// bundles.
pub(crate) fn is_toolkit_name(name: &str) -> bool {
    const SWAPPED: [&str; 2] = ["core_swap_", "_tank_vendor_swap_"];
    is_core_name(name) || SWAPPED.iter().any(|prefix| name.starts_with(prefix)) || is_generated(name)
}
