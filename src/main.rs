//! Reads the command line, calls the verb, decides the exit code.

use std::process::ExitCode;

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must cost one request, not the process: build with panic = \"unwind\"");

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, of which most would stay empty: a third of what the process takes
    // at its start, half of it with a thousand services. Where the kernel knows no such thing, nothing is
    // lost.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    pointsman::crypto::install();
    pointsman::cli::run(pointsman::cli::Cli::of_process())
}
