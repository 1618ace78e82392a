SELECT
  call_id, leg, node, sip_call_id, direction, trunk, account, "from", "to", dialled,
  routed_to, route_attempt, peer, transport, codec, t_invite, t_ringing, t_answer, t_end,
  sip_code, result, reason, release_by, note, callback_ms, rtp_pkts_in, rtp_pkts_out,
  loss_pct_in, loss_pct_out, jitter_ms_in, jitter_ms_out, mos_lq_in, mos_lq_out
FROM cdr
WHERE (?1 IS NULL OR t_invite >= ?1)
  AND (?2 IS NULL OR t_invite < ?2)
  AND (?3 IS NULL OR trunk = ?3)
  AND (?4 IS NULL OR call_id = ?4)
  AND (?5 IS NULL OR result = ?5)
  AND (?6 IS NULL OR ?6 <> '' AND (
       ltrim(replace(replace("from", 'sips:', ''), 'sip:', ''), '+') = ?6
    OR ltrim(replace(replace("from", 'sips:', ''), 'sip:', ''), '+') LIKE ?6 || '@%'
    OR ltrim(replace(replace("to", 'sips:', ''), 'sip:', ''), '+') = ?6
    OR ltrim(replace(replace("to", 'sips:', ''), 'sip:', ''), '+') LIKE ?6 || '@%'
    OR ltrim(replace(replace("dialled", 'sips:', ''), 'sip:', ''), '+') = ?6
    OR ltrim(replace(replace("dialled", 'sips:', ''), 'sip:', ''), '+') LIKE ?6 || '@%'))
ORDER BY t_invite DESC, call_id DESC, leg
LIMIT ?7
