//! One address for all replicas of a service that are ready, as an orchestrator has one: who connects there is
//! connected to one of them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rand::seq::SliceRandom;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) struct Balancer {
    addr: SocketAddr,
    ready: Arc<Mutex<Vec<SocketAddr>>>,
    accepting: JoinHandle<()>,
}

impl Balancer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let ready = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&ready)));
        Ok(Self {
            addr,
            ready,
            accepting,
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn add(&self, replica: SocketAddr) {
        self.ready
            .lock()
            .expect("nobody panics with it")
            .push(replica);
    }

    pub(crate) fn remove(&self, replica: SocketAddr) {
        self.ready
            .lock()
            .expect("nobody panics with it")
            .retain(|addr| *addr != replica);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, ready: Arc<Mutex<Vec<SocketAddr>>>) {
    while let Ok((caller, _)) = listener.accept().await {
        let mut replicas = ready.lock().expect("nobody panics with it").clone();
        replicas.shuffle(&mut rand::rng());
        tokio::spawn(connect(caller, replicas));
    }
}

/// Connects a caller to the first replica that takes connections; nothing is tried again once it is.
async fn connect(mut caller: TcpStream, replicas: Vec<SocketAddr>) {
    for addr in replicas {
        if let Ok(mut replica) = TcpStream::connect(addr).await {
            // Small writes of one side are not held back for another's acknowledgement.
            let _ = (caller.set_nodelay(true), replica.set_nodelay(true));
            // However it ends, both connections end with it.
            let _ = copy_bidirectional(&mut caller, &mut replica).await;
            return;
        }
    }
}
