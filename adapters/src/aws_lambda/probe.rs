//! A call that checks everything but runs nothing (DryRun), and what its failure means to an operator.

use aws_sdk_lambda::types::InvocationType;
use tokio::time::Instant;

use super::{AwsLambda, call::Failed, judge};
use crate::ProbeFailure;

impl AwsLambda {
    pub(super) async fn dry_run(&self) -> Result<String, ProbeFailure> {
        let missing = |missing, found: String| Err(ProbeFailure { missing, found });
        if let Err(unproven) = self.credentials.prepare().await {
            let help = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile`, or run where a role is attached";
            return missing("credentials", format!("{unproven}. {help}"));
        }
        let api = match self.api().await {
            Ok(api) => api,
            Err(unproven) => return missing("region", unproven.to_string()),
        };
        let function = &self.function;
        let began = Instant::now();
        let mut result = api.invoke(function, InvocationType::DryRun, None).await;
        if let Err(Failed::Refused(refusal)) = &result
            && self.is_worth_another(refusal, 0, began).await
        {
            result = api.invoke(function, InvocationType::DryRun, None).await;
        }
        let refusal = match result {
            Ok(_) => return Ok(format!("{function} at {} may be invoked", api.host)),
            Err(Failed::Refused(refusal)) => refusal,
            Err(Failed::Timeout) => {
                let within = self.call_timeout.as_millis();
                return missing("connection", format!("{} did not answer within {within} ms", api.host));
            }
            Err(Failed::Unreachable(why)) if why.contains("certificate") || why.contains("TLS") => {
                return missing("tls", format!("{}: {why}", api.host));
            }
            Err(Failed::Unreachable(why) | Failed::Malformed(why)) => {
                return missing("connection", format!("{}: {why}", api.host));
            }
        };
        let said = refusal.words();
        let offset_s = self.clock.offset_ms() / 1000;
        match refusal.code.as_deref() {
            Some("AccessDeniedException") => {
                missing("permission", format!("lambda:InvokeFunction on {function} is not allowed. {said}"))
            }
            Some("ResourceNotFoundException") => {
                let region = &api.region;
                missing(
                    "address",
                    format!("there is no {function} in {region}; name, qualifier or region is wrong. {said}"),
                )
            }
            Some(code) if judge::is_clock_at_fault(code) && offset_s.abs() >= CLOCK_S => missing(
                "clock",
                format!("the clock of this machine and that of AWS are {} s apart. {said}", offset_s.abs()),
            ),
            Some(code) if judge::proof_at_fault(code) => {
                missing("credentials", format!("AWS does not accept them. {said}"))
            }
            _ => missing("address", format!("{} refuses: {said}", api.host)),
        }
    }
}

/// Services take what was signed up to five minutes off.
const CLOCK_S: i64 = 240;
