//! `carrick check`: says whether a settings file is sound, and all that is wrong with it at once.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Errors, Severity, Warning, counted, to_json};

/// Says whether a settings file is sound.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The settings file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/carrick/carrick.toml")]
    pub config: PathBuf,
    /// Writes the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the sub-command: exit code 0 where the file is sound, 1 where it is not.
pub fn run(arguments: &Arguments) -> ExitCode {
    let file = arguments.config.display().to_string();
    let source = match std::fs::read_to_string(&arguments.config) {
        Ok(source) => source,
        Err(error) => return unreadable(arguments, &file, &error),
    };
    let parsed = Config::parse(&source, &file);
    if arguments.json {
        let problems = match &parsed {
            Ok((_, warnings)) => warnings,
            Err(errors) => &errors.problems,
        };
        println!("{:#}", to_json(&file, problems));
    } else {
        match &parsed {
            Ok((config, warnings)) => println!("{}", sound(&file, config, warnings)),
            Err(errors) => eprintln!("{errors}"),
        }
    }
    if parsed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads and checks the file that a service is to run on; on failure the report as it is shown.
///
/// # Errors
///
/// Why the file cannot be read, or everything that is wrong with it.
pub fn load(path: &std::path::Path) -> Result<(Config, Vec<Warning>), String> {
    let file = path.display().to_string();
    let source = std::fs::read_to_string(path)
        .map_err(|error| format!("error: {file} cannot be read: {error}\n{HINT}"))?;
    Config::parse(&source, &file).map_err(|errors: Errors| errors.to_string())
}

const HINT: &str = "  = help: `carrick init PATH` writes a file to start from";

fn unreadable(arguments: &Arguments, file: &str, error: &std::io::Error) -> ExitCode {
    if arguments.json {
        let message = format!("cannot be read: {error}");
        let severity = Severity::Error.name();
        let problem = serde_json::json!({ "severity": severity, "message": message });
        println!("{:#}", serde_json::json!({ "file": file, "ok": false, "problems": [problem] }));
    } else {
        eprintln!("error: {file} cannot be read: {error}\n{HINT}");
    }
    ExitCode::FAILURE
}

fn sound(file: &str, config: &Config, warnings: &[Warning]) -> String {
    let mut text: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    text.push_str(&format!("{file} is sound: "));
    let parts = [
        counted(config.sip.listeners.len(), "listener"),
        counted(config.applications.len(), "application"),
        counted(config.trunks.len(), "trunk"),
        counted(config.numbers.len(), "number"),
        counted(config.carriers.len(), "carrier"),
    ];
    text.push_str(&parts.join(", "));
    if !warnings.is_empty() {
        text.push_str(&format!("; {}", counted(warnings.len(), "warning")));
    }
    text
}
