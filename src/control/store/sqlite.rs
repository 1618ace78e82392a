//! The ledger in one SQLite file.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction, params};

use super::{
    Counts, DUE_PER_APPLICATION_MAX, Entry, Ledger, LiveDice, OutboxKey, OutboxRow, Recovered,
    StoreError, dice_of_lost,
};
use crate::base::bounded::{clipped, text};
use crate::base::id::CallId;
use crate::base::packet::Transport;
use crate::base::time::WallTime;
use crate::control::cdr::{CdrFilter, CdrRow, leg_word};
use crate::control::event::{EventKind, Identity};
use crate::link::LegLetter;
use crate::link::ask::Dialled;
use crate::link::cdr::{Cdr, Direction, MediaFigures, Reason, ReleaseBy, Result_};

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// Each entry takes the file from its index to the next version (`PRAGMA user_version`). Entries
/// are never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("migration_1.sql")];

const INSERT_CDR: &str = include_str!("insert_cdr.sql");
const INSERT_LIVE_CDR: &str = include_str!("insert_live_cdr.sql");
const SELECT_CDRS: &str = include_str!("select_cdrs.sql");

/// A ledger in a file, written by this process only.
#[derive(Debug)]
pub struct SqliteLedger {
    connection: Connection,
}

impl SqliteLedger {
    /// Opens the file, makes or migrates its tables. Nothing is recovered yet.
    ///
    /// # Errors
    /// The file cannot be opened or written, or a newer version of Carrick made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection)?;
        Ok(Self { connection })
    }

    /// Opens the file for reading only, beside the process that writes it.
    ///
    /// # Errors
    /// The file does not exist or cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        let version = version_of(&connection)?;
        if version != MIGRATIONS.len() {
            return Err(StoreError(format!(
                "the file has version {version}, this program reads {}",
                MIGRATIONS.len()
            )));
        }
        Ok(Self { connection })
    }
}

fn version_of(connection: &Connection) -> Result<usize, StoreError> {
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version as usize)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version = version_of(connection)?;
    if version > MIGRATIONS.len() {
        return Err(StoreError(format!(
            "the file was made by a newer Carrick (version {version}, this one knows {})",
            MIGRATIONS.len()
        )));
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", u32::try_from(index + 1).unwrap_or(0))?;
        transaction.commit()?;
    }
    Ok(())
}

impl Ledger for SqliteLedger {
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<bool>, StoreError> {
        let transaction = self.connection.transaction()?;
        let changed = entries
            .iter()
            .map(|entry| apply(&transaction, entry))
            .collect::<Result<Vec<_>, rusqlite::Error>>()?;
        transaction.commit()?;
        Ok(changed)
    }

    fn recover(&mut self, identity: Identity<'_>) -> Result<Recovered, StoreError> {
        let transaction = self.connection.transaction()?;
        let alive = wall(
            transaction
                .query_row("SELECT at FROM alive", [], |row| row.get(0))
                .optional()?
                .unwrap_or(0),
        );
        let mut recovered = Recovered::default();
        for call_id in live_calls(&transaction)? {
            let mut legs = live_legs(&transaction, call_id)?;
            for leg in &mut legs {
                leg.lose(alive);
            }
            let at = legs.iter().map(|leg| leg.cdr.end_at).max().unwrap_or(alive);
            let outbox = live_dice(&transaction, call_id)?
                .map(|dice| dice_of_lost(identity, call_id, &dice, &legs, at));
            if end(&transaction, call_id, &legs, outbox.as_ref())? {
                recovered.calls += 1;
                recovered.legs += legs.len() as u64;
            }
        }
        transaction.commit()?;
        Ok(recovered)
    }

    fn due(&mut self, now: WallTime) -> Result<Vec<OutboxRow>, StoreError> {
        // Steps from one application to the next through the index, so that a long backlog of one
        // costs the others nothing.
        let mut applications = self.connection.prepare_cached(
            "WITH RECURSIVE step(name) AS (
               SELECT min(application) FROM outbox WHERE dead = 0
               UNION ALL
               SELECT (SELECT min(application) FROM outbox
                       WHERE dead = 0 AND application > step.name)
               FROM step WHERE step.name IS NOT NULL)
             SELECT name FROM step WHERE name IS NOT NULL",
        )?;
        let names = applications.query_map([], |row| row.get::<_, String>(0))?;
        let mut rows = self.connection.prepare_cached(
            "SELECT call_id, event, application, body, attempts, created_at, next_at FROM outbox
             WHERE dead = 0 AND application = ?1 AND next_at <= ?2
             ORDER BY next_at, call_id, event LIMIT ?3",
        )?;
        let mut due = Vec::new();
        for name in names {
            let parameters = params![name?, integer(now), DUE_PER_APPLICATION_MAX];
            for row in rows.query_map(parameters, outbox_row)? {
                due.push(row?);
            }
        }
        Ok(due)
    }

    fn query(&mut self, filter: &CdrFilter) -> Result<Vec<CdrRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(SELECT_CDRS)?;
        let rows = statement.query_map(
            params![
                filter.since.map(integer),
                filter.until.map(integer),
                filter.trunk,
                filter.call_id.map(|id| id.to_string()),
                filter.result.map(Result_::word),
                filter.number(),
                filter.limit(),
            ],
            cdr_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn counts(&mut self) -> Result<Counts, StoreError> {
        Ok(self.connection.query_row(
            "SELECT (SELECT count(*) FROM outbox WHERE dead = 0),
                    (SELECT count(*) FROM outbox WHERE dead = 1),
                    (SELECT count(DISTINCT call_id) FROM live_cdr)",
            [],
            |row| Ok(Counts { outbox: whole(row, 0)?, dead: whole(row, 1)?, live: whole(row, 2)? }),
        )?)
    }
}

fn apply(transaction: &Transaction<'_>, entry: &Entry) -> Result<bool, rusqlite::Error> {
    match entry {
        Entry::Answered { call_id, cdrs, dice } => {
            if is_stored(transaction, *call_id)? {
                return Ok(false);
            }
            let mut changed = 0;
            for row in cdrs {
                changed += insert(transaction, INSERT_LIVE_CDR, row)?;
            }
            if let Some(dice) = dice {
                insert_live_dice(transaction, *call_id, dice)?;
            }
            Ok(changed > 0)
        }
        Entry::Ended { call_id, cdrs, outbox } => end(transaction, *call_id, cdrs, outbox.as_ref()),
        Entry::Delivered(key) => execute(
            transaction,
            "DELETE FROM outbox WHERE call_id = ?1 AND event = ?2",
            params![key.call_id.to_string(), key.event.word()],
        ),
        Entry::Retry { key, attempts, next_at, why } => execute(
            transaction,
            "UPDATE outbox SET attempts = ?3, next_at = ?4, why = ?5
             WHERE call_id = ?1 AND event = ?2 AND dead = 0",
            params![key.call_id.to_string(), key.event.word(), attempts, integer(*next_at), why],
        ),
        Entry::Dead { key, why } => execute(
            transaction,
            "UPDATE outbox SET dead = 1, why = ?3
             WHERE call_id = ?1 AND event = ?2 AND dead = 0",
            params![key.call_id.to_string(), key.event.word(), why],
        ),
        Entry::Alive(at) => execute(
            transaction,
            "INSERT INTO alive (only, at) VALUES (1, ?1)
             ON CONFLICT (only) DO UPDATE SET at = max(at, excluded.at)",
            params![integer(*at)],
        ),
    }
}

fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<bool, rusqlite::Error> {
    Ok(transaction.prepare_cached(sql)?.execute(parameters)? > 0)
}

fn is_stored(transaction: &Transaction<'_>, call_id: CallId) -> Result<bool, rusqlite::Error> {
    transaction
        .prepare_cached("SELECT 1 FROM cdr WHERE call_id = ?1")?
        .exists([call_id.to_string()])
}

/// Stores a call's end, unless it was stored before, and clears the journal of it.
fn end(
    transaction: &Transaction<'_>,
    call_id: CallId,
    cdrs: &[CdrRow],
    outbox: Option<&OutboxRow>,
) -> Result<bool, rusqlite::Error> {
    let name = call_id.to_string();
    execute(transaction, "DELETE FROM live_cdr WHERE call_id = ?1", [&name])?;
    execute(transaction, "DELETE FROM live_dice WHERE call_id = ?1", [&name])?;
    if is_stored(transaction, call_id)? {
        return Ok(false);
    }
    for row in cdrs {
        insert(transaction, INSERT_CDR, row)?;
    }
    if let Some(row) = outbox {
        execute(
            transaction,
            "INSERT INTO outbox
               (call_id, event, application, body, attempts, created_at, next_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                name,
                row.key.event.word(),
                row.application,
                row.body,
                row.attempts,
                integer(row.created_at),
                integer(row.next_at),
            ],
        )?;
    }
    Ok(true)
}

fn insert(
    transaction: &Transaction<'_>,
    sql: &str,
    row: &CdrRow,
) -> Result<usize, rusqlite::Error> {
    let cdr = &row.cdr;
    let media = &cdr.media;
    transaction.prepare_cached(sql)?.execute(params![
        row.call_id.to_string(),
        leg_word(cdr),
        row.node,
        cdr.sip_call_id.as_str(),
        cdr.direction.word(),
        cdr.trunk.as_str(),
        cdr.account.as_str(),
        cdr.from.as_str(),
        cdr.to.as_str(),
        cdr.dialled.as_str(),
        cdr.routed_to.as_str(),
        cdr.route_attempt,
        cdr.peer.map(|peer| peer.to_string()),
        cdr.transport.name(),
        cdr.codec.as_str(),
        integer(cdr.invite_at),
        cdr.ringing_at.map(integer),
        cdr.answer_at.map(integer),
        integer(cdr.end_at),
        cdr.sip_code,
        row.result.word(),
        cdr.reason.word(),
        cdr.release_by.word(),
        cdr.note.as_str(),
        cdr.callback_ms,
        i64::try_from(media.packets_in).unwrap_or(i64::MAX),
        i64::try_from(media.packets_out).unwrap_or(i64::MAX),
        finite(media.loss_in_percent),
        finite(media.loss_out_percent),
        finite(media.jitter_in_ms),
        finite(media.jitter_out_ms),
        media.mos_in.map(finite),
        media.mos_out.map(finite),
    ])
}

/// Reads the columns in the order in which [`insert`] writes them.
fn cdr_row(row: &Row<'_>) -> Result<CdrRow, rusqlite::Error> {
    let peer: Option<String> = row.get(12)?;
    let leg: String = row.get(1)?;
    let cdr = Cdr {
        leg: if leg == "a" { LegLetter::A } else { LegLetter::B },
        sip_call_id: clipped(&row.get::<_, String>(3)?),
        direction: word(row, 4, Direction::parse)?,
        trunk: clipped(&row.get::<_, String>(5)?),
        account: clipped(&row.get::<_, String>(6)?),
        from: clipped(&row.get::<_, String>(7)?),
        to: clipped(&row.get::<_, String>(8)?),
        dialled: clipped(&row.get::<_, String>(9)?),
        routed_to: clipped(&row.get::<_, String>(10)?),
        route_attempt: row.get(11)?,
        peer: peer.and_then(|peer| peer.parse().ok()),
        transport: word(row, 13, Transport::parse)?,
        codec: clipped(&row.get::<_, String>(14)?),
        invite_at: wall(row.get(15)?),
        ringing_at: row.get::<_, Option<i64>>(16)?.map(wall),
        answer_at: row.get::<_, Option<i64>>(17)?.map(wall),
        end_at: wall(row.get(18)?),
        sip_code: row.get(19)?,
        reason: word(row, 21, Reason::parse)?,
        release_by: word(row, 22, ReleaseBy::parse)?,
        note: clipped(&row.get::<_, String>(23)?),
        callback_ms: row.get(24)?,
        media: MediaFigures {
            packets_in: whole(row, 25)?,
            packets_out: whole(row, 26)?,
            loss_in_percent: row.get(27)?,
            loss_out_percent: row.get(28)?,
            jitter_in_ms: row.get(29)?,
            jitter_out_ms: row.get(30)?,
            mos_in: row.get(31)?,
            mos_out: row.get(32)?,
        },
    };
    let call_id = word(row, 0, CallId::parse)?;
    let result = word(row, 20, Result_::parse)?;
    Ok(CdrRow { call_id, node: row.get(2)?, result, cdr })
}

fn word<T>(
    row: &Row<'_>,
    index: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, rusqlite::Error> {
    let text: String = row.get(index)?;
    parse(&text).ok_or_else(|| {
        let why = format!("{text:?} is not a word of this column").into();
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, why)
    })
}

fn whole(row: &Row<'_>, index: usize) -> Result<u64, rusqlite::Error> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}

fn outbox_row(row: &Row<'_>) -> Result<OutboxRow, rusqlite::Error> {
    let event = |word: &str| EventKind::ALL.into_iter().find(|kind| kind.word() == word);
    Ok(OutboxRow {
        key: OutboxKey { call_id: word(row, 0, CallId::parse)?, event: word(row, 1, event)? },
        application: row.get(2)?,
        body: row.get(3)?,
        attempts: row.get(4)?,
        created_at: wall(row.get(5)?),
        next_at: wall(row.get(6)?),
    })
}

fn live_calls(transaction: &Transaction<'_>) -> Result<Vec<CallId>, rusqlite::Error> {
    let sql = "SELECT DISTINCT call_id FROM live_cdr ORDER BY call_id";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| word(row, 0, CallId::parse))?;
    rows.collect()
}

fn live_legs(
    transaction: &Transaction<'_>,
    call_id: CallId,
) -> Result<Vec<CdrRow>, rusqlite::Error> {
    let sql = "SELECT * FROM live_cdr WHERE call_id = ?1 ORDER BY leg";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map([call_id.to_string()], cdr_row)?;
    rows.collect()
}

fn live_dice(
    transaction: &Transaction<'_>,
    call_id: CallId,
) -> Result<Option<LiveDice>, rusqlite::Error> {
    let sql = "SELECT application, caller, to_kind, to_number, cookies FROM live_dice
               WHERE call_id = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    statement
        .query_row([call_id.to_string()], |row| {
            let number = text(&row.get::<_, String>(3)?).unwrap_or_default();
            let kind: String = row.get(2)?;
            let cookies: String = row.get(4)?;
            Ok(LiveDice {
                application: row.get(0)?,
                from: row.get(1)?,
                to: if kind == "did" { Dialled::Did(number) } else { Dialled::Number(number) },
                cookies: serde_json::from_str(&cookies).unwrap_or_default(),
            })
        })
        .optional()
}

fn insert_live_dice(
    transaction: &Transaction<'_>,
    call_id: CallId,
    dice: &LiveDice,
) -> Result<bool, rusqlite::Error> {
    let (kind, number) = match &dice.to {
        Dialled::Number(number) => ("number", number),
        Dialled::Did(number) => ("did", number),
    };
    let cookies = serde_json::to_string(&dice.cookies).unwrap_or_default();
    execute(
        transaction,
        "INSERT INTO live_dice
           (call_id, application, caller, to_kind, to_number, cookies)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        params![call_id.to_string(), dice.application, dice.from, kind, number.as_str(), cookies],
    )
}

/// SQLite keeps no NaN: it would become NULL and break the row.
fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn integer(time: WallTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn wall(ms: i64) -> WallTime {
    WallTime(u64::try_from(ms).unwrap_or(0))
}
