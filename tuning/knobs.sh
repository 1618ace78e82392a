# shellcheck shell=bash
# The kernel settings that Carrick wants, one table for check.sh and apply.sh. Sourced, not run.
#
# name | wanted | how: min (at least), eq (exactly), ports (holds these ports) | severity | why
# shellcheck disable=SC2034  # read by the scripts that source this file
KNOBS=(
  "net.core.rmem_max|16777216|min|WARN|one datagram costs a page of receive buffer: the default holds some 45 packets of a burst"
  "net.core.wmem_max|16777216|min|WARN|a burst of forwarded packets must fit the send buffer of one socket"
  "net.core.netdev_max_backlog|10000|min|WARN|packets that a core has not looked at yet are dropped beyond it, before any socket"
  "net.core.somaxconn|4096|min|WARN|SIP over TCP: connections that wait to be accepted"
  "net.ipv4.tcp_max_syn_backlog|4096|min|WARN|SIP over TCP: connections that are being opened"
  "net.ipv4.ip_local_reserved_ports|10000-20000,5060|ports|WARN|the kernel must not give a media or SIP port to an outgoing connection"
  "kernel.io_uring_disabled|0|eq|WARN|the io_uring backend needs it; without it the edge falls back to epoll"
)

# Open files that one process may have: each call takes four media sockets, unless media share one.
NOFILE_WANTED=${CARRICK_NOFILE:-65536}
# Media ports, as in media.ports.
MEDIA_PORTS=${CARRICK_MEDIA_PORTS:-10000-20000}

# knob_path NAME: the file under /proc/sys, or under another folder to try the scripts on.
knob_path() {
  printf '%s/%s' "${CARRICK_PROC_SYS:-/proc/sys}" "${1//.//}"
}

# reserves HAVE PORTS: whether the kernel's list HAVE holds every range of the list PORTS.
reserves() {
  awk -v have="$1" -v want="$2" '
    function ends(range, pair) { if (split(range, pair, "-") == 1) pair[2] = pair[1] }
    BEGIN {
      n = split(have, h, ","); m = split(want, w, ",")
      for (i = 1; i <= n; i++) { ends(h[i], p); for (x = p[1]; x <= p[2]; x++) seen[x + 0] = 1 }
      for (j = 1; j <= m; j++) { ends(w[j], p); for (x = p[1]; x <= p[2]; x++) if (!((x + 0) in seen)) exit 1 }
    }'
}

# satisfied HOW HAVE WANTED
satisfied() {
  case $1 in
    min) [ "$2" -ge "$3" ] ;;
    eq) [ "$2" = "$3" ] ;;
    ports) reserves "$2" "$3" ;;
  esac
}
