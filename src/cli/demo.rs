//! `carrick demo`: real calls on loopback, without configuration.

use std::process::ExitCode;

use crate::demo;

/// Places real calls through a real edge on this machine, shows their ladders, and stays up.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Ends after the calls: exit code 0 only where every one went as it should.
    #[arg(long)]
    pub once: bool,
    /// One JSON object a call on standard output, and nothing else.
    #[arg(long)]
    pub json: bool,
}

/// Runs the sub-command: exit code 0 where all calls went as they should.
pub fn run(arguments: &Arguments) -> ExitCode {
    let options = demo::Options { once: arguments.once, json: arguments.json };
    match demo::run(options) {
        Ok(all_ok) if all_ok || !arguments.once => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
