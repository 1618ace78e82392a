//! L8: arguments -> sub-command.

use std::process::ExitCode;

use carrick::cli::{cdr, check, demo, explain, init, run, sim};
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
    Run(run::Arguments),
    Check(check::Arguments),
    Init(init::Arguments),
    Explain(explain::Arguments),
    Cdr(cdr::Arguments),
    Sim(sim::Arguments),
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Cdr(arguments) => cdr::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
    }
}
