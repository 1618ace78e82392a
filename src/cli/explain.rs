//! `carrick explain`: says what a setting is for.

use std::process::ExitCode;

use crate::config::keys;

/// Says what a setting is for; without a key, which sections there are.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A section or setting, such as `sip` or `sip.t1_ms`.
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
}

/// Runs the sub-command: exit code 1 where there is no such setting.
pub fn run(arguments: &Arguments) -> ExitCode {
    let Some(key) = &arguments.key else {
        for section in keys::sections() {
            println!("{:24}{}", section.path, section.doc);
        }
        return ExitCode::SUCCESS;
    };
    match keys::explain(key) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
