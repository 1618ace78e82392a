//! What to try next: lines that can be pasted, and nothing that does not work.

use std::net::SocketAddr;
use std::path::Path;

use super::world::{OFFICE, PASSWORD, USER, WAREHOUSE};

/// The text below the table, while the demo stays up.
pub(super) fn text(edge: SocketAddr, api: SocketAddr, store: &Path, settings: &Path) -> String {
    let (store, settings) = (store.display(), settings.display());
    format!(
        "\
The edge stays up until Ctrl-C. What to try next:

  a softphone   baresip account (~/.baresip/accounts), one line:
                  <sip:{USER}@{edge};transport=udp>;auth_user={USER};auth_pass={PASSWORD};regint=0
                Linphone and others: user {USER}, password {PASSWORD}, domain {edge}, UDP,
                without registration (the edge is a trunk, not a registrar).
                Dial sip:+4930901899@{edge} and hear yourself: your call is asked for,
                connected and recorded like those above, and its ladder is shown here.
  the API         curl http://{api}/healthz
                  curl http://{api}/metrics
                  curl http://{api}/v1/cdrs
                  curl 'http://{api}/v1/cdrs?result=BUSY' -H 'Accept: text/csv'
  the records     carrick cdr --store {store}
                  carrick cdr --store {store} --json --result ANSWERED
  the settings    less {settings}       trunks {OFFICE}, {WAREHOUSE}
                  carrick check --config {settings}
  your own edge   carrick init carrick.toml && carrick run --config carrick.toml
"
    )
}
