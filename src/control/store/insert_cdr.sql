INSERT INTO cdr (
  call_id, leg, node, sip_call_id, direction, trunk, account, "from", "to", dialled,
  routed_to, route_attempt, peer, transport, codec, t_invite, t_ringing, t_answer, t_end,
  sip_code, result, reason, release_by, note, callback_ms, rtp_pkts_in, rtp_pkts_out,
  loss_pct_in, loss_pct_out, jitter_ms_in, jitter_ms_out, mos_lq_in, mos_lq_out
) VALUES (
  ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
  ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33
)
ON CONFLICT (call_id, leg) DO NOTHING
