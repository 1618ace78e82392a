#!/usr/bin/env bash
# Puts back what apply.sh found, and removes its file. Needs root.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=knobs.sh
. ./knobs.sh

CONF=${CARRICK_SYSCTL:-/etc/sysctl.d/90-carrick.conf}
STATE=${CARRICK_TUNING_STATE:-/var/lib/carrick/tuning.before}

if [ ! -f "$STATE" ]; then
  echo "nothing to undo: $STATE is not there"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  echo "undo.sh changes kernel settings: run it as root" >&2
  exit 1
fi
failed=0
while IFS='=' read -r name value; do
  [ -n "$name" ] || continue
  echo "$name -> ${value:-(empty)}"
  # An empty list of ports is written as an empty line.
  if ! printf '%s\n' "$value" >"$(knob_path "$name")"; then failed=1; fi
done <"$STATE"
rm -f "$CONF"
if [ "$failed" = 0 ]; then rm -f "$STATE"; fi
exit "$failed"
