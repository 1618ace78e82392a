//! What surrounds the demo's edge: free ports, a temporary folder, and settings as an operator
//! would write them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::base::rng::Rng;
use crate::config::Config;

/// Termination domain of the trunk that calls with passwords.
pub(super) const OFFICE: &str = "office.carrick.test";
/// Termination domain of the trunk that is known by its address and has no callback.
pub(super) const WAREHOUSE: &str = "warehouse.carrick.test";
/// Key of the application that is asked about its calls.
pub(super) const APPLICATION: &str = "7d2f0c1e-demo-4c1e-9f60-callbacks0001";
/// Its secret, which signs callbacks.
pub(super) const SECRET: &str = "Q2Fycmljay1kZW1vLXNpZ25pbmcta2V5LTAwMDAwMDE=";
/// User of the office trunk, and of the trunk for softphones.
pub(super) const USER: &str = "demo";
/// Its password.
pub(super) const PASSWORD: &str = "Carrick-Bend-1849";
/// Numbers that callers show.
pub(super) const CALLER_NUMBER: &str = "+442071838750";
/// Time that a backend has for its answer.
pub(super) const BUDGET_MS: u64 = 800;

/// Media ports of the edge.
const EDGE_PORTS: u16 = 256;
/// Where the edge's ports are looked for: above what services use, below what the kernel hands out.
const PORTS_OF_EDGE: Range<u16> = 20_000..32_000;
/// Where the phones' media ports are: elsewhere, because an edge refuses media towards itself.
pub(super) const PORTS_OF_PHONES: Range<u16> = 12_000..20_000;
const TRIES: u32 = 50;

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(rng: &mut Rng) -> io::Result<Self> {
        let name = format!("carrick-demo-{}-{}", std::process::id(), rng.token::<8>());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("carrick.sqlite")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing that could be done about a folder that stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ports that were free a moment ago.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) sip: u16,
    pub(super) api: u16,
    pub(super) media: u16,
}

impl Ports {
    pub(super) fn find(rng: &mut Rng) -> io::Result<Self> {
        let udp_and_tcp = |port: u16| {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            UdpSocket::bind(at).and_then(|_| TcpListener::bind(at)).is_ok()
        };
        for _ in 0..TRIES {
            let sip = udp_range(PORTS_OF_EDGE, 2, rng)?;
            let media = udp_range(PORTS_OF_EDGE, EDGE_PORTS, rng)?;
            let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if udp_and_tcp(sip) && !(media..media + EDGE_PORTS).contains(&sip) {
                return Ok(Self { sip, api, media });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free for SIP"))
    }

    pub(super) fn edge(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.sip).into()
    }
}

/// First of `count` UDP ports in a row that are free on loopback; even.
pub(super) fn udp_range(within: Range<u16>, count: u16, rng: &mut Rng) -> io::Result<u16> {
    for _ in 0..TRIES {
        let room = u64::from(within.end - within.start - count);
        let offset = u16::try_from(rng.below(room)).unwrap_or(0) & !1;
        let first = within.start + offset;
        let is_free = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..first + count).all(is_free) {
            return Ok(first);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no {count} free UDP ports in a row")))
}

/// Where the demo's own sides are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) backend: SocketAddr,
    pub(super) carrier: SocketAddr,
    pub(super) full: SocketAddr,
}

/// The settings of the demo's edge, as a file.
pub(super) fn settings(folder: &Folder, ports: Ports, sides: Sides) -> String {
    let Ports { sip, api, media } = ports;
    let Sides { backend, carrier, full } = sides;
    let last = media + EDGE_PORTS - 1;
    let data = folder.path().display().to_string();
    format!(
        r#"[edge]
region = "demo"
host = "carrick.test"
data_dir = {data:?}

[sip]
listen = ["udp://127.0.0.1:{sip}", "tcp://127.0.0.1:{sip}"]

[media]
addresses = ["127.0.0.1"]
ports = "{media}-{last}"
quarantine_s = 2

[runtime]
shards = 2
pin = false

[api]
listen = "127.0.0.1:{api}"

[callbacks]
budget_ms = {BUDGET_MS}
connect_ms = 300
allow_private = true
allow_http = true

[[application]]
key = "{APPLICATION}"
secret = "{SECRET}"
callback = {{ primary = "http://{backend}/calls" }}

[[application]]
key = "c41d8a52-demo-4a53-8e0b-nocallback01"
secret = "Q2Fycmljay1kZW1vLXNpZ25pbmcta2V5LTAwMDAwMDI="

[[credential_list]]
name = "people"
users = [{{ username = "{USER}", password = "{PASSWORD}" }}]

[[access_list]]
name = "this-machine"
ranges = ["127.0.0.0/8"]

[[trunk]]
name = "office"
application = "{APPLICATION}"
domain = "{OFFICE}"
credential_lists = ["people"]

[[trunk]]
name = "softphone"
application = "{APPLICATION}"
domain = "127.0.0.1"
credential_lists = ["people"]

[[trunk]]
name = "warehouse"
application = "c41d8a52-demo-4a53-8e0b-nocallback01"
domain = "{WAREHOUSE}"
access_lists = ["this-machine"]

[[carrier]]
name = "full"
uris = ["sip:{full}"]
prefixes = ["+44"]

[[carrier]]
name = "spacious"
uris = ["sip:{carrier}"]

[[number]]
number = "{CALLER_NUMBER}"
application = "{APPLICATION}"
to = "none"
"#
    )
}

/// The settings, read.
pub(super) fn config(folder: &Folder, ports: Ports, sides: Sides) -> Result<Config, String> {
    let text = settings(folder, ports, sides);
    let file = folder.path().join("carrick.toml");
    std::fs::write(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
    let parsed = Config::parse(&text, &file.display().to_string());
    parsed.map(|(config, _)| config).map_err(|errors| errors.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_sound_and_the_folder_goes() {
        let mut rng = Rng::from_number(u64::from(std::process::id()));
        let folder = Folder::new(&mut rng).expect("a folder");
        let path = folder.path().to_owned();
        let ports = Ports::find(&mut rng).expect("ports");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let sides = Sides { backend: at(1000), carrier: at(1001), full: at(1002) };
        let config = config(&folder, ports, sides).expect("sound");
        assert_eq!(config.edge.store, folder.store());
        assert_eq!((config.trunks.len(), config.carriers.len()), (3, 2));
        assert_eq!(ports.media % 2, 0);
        drop(folder);
        assert!(!path.exists());
    }
}
