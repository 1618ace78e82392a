//! `carrick cdr`: searches the records in the store.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::id::CallId;
use crate::base::time::WallTime;
use crate::control::cdr::{CdrFilter, CdrRow, csv_header};
use crate::control::rfc3339;
use crate::control::store::Ledger as _;
use crate::control::store::sqlite::SqliteLedger;
use crate::link::CallResult;

/// Searches call detail records, newest first.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The store.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/carrick/carrick.sqlite")]
    pub store: PathBuf,
    /// Begun at this time or later (RFC 3339).
    #[arg(long)]
    pub since: Option<String>,
    /// Begun before this time (RFC 3339).
    #[arg(long)]
    pub until: Option<String>,
    /// Of this trunk.
    #[arg(long)]
    pub trunk: Option<String>,
    /// From, to or dialled this number.
    #[arg(long)]
    pub number: Option<String>,
    /// Of this call.
    #[arg(long)]
    pub call: Option<String>,
    /// With this outcome: ANSWERED, BUSY, NOANSWER or FAILED.
    #[arg(long)]
    pub result: Option<String>,
    /// At most so many records.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Comma-separated, with a line of names.
    #[arg(long)]
    pub csv: bool,
}

/// Runs the sub-command: exit code 0, or 1 where the store cannot be read or a value is wrong.
pub fn run(arguments: &Arguments) -> ExitCode {
    match search(arguments) {
        Ok(rows) => {
            print(arguments, &rows);
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprintln!("error: {report}");
            ExitCode::FAILURE
        }
    }
}

fn search(arguments: &Arguments) -> Result<Vec<CdrRow>, String> {
    let filter = CdrFilter {
        since: time("--since", arguments.since.as_deref())?,
        until: time("--until", arguments.until.as_deref())?,
        trunk: arguments.trunk.clone(),
        number: arguments.number.clone(),
        call_id: match &arguments.call {
            None => None,
            Some(id) => {
                Some(CallId::parse(id).ok_or_else(|| format!("--call: {id} is no call's id"))?)
            }
        },
        result: match &arguments.result {
            None => None,
            Some(word) => Some(CallResult::parse(word).ok_or_else(|| {
                format!("--result: {word} is none of ANSWERED, BUSY, NOANSWER, FAILED")
            })?),
        },
        limit: Some(arguments.limit),
    };
    let mut store = SqliteLedger::open_to_read(&arguments.store)
        .map_err(|error| format!("{}: {error}", arguments.store.display()))?;
    store.query(&filter).map_err(|error| error.to_string())
}

fn time(option: &str, text: Option<&str>) -> Result<Option<WallTime>, String> {
    let Some(text) = text else { return Ok(None) };
    let example = "2026-11-23T20:40:00Z";
    let wrong = || format!("{option}: {text} is no RFC 3339 time such as {example}");
    rfc3339::parse(text).map(Some).ok_or_else(wrong)
}

fn print(arguments: &Arguments, rows: &[CdrRow]) {
    if arguments.json {
        for row in rows {
            println!("{}", row.json());
        }
    } else if arguments.csv {
        println!("{}", csv_header());
        for row in rows {
            println!("{}", row.csv());
        }
    } else {
        println!(
            "{:<24} {:<3} {:<16} {:<16} {:>4} {:<16} {:>8}  note",
            "begun", "leg", "from", "to", "code", "reason", "seconds"
        );
        for row in rows {
            let (cdr, seconds) = (&row.cdr, row.duration_ms().div_ceil(1000));
            println!(
                "{:<24} {:<3} {:<16.16} {:<16.16} {:>4} {:<16} {:>8}  {}",
                cdr.invite_at.to_rfc3339(),
                crate::control::cdr::leg_word(cdr),
                cdr.from,
                cdr.to,
                cdr.sip_code,
                cdr.reason.word(),
                seconds,
                cdr.note
            );
        }
    }
}
