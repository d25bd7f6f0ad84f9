//! The suite as it is deployed: two replicas of each service, PostgreSQL, NATS; each part can be killed.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use kit::testing::{TestNats, TestPostgres};
use rapport::client::{Channels, wait_until};
use serde_json::Value;
use tempfile::TempDir;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{Victim, balancer::Balancer};

pub(crate) const SERVICES: [&str; 3] = ["identity", "chat", "attribution"];
pub(crate) const REPLICAS: usize = 2;

pub(crate) struct Stack {
    postgres: TestPostgres,
    nats: TestNats,
    /// Of each service as many as [`REPLICAS`], in the order of [`SERVICES`].
    replicas: Vec<Replica>,
    /// Where each service is found as one, whichever replica answers, if its peers find it so.
    balancers: Option<[Balancer; 3]>,
    folder: TempDir,
    is_postgres_dead: bool,
    is_nats_dead: bool,
}

/// One process of a service; it goes with this value.
struct Replica {
    service: &'static str,
    environment: Vec<(String, String)>,
    /// What it says, in all its lives.
    log: PathBuf,
    process: Option<Child>,
}

impl Stack {
    /// Starts all of it, and waits until all serve. Each replica has one of each other service as its peer.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_behind(None).await
    }

    /// As [`Stack::start`], where peers and callers find a service wherever one of its replicas serves.
    pub(crate) async fn start_balanced() -> anyhow::Result<Self> {
        let balancers = [
            Balancer::start().await?,
            Balancer::start().await?,
            Balancer::start().await?,
        ];
        Self::start_behind(Some(balancers)).await
    }

    async fn start_behind(balancers: Option<[Balancer; 3]>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rapport-chaos").tempdir()?;
        let postgres = TestPostgres::start(&[]).await;
        for service in SERVICES {
            postgres.create_database(service);
        }
        let nats = TestNats::start().await;
        let mut stack = Self {
            postgres,
            nats,
            replicas: Vec::new(),
            balancers,
            folder,
            is_postgres_dead: false,
            is_nats_dead: false,
        };
        for number in 0..REPLICAS {
            let own = [free_addr()?, free_addr()?, free_addr()?];
            for (index, service) in SERVICES.into_iter().enumerate() {
                let mut addrs = stack.balanced_addrs().unwrap_or(own);
                addrs[index] = own[index];
                stack.replicas.push(Replica {
                    service,
                    environment: stack.environment(service, addrs),
                    log: stack.folder.path().join(format!("{service}-{number}.log")),
                    process: None,
                });
            }
        }
        stack.revive().await?;
        stack.wait_until_all_serve().await?;
        Ok(stack)
    }

    fn environment(&self, service: &str, addrs: [SocketAddr; 3]) -> Vec<(String, String)> {
        let own = format!("RAPPORT_{}_DATABASE_URL", service.to_uppercase());
        let monitors = self.nats.config().monitors.join(",");
        let data_dir = self.folder.path().join("data").display().to_string();
        let mut environment = vec![
            (own, self.postgres.url(service)),
            ("RAPPORT_EVENTS_URL".to_owned(), self.nats.url().to_owned()),
            ("RAPPORT_EVENTS_MONITORS".to_owned(), monitors),
            ("RAPPORT_DATA_DIR".to_owned(), data_dir),
        ];
        for (service, addr) in SERVICES.iter().zip(addrs) {
            let name = format!("RAPPORT_{}_ADDR", service.to_uppercase());
            environment.push((name, addr.to_string()));
        }
        // All callers of a run come from one address.
        for limit in ["ADDRESS", "BRAND", "ACCOUNT"] {
            let name = format!("RAPPORT_LIMIT_{limit}_PER_MINUTE");
            environment.push((name, "0".to_owned()));
        }
        environment
    }

    /// Kills, as `kill -9` does, what `victim` names: of a service all replicas, or this one alone.
    pub(crate) fn kill(&mut self, victim: Victim, replica: Option<usize>) -> anyhow::Result<()> {
        for (index, process) in self.replicas.iter_mut().enumerate() {
            let is_meant = replica.is_none_or(|number| index / SERVICES.len() == number);
            let is_named = match victim {
                Victim::Service(service) => process.service == service,
                Victim::All => true,
                Victim::Postgres | Victim::Nats => false,
            };
            if is_meant && is_named {
                process.kill()?;
            }
        }
        if matches!(victim, Victim::Postgres | Victim::All) {
            self.postgres.kill();
            self.is_postgres_dead = true;
        }
        if matches!(victim, Victim::Nats | Victim::All) {
            self.nats.kill();
            self.is_nats_dead = true;
        }
        Ok(())
    }

    /// Starts what is dead, all at once: services wait for what they need.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        for replica in &mut self.replicas {
            replica.start()?;
        }
        if std::mem::take(&mut self.is_postgres_dead) {
            self.postgres.restart().await;
        }
        if std::mem::take(&mut self.is_nats_dead) {
            self.nats.restart().await;
        }
        Ok(())
    }

    async fn wait_until_all_serve(&self) -> anyhow::Result<()> {
        for index in 0..self.replicas.len() {
            self.wait_until_it_serves(index).await?;
        }
        Ok(())
    }

    async fn wait_until_it_serves(&self, index: usize) -> anyhow::Result<()> {
        let addr = self.replicas[index].addr();
        let channel = kit::server::channel(&format!("http://{addr}"))?;
        wait_until("the replica serves", async || {
            let health = &mut HealthClient::new(channel.clone());
            let answer = health.check(HealthCheckRequest::default()).await;
            let status = answer.map(|answer| answer.into_inner().status());
            Ok((status.ok() == Some(ServingStatus::Serving)).then_some(()))
        })
        .await?;
        if let Some(balancers) = &self.balancers {
            balancers[index % SERVICES.len()].add(addr);
        }
        Ok(())
    }

    /// Returns how many processes there are.
    pub(crate) fn process_count(&self) -> usize {
        self.replicas.len()
    }

    /// Ends a process as an orchestrator does, and starts it anew. Nobody is told before it is.
    pub(crate) async fn restart(&mut self, index: usize) -> anyhow::Result<()> {
        let replica = &mut self.replicas[index];
        replica.terminate().await?;
        // A new process waits for what it needs, and is found once it is ready.
        if let Some(balancers) = &self.balancers {
            balancers[index % SERVICES.len()].remove(replica.addr());
        }
        replica.start()?;
        self.wait_until_it_serves(index).await
    }

    fn balanced_addrs(&self) -> Option<[SocketAddr; 3]> {
        let balancers = self.balancers.as_ref()?;
        Some(balancers.each_ref().map(Balancer::addr))
    }

    /// Returns so many connections to each service, each to a replica by lot.
    pub(crate) fn balanced_channels(&self, count: usize) -> anyhow::Result<Channels> {
        let addrs = self.balanced_addrs().context("nothing is balanced")?;
        Channels::to_replicas(&vec![addrs; count])
    }

    /// Returns connections to all replicas.
    pub(crate) fn channels(&self) -> anyhow::Result<Channels> {
        let replicas = self.replicas.chunks(SERVICES.len());
        let addrs: Vec<[SocketAddr; 3]> = replicas
            .map(|one| [one[0].addr(), one[1].addr(), one[2].addr()])
            .collect();
        Channels::to_replicas(&addrs)
    }

    pub(crate) fn operator_token(&self) -> anyhow::Result<String> {
        let file = self.folder.path().join("data/development-secrets.json");
        let secrets: Value = serde_json::from_slice(&fs::read(file)?)?;
        let token = secrets["operator_token"].as_str();
        Ok(token.context("the file holds it")?.to_owned())
    }

    /// Returns how many rows a table of a service has.
    pub(crate) fn count(&self, service: &str, table: &str) -> anyhow::Result<usize> {
        let statement = format!("SELECT count(*) FROM {table}");
        Ok(self.postgres.query(service, &statement).parse()?)
    }

    /// Returns what `rapport events list` prints.
    pub(crate) fn dead_letters(&self) -> anyhow::Result<String> {
        let arguments = ["events", "list", "--events-url", self.nats.url()];
        let listed = program().args(arguments).output()?;
        ensure!(listed.status.success(), "{listed:?}");
        Ok(String::from_utf8(listed.stdout)?)
    }

    /// Returns the lines by which a service says that a person must look.
    pub(crate) fn errors(&self) -> anyhow::Result<Vec<String>> {
        let mut errors = Vec::new();
        for replica in &self.replicas {
            let log = fs::read_to_string(&replica.log)?;
            let lines = log.lines().filter(|line| line.contains("ERROR"));
            errors.extend(lines.map(|line| format!("{}: {line}", replica.service)));
        }
        Ok(errors)
    }
}

impl Replica {
    fn addr(&self) -> SocketAddr {
        let name = format!("RAPPORT_{}_ADDR", self.service.to_uppercase());
        let own = self.environment.iter().find(|(key, _)| *key == name);
        own.and_then(|(_, addr)| addr.parse().ok())
            .expect("its address was put there")
    }

    fn start(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = program();
        command.arg(self.service).stdout(Stdio::null()).stderr(log);
        command.envs(self.environment.iter().cloned());
        self.process = Some(command.spawn()?);
        Ok(())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.take()?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Sends SIGTERM, and waits until the process has ended well.
    async fn terminate(&mut self) -> anyhow::Result<()> {
        let mut process = self.take()?;
        let pid = process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(told.success(), "{} is not told", self.service);
        let ended = wait_until("the process ends", || {
            std::future::ready(process.try_wait().map_err(anyhow::Error::from))
        });
        let ended = ended.await?;
        ensure!(ended.success(), "{} ends badly: {ended}", self.service);
        Ok(())
    }

    /// Returns the process, which must still run.
    fn take(&mut self) -> anyhow::Result<Child> {
        let mut process = self.process.take().context("it is ended once")?;
        let ended = process.try_wait()?;
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(
            ended.is_none(),
            "{} has ended by itself: {}",
            self.service,
            log()
        );
        Ok(process)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rapport"));
    for (name, _) in std::env::vars() {
        if name.starts_with("RAPPORT_") || name.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Returns an address that a service can come back to: connections of others do not begin at 127.0.0.2, so
/// none of them takes its port while it is dead.
fn free_addr() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.2:0")?.local_addr()?)
}
