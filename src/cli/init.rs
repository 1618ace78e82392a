//! `carrick init`: writes a commented settings file that is sound as it is.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, template};

/// Writes a commented settings file to start from.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Host name of the edge: SIP domain and digest realm.
    #[arg(long, value_name = "NAME", default_value = "sip.example.net")]
    pub host: String,
    /// Address for RTP; without it the one that this host's default route leaves from.
    #[arg(long, value_name = "ADDRESS")]
    pub media: Option<IpAddr>,
    /// Where to write; an existing file is left as it is. `-` writes to standard output.
    #[arg(default_value = "carrick.toml")]
    pub path: PathBuf,
}

/// Runs the sub-command: exit code 0 where the file was written.
pub fn run(arguments: &Arguments) -> ExitCode {
    let file = arguments.path.display().to_string();
    let media = arguments.media.or_else(own_address);
    let media = media.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let text = template(&arguments.host, media);
    if let Err(errors) = Config::parse(&text, &file) {
        eprintln!("{errors}\n  = help: --host and --media are written as in the file");
        return ExitCode::FAILURE;
    }
    if file == "-" {
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let created = std::fs::File::options().write(true).create_new(true).open(&arguments.path);
    match created.and_then(|mut created| created.write_all(text.as_bytes())) {
        Ok(()) => {
            println!("{file} is written. Look through it, then: carrick check --config {file}");
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            eprintln!("error: {file} is already there\n  = help: name another path, or move it");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {file} cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The address that packets to the world leave from. Connecting a datagram socket asks the routing
/// table and sends nothing.
fn own_address() -> Option<IpAddr> {
    let ask = |own: IpAddr, world: IpAddr| {
        let socket = UdpSocket::bind(SocketAddr::from((own, 0))).ok()?;
        socket.connect(SocketAddr::from((world, 5060))).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_unspecified())
    };
    let ipv4 = ask(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let world = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    ipv4.or_else(|| ask(Ipv6Addr::UNSPECIFIED.into(), world.into()))
}
