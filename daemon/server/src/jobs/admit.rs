//! The bridge to admission: gives it what it has to know of the cluster.

use nomadd_admission::{AdmissionContext, AdmissionError, Admitted, Drivers, Limits, Places};
use nomadd_model::{Namespace, NodePool, spec};
use nomadd_state::State;
use serde_json::{Map, Value};

use crate::config::DriverCheck;
use crate::server::Server;

struct Cluster<'a>(&'a State);

impl Places for Cluster<'_> {
    fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.0.namespace(name).map(AsRef::as_ref)
    }
    fn node_pool(&self, name: &str) -> Option<&NodePool> {
        self.0.node_pool(name).map(AsRef::as_ref)
    }
}

struct Check<'a>(&'a DriverCheck);

impl Drivers for Check<'_> {
    fn check(&self, driver: &str, config: &Map<String, Value>) -> Vec<String> {
        (self.0)(driver, &Value::Object(config.clone())).err().into_iter().collect()
    }
}

/// Admits a written job as the cluster is now.
pub(super) fn admit(
    server: &Server,
    state: &State,
    written: spec::Job,
    namespace: &str,
) -> Result<Admitted, AdmissionError> {
    let config = server.config();
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let of_job = written.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(namespace);
    let existing = written.id.as_deref().and_then(|id| state.job(of_job, id));
    let context = AdmissionContext {
        region: &config.region,
        namespace,
        limits: Limits {
            default_priority: config.job_default_priority,
            max_priority: config.job_max_priority,
            ..Limits::default()
        },
        scheduler: state.scheduler_configuration(),
        places: &Cluster(state),
        drivers: &Check(&config.driver_check),
        existing: existing.map(AsRef::as_ref),
        now: server.now(),
    };
    nomadd_admission::admit(written, &context)
}
