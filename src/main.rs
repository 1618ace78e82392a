//! L8: arguments -> sub-command.

use std::process::ExitCode;

use carrick::cli::{check, explain, init};
use clap::Parser;

/// A self-hosted SIP-trunking edge.
#[derive(Debug, Parser)]
#[command(name = "carrick", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Arguments),
    Init(init::Arguments),
    Explain(explain::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
    }
}
