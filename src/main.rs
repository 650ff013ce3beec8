//! The program: its words go to the command line ([`tauscope::cli`]).

#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::ffi::OsString;
use std::process::ExitCode;
use tauscope::cli;

fn main() -> ExitCode {
    without_wayland();
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(cli::run(&words))
}

/// Switches Mesa's layer for choosing a default adapter off where it has no Wayland to ask: it would complain on stderr, and
/// which adapter is taken is decided by `--adapter`.
fn without_wayland() {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let has_wayland = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|path| path.as_encoded_bytes().starts_with(b"/"));
    if !has_wayland && !is_set("MESA_VK_DEVICE_SELECT") && !is_set("NODEVICE_SELECT") {
        // SAFETY: this is the process's only thread so far.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
