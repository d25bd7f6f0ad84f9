//! A NATS server of a test's own: the one named by `RAPPORT_TEST_NATS_SERVER`, which `scripts/test`
//! installs; a test that finds none fails and says so.

use std::{fs, path::Path, process::Child, time::Duration};

use serde::Deserialize;

use super::{server::Server, wait_until};
use crate::config::BrokerConfig;

const NATS_SERVER: &str = "RAPPORT_TEST_NATS_SERVER";
const LONG: Duration = Duration::from_secs(30);

/// Where a server says that it listens.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

/// A running server, on ports that the system chose; it and its folder go with this value.
pub struct TestNats {
    settings: String,
    ports: Ports,
    server: Server,
}

impl TestNats {
    /// Starts one that writes before it acknowledges.
    ///
    /// # Panics
    ///
    /// When there is none, or it does not start.
    pub async fn start() -> Self {
        Self::start_as("jetstream { store_dir: /data, sync_interval: always }").await
    }

    /// Starts one that writes when it likes, as servers do where nobody tells them otherwise.
    ///
    /// # Panics
    ///
    /// As [`TestNats::start`].
    pub async fn start_careless() -> Self {
        Self::start_as("jetstream { store_dir: /data }").await
    }

    /// Starts one with this configuration, whose `/data` is a folder of its own, and which says no port.
    ///
    /// # Panics
    ///
    /// As [`TestNats::start`].
    pub async fn start_as(settings: &str) -> Self {
        let folder = Server::folder_of("nats");
        let anywhere = Ports {
            nats: vec!["nats://127.0.0.1:-1".to_owned()],
            monitoring: vec!["http://127.0.0.1:-1".to_owned()],
        };
        let settings = settings.replace("/data", &folder.display().to_string());
        let (process, ports) = run(&folder, &settings, &anywhere).await;
        Self {
            settings,
            ports,
            server: Server::new(folder, process),
        }
    }

    /// Ends it as a power failure would end the process.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, where it was and with what it kept.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        let (process, ports) = run(self.server.folder(), &self.settings, &self.ports).await;
        self.server.restarted(process);
        self.ports = ports;
    }

    /// Returns what a service is told of it.
    ///
    /// # Panics
    ///
    /// When the server said nonsense.
    pub fn config(&self) -> BrokerConfig {
        let monitors = self.ports.monitoring.iter();
        BrokerConfig {
            url: self.ports.nats[0].parse().expect("the server's URL"),
            tls: None,
            replica_count: 1,
            monitors: monitors.map(|url| host_and_port(url).to_owned()).collect(),
        }
    }

    /// Returns its URL.
    pub fn url(&self) -> &str {
        &self.ports.nats[0]
    }
}

fn host_and_port(url: &str) -> &str {
    url.split_once("//").map_or(url, |(_, rest)| rest)
}

/// Runs a server at `ports`, and returns it with those that it says.
async fn run(folder: &Path, settings: &str, ports: &Ports) -> (Child, Ports) {
    let program = std::env::var(NATS_SERVER)
        .unwrap_or_else(|_| panic!("{NATS_SERVER} is not set: run the tests with scripts/test"));
    let file = folder.join("nats.conf");
    let config = format!(
        "listen: \"{}\"\nhttp: \"{}\"\nports_file_dir: \"{}\"\n{settings}\n",
        host_and_port(&ports.nats[0]),
        host_and_port(&ports.monitoring[0]),
        folder.display(),
    );
    fs::write(&file, config).expect("the server's folder can be written");
    let process = Server::spawn(&program, &folder.join("log"), |command| {
        command.arg("--config").arg(&file);
    });
    let file = folder.join(format!("nats-server_{}.ports", process.id()));
    let read = || serde_json::from_slice(&fs::read(&file).ok()?).ok();
    wait_until(LONG, async || {
        let said: Option<Ports> = read();
        said.is_some()
    })
    .await;
    (process, read().expect("the server has just said it"))
}
