#!/usr/bin/env bash
# Sets what check.sh finds wanting, now and at every boot, and remembers what was there before for
# undo.sh. Needs root. With --dry-run it prints what it would do.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=knobs.sh
. ./knobs.sh

CONF=${CARRICK_SYSCTL:-/etc/sysctl.d/90-carrick.conf}
STATE=${CARRICK_TUNING_STATE:-/var/lib/carrick/tuning.before}

dry=0
case ${1:-} in
  "") ;;
  --dry-run) dry=1 ;;
  *) echo "usage: apply.sh [--dry-run]" >&2; exit 2 ;;
esac
if [ "$dry" = 0 ] && [ "$(id -u)" != 0 ]; then
  echo "apply.sh changes kernel settings: run it as root, or with --dry-run" >&2
  exit 1
fi

lines=()
before=()
for knob in "${KNOBS[@]}"; do
  IFS='|' read -r name wanted how _ _ <<<"$knob"
  path=$(knob_path "$name")
  [ -r "$path" ] || continue
  have=$(<"$path")
  if satisfied "$how" "$have" "$wanted"; then continue; fi
  # Ports that others have reserved stay reserved.
  if [ "$how" = ports ] && [ -n "$have" ]; then wanted="$have,$wanted"; fi
  echo "$name: ${have:-(empty)} -> $wanted"
  lines+=("$name = $wanted")
  before+=("$name=$have")
done

if [ "${#lines[@]}" = 0 ]; then
  echo "nothing to do"
  exit 0
fi
if [ "$dry" = 1 ]; then exit 0; fi

mkdir -p "$(dirname "$STATE")" "$(dirname "$CONF")"
# The first run knows what was there before us; later ones add what they change in addition.
touch "$STATE"
for entry in "${before[@]}"; do
  grep -q "^${entry%%=*}=" "$STATE" || printf '%s\n' "$entry" >>"$STATE"
done
touch "$CONF"
for line in "${lines[@]}"; do
  name=${line%% = *}
  sed -i "/^${name//./\\.} = /d" "$CONF"
  printf '%s\n' "$line" >>"$CONF"
  path=$(knob_path "$name")
  if ! printf '%s' "${line#* = }" >"$path"; then
    echo "$name could not be set; the file $CONF keeps it for the next boot" >&2
  fi
done
echo "set; $CONF keeps it, $STATE knows what was there before"
