//! Keeps a state for each record, in Aerospike: what happened last, when, and the bins `BINS`. It is written through the REST
//! Gateway at `GATEWAY`, into the set `STATE_SET` of the namespace `STATE_NAMESPACE`, and never goes back in time.

mod gateway;

use std::env;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notification::{Consumer, Failure, Invocation, Notification};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Written};

/// How often a state is read again when others write it at the same time.
const ATTEMPTS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let function = Function {
        consumer: Consumer::new().at_once(16),
        gateway: Gateway::new(&variable("GATEWAY")?, &variable("STATE_NAMESPACE")?, &variable("STATE_SET")?)?,
        bins: variable("BINS").unwrap_or_default().split(',').map(|bin| bin.trim().to_owned()).collect(),
    };
    run(service_fn(|event| function.handle(event))).await
}

struct Function {
    consumer: Consumer,
    gateway: Gateway,
    bins: Vec<String>,
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Invocation>) -> Result<Value, Error> {
        let LambdaEvent { payload, context } = event;
        let answer =
            self.consumer.each(payload, context.deadline(), async |record| self.persist(record).await);
        Ok(answer.await?)
    }

    async fn persist(&self, record: &Notification) -> Result<(), Failure> {
        let key = record.key.digest.to_string();
        for _ in 0..ATTEMPTS {
            let written = match self.gateway.read(&key).await? {
                None => self.gateway.create(&key, &self.state(record)).await?,
                Some((there, _)) if is_newer(&there, record) => return Ok(()),
                Some((_, generation)) => self.gateway.replace(&key, &self.state(record), generation).await?,
            };
            if written == Written::Done {
                return Ok(());
            }
        }
        Err(Failure::retry("others keep writing this state"))
    }

    fn state(&self, record: &Notification) -> Value {
        let mut state = json!({
            "namespace": record.key.namespace,
            "msg": if record.is_delete() { "delete" } else { "write" },
            "gen": record.generation,
            "lut": record.lut_unix_ms,
        });
        for bin in record.bins.iter().filter(|bin| self.bins.contains(&bin.name)) {
            state[&bin.name] = json!(bin.value);
        }
        state
    }
}

/// Whether the state that is there is of this version, or of a later one. What does not tell its version is taken for the latest.
fn is_newer(there: &Value, record: &Notification) -> bool {
    let version = (there["lut"].as_u64(), there["gen"].as_u64());
    record.lut_unix_ms.is_some() && version >= (record.lut_unix_ms, record.generation.map(u64::from))
}
