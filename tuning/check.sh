#!/usr/bin/env bash
# Says how this host is set up for Carrick: one line a knob, OK, WARN or FAIL, and why it matters.
# Reads only; needs no root. Exit status 1 where something is FAIL.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=knobs.sh
. ./knobs.sh

failed=0

# say STATUS WHAT WHY
say() {
  printf '%-5s %s\n' "$1" "$2"
  if [ "$1" != OK ]; then printf '      %s\n' "$3"; fi
  if [ "$1" = FAIL ]; then failed=1; fi
}

for knob in "${KNOBS[@]}"; do
  IFS='|' read -r name wanted how severity why <<<"$knob"
  path=$(knob_path "$name")
  if [ ! -r "$path" ]; then
    # A kernel without the switch has nothing switched off.
    if [ "$how" = eq ]; then say OK "$name is not there"; else say WARN "$name cannot be read" "$why"; fi
    continue
  fi
  have=$(<"$path")
  if satisfied "$how" "$have" "$wanted"; then
    say OK "$name = $have"
  else
    say "$severity" "$name = ${have:-(empty)}, wanted $wanted" "$why"
  fi
done

soft=$(ulimit -Sn)
hard=$(ulimit -Hn)
why="open files: four media sockets a call; raise LimitNOFILE in the service, or /etc/security/limits.d"
if [ "$hard" = unlimited ] || [ "$hard" -ge "$NOFILE_WANTED" ]; then
  say OK "open files: $soft, may be raised to $hard"
elif [ "$hard" -ge 4096 ]; then
  say WARN "open files: at most $hard, wanted $NOFILE_WANTED" "$why"
else
  say FAIL "open files: at most $hard, wanted $NOFILE_WANTED" "$why"
fi

why="tracking a media stream costs a third more time a packet, and its table overflows; see README.md"
if [ -r /proc/sys/net/netfilter/nf_conntrack_count ]; then
  rules=""
  if [ "$(id -u)" = 0 ]; then
    rules=$( (nft list ruleset; iptables-save) 2>/dev/null | grep -iE 'notrack|CT --notrack' || true)
  fi
  if [ -n "$rules" ]; then
    say OK "conntrack is on, with exceptions"
  else
    say WARN "conntrack is on, and no exception for UDP ports $MEDIA_PORTS was seen" "$why"
  fi
else
  say OK "conntrack is off"
fi
if grep -q '^nf_conntrack_sip ' /proc/modules 2>/dev/null; then
  say WARN "the kernel module nf_conntrack_sip is loaded" \
    "it parses and rewrites SIP on its own; unload it: rmmod nf_nat_sip nf_conntrack_sip"
else
  say OK "nf_conntrack_sip is not loaded"
fi

governors=$( (cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null || true) |
  sort -u | tr '\n' ' ')
case ${governors:-none} in
  none | "performance ") say OK "processor governor: ${governors:-not ours to see}" ;;
  *) say WARN "processor governor: $governors" "a core that clocks down answers late after a pause" ;;
esac

exit "$failed"
