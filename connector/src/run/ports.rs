//! The open ports, each with the terms that are posted at it, and what becomes of them when the configuration changes.
//!
//! A new port is opened before anything else changes. A port that stays keeps its socket, whatever else is new of it; one that
//! closes answers what was read from it.

use std::{mem, net::SocketAddr, sync::Arc, time::Duration};

use adapters::world;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tracing::info;

use super::RunError;
use crate::{
    admin::{Door, Office},
    config::{ServerTls, Service},
    connection::{Http, Shared, Terms},
    listener::{self, Listener, Reception},
    recorder::Recorder,
    reload::changes,
    tls::{Acceptor, Side},
    watch,
};

/// All open ports.
#[derive(Debug)]
pub(super) struct Ports {
    common: Common,
    xdr: Vec<Port<Arc<Terms>>>,
    manage: Vec<Port<Door>>,
    /// TLS of the service and of its management endpoint, and the tasks that follow their files.
    tls: [Option<(Secured, AbortHandle)>; 2],
    /// One task for each port.
    xdr_tasks: JoinSet<()>,
    manage_tasks: JoinSet<()>,
    watching: JoinSet<()>,
}

/// What ports share, whatever is posted.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) recorder: Option<Arc<Recorder>>,
    pub(super) shared: Arc<Shared>,
    pub(super) office: Arc<Office>,
    /// Where senders speak HTTP.
    pub(super) http: Option<Arc<Http>>,
    /// How often the files of certificates are looked at.
    pub(super) tls_reload: Duration,
}

#[derive(Debug)]
struct Port<T> {
    configured: Option<(String, u16)>,
    address: SocketAddr,
    post: watch::Sender<T>,
}

/// TLS of one side.
#[derive(Debug)]
struct Secured {
    settings: Option<ServerTls>,
    acceptor: Arc<Acceptor>,
}

/// The ports of a configuration. Those that are new are open already.
#[derive(Debug)]
pub(super) struct Plan {
    xdr: Vec<Planned>,
    manage: Vec<Planned>,
    tls: [Option<Secured>; 2],
}

#[derive(Debug)]
struct Planned {
    configured: Option<(String, u16)>,
    secured: bool,
    /// `None` where the port is open.
    new: Option<world::Listener>,
}

impl Plan {
    /// Of listeners that were bound as `service` asks.
    pub(super) fn of(service: &Service, xdr: Vec<Listener>, manage: Vec<Listener>) -> Self {
        let secured = |listeners: &[Listener], settings: Option<&ServerTls>| {
            let acceptor = listeners.iter().find_map(|listener| listener.tls.clone())?;
            Some(Secured { settings: settings.cloned(), acceptor })
        };
        let manage_tls = service.manage.as_ref().and_then(|manage| manage.tls.as_ref());
        let tls = [secured(&xdr, service.tls.as_ref()), secured(&manage, manage_tls)];
        let planned = |listener: Listener| Planned {
            configured: listener.configured,
            secured: listener.tls.is_some(),
            new: Some(listener.socket),
        };
        Self {
            xdr: xdr.into_iter().map(planned).collect(),
            manage: manage.into_iter().map(planned).collect(),
            tls,
        }
    }
}

impl Ports {
    pub(super) fn new(common: Common) -> Self {
        Self {
            common,
            xdr: Vec::new(),
            manage: Vec::new(),
            tls: [None, None],
            xdr_tasks: JoinSet::new(),
            manage_tasks: JoinSet::new(),
            watching: JoinSet::new(),
        }
    }

    /// Opens what `service` asks for and is not open yet, and reads the certificates that it names. Changes nothing.
    pub(super) async fn plan(&self, service: &Service) -> Result<Plan, RunError> {
        let manage = service.manage.as_ref();
        let manage_tls = manage.and_then(|manage| manage.tls.as_ref());
        let tls = [
            self.secured(0, Side::of(service.protocol), service.tls.as_ref())?,
            self.secured(1, Side::Manage, manage_tls)?,
        ];
        let mut xdr = sockets(&service.addresses, &service.ports, false);
        xdr.extend(service.tls.iter().flat_map(|tls| sockets(&tls.addresses, &tls.ports, true)));
        let mut managed: Vec<_> =
            manage.into_iter().flat_map(|manage| sockets(&manage.addresses, &manage.ports, false)).collect();
        managed.extend(manage_tls.into_iter().flat_map(|tls| sockets(&tls.addresses, &tls.ports, true)));
        Ok(Plan { xdr: opened(&self.xdr, xdr).await?, manage: opened(&self.manage, managed).await?, tls })
    }

    fn secured(
        &self,
        position: usize,
        side: Side,
        settings: Option<&ServerTls>,
    ) -> Result<Option<Secured>, RunError> {
        let Some(settings) = settings else { return Ok(None) };
        let running = self.tls[position].as_ref().map(|(running, _)| running);
        let acceptor = match running {
            Some(running) if running.settings.as_ref() == Some(settings) => Arc::clone(&running.acceptor),
            _ => {
                let acceptor = Acceptor::new(side, settings);
                let acceptor = acceptor.map_err(|error| RunError::Tls { path: side.path(), error })?;
                Arc::new(match running {
                    Some(running) => acceptor.counting_on(&running.acceptor),
                    None => acceptor,
                })
            }
        };
        Ok(Some(Secured { settings: Some(settings.clone()), acceptor }))
    }

    /// Goes on with the ports of `plan`, at each of which `terms` are posted.
    pub(super) fn follow(
        &mut self,
        plan: Plan,
        terms: impl Fn(SocketAddr, Option<Arc<Acceptor>>) -> Terms,
    ) -> changes::Ports {
        let mut changes = changes::Ports::default();
        let acceptors = plan.tls.each_ref().map(|tls| tls.as_ref().map(|tls| Arc::clone(&tls.acceptor)));
        for (side, secured) in plan.tls.into_iter().enumerate() {
            self.secure(side, secured);
        }
        let [of_xdr, of_manage] = &acceptors;
        let common = &self.common;
        follow(
            &mut self.xdr,
            plan.xdr,
            &mut changes,
            |address, secured| Arc::new(terms(address, of_xdr.clone().filter(|_| secured))),
            |terms| *terms = Arc::new(Terms { closing: true, ..Terms::clone(terms) }),
            |socket, posted, address, tls| {
                info!(%address, tls, "listening for XDR");
                let (recorder, http) = (common.recorder.clone(), common.http.clone());
                let reception = Reception { posted, recorder, http, shared: Arc::clone(&common.shared) };
                self.xdr_tasks.spawn(listener::accept(socket, reception));
            },
        );
        follow(
            &mut self.manage,
            plan.manage,
            &mut changes,
            |_, secured| Door { tls: of_manage.clone().filter(|_| secured), closing: false },
            |door| door.closing = true,
            |socket, door, address, tls| {
                info!(%address, tls, "listening for management requests");
                self.manage_tasks.spawn(Arc::clone(&common.office).accept(socket, door));
            },
        );
        changes
    }

    fn secure(&mut self, side: usize, secured: Option<Secured>) {
        let same = match (&self.tls[side], &secured) {
            (Some((running, _)), Some(new)) => Arc::ptr_eq(&running.acceptor, &new.acceptor),
            (running, new) => running.is_none() && new.is_none(),
        };
        if same {
            return;
        }
        let following = secured.map(|new| {
            new.acceptor.introduce();
            let watching = self.watching.spawn(new.acceptor.watch(self.common.tls_reload));
            (new, watching)
        });
        if let Some((_, watching)) = mem::replace(&mut self.tls[side], following) {
            watching.abort();
        }
    }

    /// TLS of all sides that have any.
    pub(super) fn acceptors(&self) -> Vec<Arc<Acceptor>> {
        self.tls.iter().flatten().map(|(secured, _)| Arc::clone(&secured.acceptor)).collect()
    }

    /// Waits until the task of a port has ended that was closed; an error when one panicked.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        while let Some(Ok(())) = self.watching.try_join_next() {}
        tokio::select! {
            biased;
            Some(ended) = self.xdr_tasks.join_next() => ended,
            Some(_) = self.manage_tasks.join_next() => Ok(()),
            else => std::future::pending().await,
        }
    }

    /// Reads nothing more.
    pub(super) fn close_xdr(&mut self) {
        for port in self.xdr.drain(..) {
            port.post.send_modify(|terms| *terms = Arc::new(Terms { closing: true, ..Terms::clone(terms) }));
        }
    }

    /// Waits until all connections have answered what they owe.
    pub(super) async fn drained(&mut self) {
        while self.xdr_tasks.join_next().await.is_some() {}
    }

    /// Ends connections that have not.
    pub(super) async fn cut(&mut self) {
        self.xdr_tasks.shutdown().await;
    }

    /// Answers no more management requests, but for those under way.
    pub(super) async fn close_manage(&mut self) {
        for port in self.manage.drain(..) {
            port.post.send_modify(|door| door.closing = true);
        }
        while self.manage_tasks.join_next().await.is_some() {}
    }
}

/// Each address with each port.
fn sockets(addresses: &[String], ports: &[u16], secured: bool) -> Vec<((String, u16), bool)> {
    let each =
        |address: &String| ports.iter().map(|port| ((address.clone(), *port), secured)).collect::<Vec<_>>();
    addresses.iter().flat_map(each).collect()
}

async fn opened<T>(
    open: &[Port<T>],
    wanted: Vec<((String, u16), bool)>,
) -> Result<Vec<Planned>, listener::BindError> {
    let ours: Vec<u16> = open.iter().map(|port| port.address.port()).collect();
    let mut open: Vec<_> = open.iter().filter_map(|port| port.configured.as_ref()).collect();
    let mut planned = Vec::new();
    for (configured, secured) in wanted {
        let new = match open.iter().position(|known| **known == configured) {
            Some(position) => {
                open.swap_remove(position);
                None
            }
            None => {
                let (address, port) = &configured;
                let bound = listener::bind(std::slice::from_ref(address), &[*port], None).await;
                let bound = bound
                    .map_err(|error| if ours.contains(port) { error.of_an_open_port() } else { error })?;
                bound.into_iter().next().map(|listener| listener.socket)
            }
        };
        planned.push(Planned { configured: Some(configured), secured, new });
    }
    Ok(planned)
}

/// Opens, keeps and closes the ports of one kind.
fn follow<T>(
    ports: &mut Vec<Port<T>>,
    plan: Vec<Planned>,
    changes: &mut changes::Ports,
    terms: impl Fn(SocketAddr, bool) -> T,
    close: impl Fn(&mut T),
    mut start: impl FnMut(world::Listener, watch::Receiver<T>, SocketAddr, bool),
) {
    let mut before = mem::take(ports);
    for Planned { configured, secured, new } in plan {
        if let Some(socket) = new {
            let address = socket.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
            let (post, posted) = watch::channel(terms(address, secured));
            start(socket, posted, address, secured);
            changes.opened.push(address.to_string());
            ports.push(Port { configured, address, post });
        } else if let Some(known) = before.iter().position(|port| port.configured == configured) {
            let port = before.remove(known);
            port.post.send_replace(terms(port.address, secured));
            ports.push(port);
        }
    }
    for port in before {
        port.post.send_modify(&close);
        changes.closed.push(port.address.to_string());
    }
}
