//! Whether the broker's servers write before they acknowledge.
//!
//! The protocol of clients does not tell, so a start asks the servers' monitoring (`/jsz`).

use std::{io, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::BrokerError;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct JetStream {
    server_id: String,
    config: Settings,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    sync_always: bool,
}

/// Asks each of `addrs`, among which the server `connected_id` must be; where there are none, nobody. Another
/// one may be away: the others stand in for it, also at a start.
///
/// # Errors
///
/// [`BrokerError::NotDurable`] when a server may lose what it has acknowledged.
pub(super) async fn check(addrs: &[String], connected_id: &str) -> Result<(), BrokerError> {
    let mut is_monitored = addrs.is_empty();
    let mut silent = None;
    for addr in addrs {
        let asked = tokio::time::timeout(TIMEOUT, ask(addr)).await;
        let addr = addr.clone();
        match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(answer) if !answer.config.sync_always => {
                return Err(BrokerError::NotDurable { addr });
            }
            Ok(answer) => is_monitored |= answer.server_id == connected_id,
            Err(source) => silent = Some(BrokerError::Monitor { addr, source }),
        }
    }
    match silent {
        _ if is_monitored => Ok(()),
        Some(silent) => Err(silent),
        None => Err(BrokerError::NotMonitored),
    }
}

async fn ask(addr: &str) -> io::Result<JetStream> {
    let mut connection = TcpStream::connect(addr).await?;
    let request = format!("GET /jsz HTTP/1.0\r\nHost: {addr}\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (_, json) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(serde_json::from_str(json)?)
}
