//! `carrick sim`: simulated calls under faults.

use std::process::ExitCode;

/// Runs simulated calls under faults: `carrick sim --seed 1 --seeds 1000`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// `--seed N --seeds M --hours H --threads T --trace --json`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<String>,
}

/// Runs the sub-command: 0 where every seed passed, 1 where one failed, 2 for wrong arguments.
pub fn run(arguments: &Arguments) -> ExitCode {
    let status = crate::sim::main(&arguments.arguments);
    ExitCode::from(u8::try_from(status).unwrap_or(2))
}
