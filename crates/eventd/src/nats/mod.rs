//! Many hosts: the queue on NATS JetStream.
//!
//! A publisher puts the events of the sites into one stream. Each project has a durable pull consumer, and so
//! has each plugin that wants all events of a site; a consumer gives out one message at a time. All hosts
//! pull all consumers, each with its place in a ranking by which a project has the same first host for all
//! (`names`), so that a project's core is loaded on one host while that one is there. What is run where the
//! server was silent is the `lease`'s affair.
//!
//! | part | knows |
//! | --- | --- |
//! | `names` | names on the server, ranks |
//! | `server`, `consumers` | connection, settings, what is refused |
//! | `table`, `pull` | what was given, which lanes are done: no server, no clock |
//! | `lease` | until when what was given may be run |
//! | `inbox`, `work` | what comes, and what is said to the server |
//! | `settle` | from verdicts to acknowledgements |
//! | `record` | what of a message outlives its host |
//! | `publish` | events into the stream |
//! | `hosts`, `report` | who is there, how all of it is |

mod consumers;
mod error;
mod failed;
mod hosts;
mod inbox;
mod lease;
mod names;
mod publish;
mod pull;
mod queue;
mod record;
mod report;
mod server;
mod settings;
mod settle;
mod streams;
mod table;
mod work;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use self::consumers::Consumers;
use self::hosts::Hosts;
use self::lease::{Epoch, Lease};
use self::report::Last;
use self::server::Server;
use self::table::Table;
use crate::queue::QueueError;

pub use error::NatsError;
pub use settings::NatsSettings;

/// A project that has events: its site and its id.
pub type Arrival = (Arc<str>, i64);

/// The queue on NATS JetStream, as one host has it.
pub struct NatsQueue {
    inner: Arc<Inner>,
    tasks: Mutex<JoinSet<()>>,
}

/// What the tasks share.
struct Inner {
    settings: NatsSettings,
    /// The names of the sites.
    sites: Vec<Arc<str>>,
    /// Whether all plugins without Toolkit are to be on one host.
    together: bool,
    /// Whether this is the publisher, which reads nothing.
    publishes: bool,
    /// Tells this process from another one of the same name.
    instance: String,
    started: Duration,
    server: Server,
    consumers: Consumers,
    lease: Lease,
    table: Mutex<Table>,
    hosts: Hosts,
    windows: publish::Windows,
    last: Last,
    /// There is something to say to the server.
    prod: Notify,
    /// Grows with each connection.
    connections: watch::Receiver<u64>,
    /// The inbox of pull requests.
    inbox: Mutex<Option<String>>,
    /// The epoch, as it is known to all.
    epochs: watch::Sender<Epoch>,
    /// Whether nothing more is given out.
    resting: watch::Sender<bool>,
    /// Acknowledgements on their way.
    acks: Mutex<JoinSet<()>>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    closed: watch::Sender<bool>,
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    fn acks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.acks.lock()
    }

    /// Does something beside, which is waited for at the end.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut acks = self.acks();
        while acks.try_join_next().is_some() {}
        acks.spawn(work);
    }

    /// Has nothing be run that was pulled before the lease lapsed, or on a connection that is no more.
    fn drop_old(&self) {
        let epoch = self.lease.epoch(lease::now());
        self.table().drop_old(epoch);
        self.epochs.send_if_modified(|known| std::mem::replace(known, epoch) != epoch);
    }

    /// Waits until what was pulled in an epoch is not to be begun any more.
    async fn has_ended(&self, epoch: Epoch) {
        let _ = self.epochs.subscribe().wait_for(|known| *known != epoch).await;
    }

    async fn rests(&self) {
        let _ = self.resting.subscribe().wait_for(|resting| *resting).await;
    }

    /// The error of something that the server did not do.
    fn refused(&self, what: &str, reason: impl Into<String>) -> QueueError {
        QueueError::Server { what: what.to_owned(), url: self.settings.shown(), reason: reason.into() }
    }

    fn site(&self, token: &str) -> Option<&Arc<str>> {
        self.sites.iter().find(|site| names::token(site) == token)
    }

    fn rank(&self, key: &str) -> u8 {
        let hosts = self.hosts.names(lease::now());
        names::rank(&self.settings.host, hosts.iter().map(String::as_str), key)
    }

    /// From when on a host of this rank asks for what it opens now.
    fn begins(&self, rank: u8) -> Duration {
        lease::now() + FIRST * u32::from(rank)
    }

    /// Until when this host leaves projects to hosts before it that it has not heard yet. Hosts that start at
    /// about the same time, after a power failure, leave each other the projects whose cores each is to load.
    fn awaits_until(&self) -> Duration {
        self.started + self.settings.options.wait_for_hosts
    }

    async fn closed(&self) {
        // Whoever could say so is gone: it is the end as well.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

/// What the queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs what is in the stream. All plugins without Toolkit on one host, or each on its own.
    Host {
        /// Whether they are on one host.
        together: bool,
    },
    /// Fills the stream.
    Publisher,
}

impl NatsQueue {
    /// Connects to the server, makes there what is needed, and refuses one that does not keep what is
    /// promised. The receiver hears of projects that have events.
    ///
    /// # Errors
    /// There is no connection, or the server or what is on it cannot be used: the sentence says what to do.
    pub async fn connect(
        settings: NatsSettings,
        sites: Vec<Arc<str>>,
        role: Role,
    ) -> Result<(NatsQueue, mpsc::UnboundedReceiver<Arrival>), NatsError> {
        let (connected, connections) = watch::channel(0);
        let (lost, mut losses) = mpsc::unbounded_channel();
        let server = Server::connect(&settings, move |is_there| {
            if is_there {
                connected.send_modify(|count| *count += 1);
            } else {
                // The queue may be gone already.
                let _ = lost.send(());
            }
        })
        .await?;
        let (arrivals, receiver) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            sites,
            together: role == Role::Host { together: true },
            publishes: role == Role::Publisher,
            instance: server.client.new_inbox(),
            started: lease::now(),
            consumers: Consumers::default(),
            lease: Lease::new(settings.options.ack_wait),
            table: Mutex::default(),
            hosts: Hosts::new(&settings.host, &settings.options.hosts),
            windows: publish::Windows::default(),
            last: Last::default(),
            prod: Notify::new(),
            connections,
            inbox: Mutex::default(),
            epochs: watch::Sender::default(),
            resting: watch::Sender::new(false),
            acks: Mutex::default(),
            arrivals,
            closed: watch::Sender::new(false),
            server,
            settings,
        });
        let mut tasks = JoinSet::new();
        let on_loss = Arc::clone(&inner);
        tasks.spawn(async move {
            while losses.recv().await.is_some() {
                tracing::warn!(
                    server = on_loss.settings.shown(),
                    "the connection to the NATS server was lost"
                );
                on_loss.lease.disconnected();
                on_loss.drop_old();
            }
        });
        tasks.spawn(report::beat(Arc::clone(&inner)));
        if !inner.publishes {
            tasks.spawn(report::discover(Arc::clone(&inner)));
            tasks.spawn(work::watch_lease(Arc::clone(&inner)));
            tasks.spawn(work::ask(Arc::clone(&inner)));
            tasks.spawn(work::work(Arc::clone(&inner)));
            tasks.spawn(inbox::receive(Arc::clone(&inner)));
        }
        Ok((NatsQueue { inner, tasks: Mutex::new(tasks) }, receiver))
    }
}

/// How much later than the host before it a host asks for the first time. Where hundreds of projects are
/// opened at once on a machine that is busy, the first host needs more than a second until it has asked for
/// all.
const FIRST: Duration = Duration::from_secs(2);

/// No request to the server may hold up more than this.
const LIMIT: Duration = Duration::from_secs(5);
