//! `carrick run`: the edge. SIGHUP reloads the settings for new calls, SIGTERM and SIGINT drain.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::check;
use crate::config::{Log, LogFormat, LogLevel};
use crate::runtime::{Edge, Options};
use crate::sys::log::{self, Level};

/// Runs the edge.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The settings file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/carrick/carrick.toml")]
    pub config: PathBuf,
}

/// Runs the sub-command until the edge was asked to stop: exit code 0 then, 1 where it cannot run.
pub fn run(arguments: &Arguments) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{report}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let (config, warnings) = check::load(&arguments.config)?;
    apply(config.log);
    for warning in &warnings {
        log::line(Level::Warn, &format!("{warning}"));
    }
    let deadline = config.drain.deadline;
    let edge =
        Edge::start(config, Options::default()).map_err(|error| format!("error: {error}"))?;
    for note in &edge.notes {
        log::line(Level::Info, &note.to_string());
    }
    for (transport, address) in &edge.listeners {
        log::line(Level::Info, &format!("SIP on {}://{address}", transport.parameter()));
    }
    log::line(Level::Info, &format!("API on http://{}", edge.api));
    log::line(Level::Info, "ready");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("error: no async runtime: {error}"))?;
    runtime.block_on(until_stopped(arguments, &edge, deadline))?;
    edge.wait();
    Ok(())
}

/// Waits for signals until one asks for the end.
async fn until_stopped(
    arguments: &Arguments,
    edge: &Edge,
    deadline: std::time::Duration,
) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("error: no signal handler: {error}"));
    let mut reload = listen(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = reload.recv() => match check::load(&arguments.config) {
                Ok((config, _)) => {
                    apply(config.log);
                    edge.reload(config);
                }
                Err(report) => {
                    eprintln!("{report}");
                    log::line(Level::Warn, "the settings in force stay as they are");
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    edge.drain(deadline);
    Ok(())
}

/// Puts the log's settings in force.
fn apply(settings: Log) {
    let level = match settings.level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug | LogLevel::Trace => Level::Debug,
    };
    log::set(level, settings.format == LogFormat::Json);
}
