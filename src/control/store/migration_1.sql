-- Times are milliseconds since 1970-01-01 UTC.

-- One row a leg of each call that ended.
CREATE TABLE cdr (
  call_id TEXT NOT NULL,
  leg TEXT NOT NULL,
  node TEXT NOT NULL,
  sip_call_id TEXT NOT NULL,
  direction TEXT NOT NULL,
  trunk TEXT NOT NULL,
  account TEXT NOT NULL,
  "from" TEXT NOT NULL,
  "to" TEXT NOT NULL,
  dialled TEXT NOT NULL,
  routed_to TEXT NOT NULL,
  route_attempt INTEGER NOT NULL,
  peer TEXT,
  transport TEXT NOT NULL,
  codec TEXT NOT NULL,
  t_invite INTEGER NOT NULL,
  t_ringing INTEGER,
  t_answer INTEGER,
  t_end INTEGER NOT NULL,
  sip_code INTEGER NOT NULL,
  result TEXT NOT NULL,
  reason TEXT NOT NULL,
  release_by TEXT NOT NULL,
  note TEXT NOT NULL,
  callback_ms INTEGER NOT NULL,
  rtp_pkts_in INTEGER NOT NULL,
  rtp_pkts_out INTEGER NOT NULL,
  loss_pct_in REAL NOT NULL,
  loss_pct_out REAL NOT NULL,
  jitter_ms_in REAL NOT NULL,
  jitter_ms_out REAL NOT NULL,
  mos_lq_in REAL,
  mos_lq_out REAL,
  PRIMARY KEY (call_id, leg)
) WITHOUT ROWID;
CREATE INDEX cdr_by_time ON cdr (t_invite);

-- Legs of calls that are answered and have not ended.
CREATE TABLE live_cdr (
  call_id TEXT NOT NULL,
  leg TEXT NOT NULL,
  node TEXT NOT NULL,
  sip_call_id TEXT NOT NULL,
  direction TEXT NOT NULL,
  trunk TEXT NOT NULL,
  account TEXT NOT NULL,
  "from" TEXT NOT NULL,
  "to" TEXT NOT NULL,
  dialled TEXT NOT NULL,
  routed_to TEXT NOT NULL,
  route_attempt INTEGER NOT NULL,
  peer TEXT,
  transport TEXT NOT NULL,
  codec TEXT NOT NULL,
  t_invite INTEGER NOT NULL,
  t_ringing INTEGER,
  t_answer INTEGER,
  t_end INTEGER NOT NULL,
  sip_code INTEGER NOT NULL,
  result TEXT NOT NULL,
  reason TEXT NOT NULL,
  release_by TEXT NOT NULL,
  note TEXT NOT NULL,
  callback_ms INTEGER NOT NULL,
  rtp_pkts_in INTEGER NOT NULL,
  rtp_pkts_out INTEGER NOT NULL,
  loss_pct_in REAL NOT NULL,
  loss_pct_out REAL NOT NULL,
  jitter_ms_in REAL NOT NULL,
  jitter_ms_out REAL NOT NULL,
  mos_lq_in REAL,
  mos_lq_out REAL,
  PRIMARY KEY (call_id, leg)
) WITHOUT ROWID;

-- What the customer is told when such a call is lost.
CREATE TABLE live_dice (
  call_id TEXT PRIMARY KEY,
  application TEXT NOT NULL,
  caller TEXT NOT NULL,
  to_kind TEXT NOT NULL,
  to_number TEXT NOT NULL,
  cookies TEXT NOT NULL
) WITHOUT ROWID;

-- Events to be delivered, or given up (dead).
CREATE TABLE outbox (
  call_id TEXT NOT NULL,
  event TEXT NOT NULL,
  application TEXT NOT NULL,
  body BLOB NOT NULL,
  attempts INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  dead INTEGER NOT NULL DEFAULT 0,
  why TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (call_id, event)
) WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (application, next_at) WHERE dead = 0;
CREATE INDEX outbox_dead ON outbox (created_at) WHERE dead = 1;

-- When the edge was last known to be alive.
CREATE TABLE alive (only INTEGER PRIMARY KEY CHECK (only = 1), at INTEGER NOT NULL);
