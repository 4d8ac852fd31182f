//! The connection to systemd over the system bus: at most 64 calls in flight, made again when the bus or systemd was
//! restarted. Nothing is subscribed to, so nothing comes but answers.

use std::time::Duration;

use nomadd_runtime::Runtime;
use serde::ser::Serialize;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};
use zbus::zvariant::DynamicType;
use zbus::{Connection, Message, OwnedObjectPath, Variant, fdo};

/// The bus fails a connection that has more than 128 calls pending.
const IN_FLIGHT: usize = 64;
/// How long one answer may take; systemd that reads all its units again answers nothing for seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long making a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How often a call is made again when the bus is gone: with the pauses, for 12 to 18 seconds.
const TRIES: u32 = 10;

const DESTINATION: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// There is no bus, or nobody at systemd's name.
    #[error("the system bus or systemd does not answer: {0}")]
    Gone(Box<zbus::Error>),
    /// Not in time.
    #[error("systemd has not answered {method} within {ANSWER_LIMIT:?}")]
    Late {
        /// What it was asked.
        method: &'static str,
    },
    /// It refuses.
    #[error("systemd refuses {method}: {message}")]
    Refused {
        /// What it was asked.
        method: &'static str,
        /// The error's name.
        name: String,
        /// Its words.
        message: String,
    },
    /// The answer is not of the expected form.
    #[error("systemd's answer to {method} is not understood")]
    Answer {
        /// What it was asked.
        method: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<zbus::Error>,
    },
}

impl BusError {
    /// Whether systemd refuses with this error.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name.strip_prefix("org.freedesktop.systemd1.") == Some(wanted))
    }

    fn of(method: &'static str, error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, message, _) => {
                Self::Refused { method, name: name.to_string(), message: message.unwrap_or_default() }
            }
            zbus::Error::FDO(error) => match *error {
                // What the bus says while systemd is being executed anew or connects again.
                fdo::Error::ServiceUnknown(_)
                | fdo::Error::NameHasNoOwner(_)
                | fdo::Error::NoReply(_)
                | fdo::Error::Disconnected(_)
                | fdo::Error::NoServer(_)
                | fdo::Error::TimedOut(_)
                | fdo::Error::SpawnChildExited(_)
                | fdo::Error::SpawnExecFailed(_)
                | fdo::Error::IOError(_) => Self::Gone(Box::new(zbus::Error::FDO(error))),
                other => {
                    Self::Refused { method, name: "org.freedesktop.DBus.Error".into(), message: other.to_string() }
                }
            },
            other => Self::Gone(Box::new(other)),
        }
    }
}

/// Whether a call that succeeds or is refused may have been done before, by a try whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// It was made once.
    One,
    /// An earlier try got no answer.
    Several,
}

/// The connection.
pub struct Bus {
    connection: Mutex<Option<Connection>>,
    slots: Semaphore,
    runtime: Runtime,
}

impl Bus {
    /// Connects, and asks systemd for its version.
    pub async fn connect(runtime: Runtime) -> Result<(Self, String), BusError> {
        let bus = Self { connection: Mutex::new(None), slots: Semaphore::new(IN_FLIGHT), runtime };
        let method = "Version";
        let body = (MANAGER_INTERFACE, method);
        let answer = bus.once(MANAGER, PROPERTIES, "Get", &body).await?;
        let body = answer.body();
        let version: Variant<'_> = body.deserialize().map_err(unreadable(method))?;
        let version = String::try_from(version).map_err(|error| unreadable(method)(error))?;
        Ok((bus, version))
    }

    /// Calls a method of systemd's manager until it is answered or the patience is over. The body is the same each time.
    pub async fn manager<B>(&self, method: &'static str, body: &B) -> (Result<Message, BusError>, Tries)
    where
        B: Serialize + DynamicType + Sync,
    {
        self.call(MANAGER, MANAGER_INTERFACE, method, body).await
    }

    /// Reads a property of a unit.
    pub async fn property(&self, unit: &str, interface: &str, name: &'static str) -> Result<Message, BusError> {
        let path = self.unit(unit).await?;
        self.call(&path, PROPERTIES, "Get", &(interface, name)).await.0
    }

    /// The object path of a unit that is loaded.
    pub async fn unit(&self, unit: &str) -> Result<String, BusError> {
        let method = "GetUnit";
        let answer = self.manager(method, &(unit,)).await.0?;
        let path: OwnedObjectPath = answer.body().deserialize().map_err(unreadable(method))?;
        Ok(path.to_string())
    }

    async fn call<B>(
        &self,
        path: &str,
        interface: &str,
        method: &'static str,
        body: &B,
    ) -> (Result<Message, BusError>, Tries)
    where
        B: Serialize + DynamicType + Sync,
    {
        let (mut tries, mut attempt) = (Tries::One, 1);
        loop {
            match self.once(path, interface, method, body).await {
                Err(error @ (BusError::Gone(_) | BusError::Late { .. })) if attempt < TRIES => {
                    tracing::debug!(%error, method, attempt, "systemd does not answer; trying again");
                    (tries, attempt) = (Tries::Several, attempt + 1);
                    let pause = Duration::from_millis(50 << attempt.min(6));
                    sleep(pause.mul_f64(0.5 + 0.5 * self.runtime.seeds.seed() as f64 / u64::MAX as f64)).await;
                }
                result => return (result, tries),
            }
        }
    }

    async fn once<B>(&self, path: &str, interface: &str, method: &'static str, body: &B) -> Result<Message, BusError>
    where
        B: Serialize + DynamicType + Sync,
    {
        // It is never closed.
        let _slot = self.slots.acquire().await;
        let connection = self.connection(method).await?;
        let call = connection.call_method(Some(DESTINATION), path, Some(interface), method, body);
        let answer = timeout(ANSWER_LIMIT, call).await.map_err(|_| BusError::Late { method })?;
        answer.map_err(|error| {
            let error = BusError::of(method, error);
            if matches!(error, BusError::Gone(_)) {
                self.forget(&connection);
            }
            error
        })
    }

    async fn connection(&self, method: &'static str) -> Result<Connection, BusError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref() {
            return Ok(connection.clone());
        }
        let made = timeout(CONNECT_LIMIT, Connection::system()).await.map_err(|_| BusError::Late { method })?;
        let made = made.map_err(|error| BusError::Gone(Box::new(error)))?;
        *kept = Some(made.clone());
        Ok(made)
    }

    /// The next call makes a new connection, unless another has made one already.
    fn forget(&self, broken: &Connection) {
        if let Ok(mut kept) = self.connection.try_lock()
            && kept.as_ref().is_some_and(|kept| kept.unique_name() == broken.unique_name())
        {
            *kept = None;
        }
    }
}

/// An answer that is not of the expected form.
pub fn unreadable(method: &'static str) -> impl Fn(zbus::Error) -> BusError {
    move |error| BusError::Answer { method, source: Box::new(error) }
}
