//! Reads the command line, calls the verb, decides the exit code.

use std::process::ExitCode;

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must cost one request, not the process: build with panic = \"unwind\"");

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pointsman::cli::run(pointsman::cli::Cli::of_process())
}
