//! What to try next: lines that can be pasted, and nothing that does not work.

use std::net::SocketAddr;
use std::path::Path;

use super::world::{PASSWORD, USER};

/// The text below the table, while the demo stays up.
pub(super) fn text(edge: SocketAddr, api: SocketAddr, store: &Path, settings: &Path) -> String {
    let (store, settings) = (store.display(), settings.display());
    // As it was called: after `make run` the program is in no PATH.
    let carrick = std::env::args_os().next().unwrap_or_else(|| "carrick".into());
    let carrick = carrick.display();
    format!(
        "\
The edge stays up until Ctrl-C. What to try next:

Call it with a softphone, and hear yourself; your call's ladder is shown here.
  baresip 3.12 or later (older ones give up on a challenge with SHA-256), ~/.baresip/accounts:
    <sip:{USER}@{edge};transport=udp>;auth_user={USER};auth_pass={PASSWORD};regint=0
  Linphone and others: user {USER}, password {PASSWORD}, domain {edge}, UDP, without
  registration (the edge is no registrar). Then dial:
    sip:+4930901899@{edge}
Ask the API:
    curl http://{api}/healthz
    curl http://{api}/metrics
    curl http://{api}/v1/cdrs
    curl 'http://{api}/v1/cdrs?result=BUSY' -H 'Accept: text/csv'
Read the records, and the settings that made them:
    {carrick} cdr --store {store}
    {carrick} cdr --store {store} --json --result ANSWERED
    {carrick} check --config {settings}
Begin an edge of your own:
    {carrick} init carrick.toml
    {carrick} run --config carrick.toml
"
    )
}
