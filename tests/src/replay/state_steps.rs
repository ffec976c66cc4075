//! Steps that look into what the core remembers, or change it.

use std::time::Duration;

use crate::replay::config::domain;
use crate::replay::driver::Driver;
use crate::replay::scenario::StepKind;

/// Executes such a step; all others do nothing.
///
/// # Errors
/// When what is remembered is not what the step says.
pub(crate) fn execute(
    driver: &Driver,
    kind: &StepKind,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    match kind {
        StepKind::InfraRtt {
            server,
            milliseconds,
            ..
        } => {
            driver.infra().set_round_trip(
                driver.now().instant,
                driver.settings().cache.server_ttl,
                *server,
                Duration::from_millis(u64::from(*milliseconds)),
            );
            Ok(())
        }
        StepKind::Uncache { question, expire } => {
            let name = domain(&question.owner).map_err(|error| error.0)?;
            if *expire {
                return Err("the cache cannot be made to expire".to_owned());
            }
            driver.cache().flush(&name, false);
            Ok(())
        }
        StepKind::CheckTempfile { id } => {
            notes.push(format!("the zone file {id} is not compared"));
            Ok(())
        }
        _ => Ok(()),
    }
}
