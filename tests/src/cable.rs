//! A cable between our programs and Nacos that can be unplugged.

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::Result;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::ports;

/// Forwards a port, and the one 1000 above it, to another pair.
#[derive(Debug)]
pub struct Cable {
    port: u16,
    to: u16,
    plugged: Option<Plugged>,
}

#[derive(Debug)]
struct Plugged {
    listeners: Vec<JoinHandle<()>>,
    /// Dropped with the cable: ends every connection.
    _hold: Arc<watch::Sender<()>>,
}

impl Cable {
    /// An unplugged cable to `to` and `to + 1000`: nothing listens.
    pub fn unplugged(to: u16) -> Result<Self> {
        Ok(Self { port: ports::nacos_pair()?, to, plugged: None })
    }

    /// `host:port` of our end.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Plugs it in.
    pub async fn plug(&mut self) -> Result<()> {
        let hold = Arc::new(watch::channel(()).0);
        let mut listeners = Vec::new();
        for offset in [0, 1000] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port + offset)).await?;
            listeners.push(tokio::spawn(forward(listener, self.to + offset, hold.subscribe())));
        }
        self.plugged = Some(Plugged { listeners, _hold: hold });
        Ok(())
    }

    /// Unplugs it: connections end, new ones are refused.
    pub fn unplug(&mut self) {
        if let Some(plugged) = self.plugged.take() {
            plugged.listeners.iter().for_each(JoinHandle::abort);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.unplug();
    }
}

/// Passes on what connects to `listener`, for as long as the sender of `hold` is there.
pub(crate) async fn forward(listener: TcpListener, to: u16, hold: watch::Receiver<()>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut hold = hold.clone();
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = hold.changed() => {}
            }
        });
    }
}
