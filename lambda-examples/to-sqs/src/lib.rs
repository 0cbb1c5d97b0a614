//! A queue of SQS that takes messages about records: ten at a time, by size, in order per record where it is a FIFO queue.

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    error::{BuildError, DisplayErrorContext},
    operation::send_message_batch::SendMessageBatchOutput,
    types::SendMessageBatchRequestEntry,
};
use notification::{Entry, Failure};

/// What SQS takes at once.
pub const MESSAGES_PER_CALL: usize = 10;
/// Of a message, and of all messages of a call.
pub const BYTES_MAX: usize = 1 << 20;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    sqs: Client,
    url: String,
}

/// A message about one record.
#[derive(Debug)]
pub struct Message {
    position: usize,
    /// The record: what a FIFO queue keeps in order.
    group: String,
    /// The version: what a FIFO queue takes only once within five minutes.
    deduplication: String,
    body: String,
}

impl Message {
    /// A message with the JSON text `body`. A notification that does not tell its version is never taken for another one: it
    /// is named by `request_id` instead.
    pub fn new(entry: &Entry, body: String, request_id: &str) -> Self {
        let version = entry.notification.version_id();
        Self {
            position: entry.position,
            group: entry.notification.key.digest.to_string(),
            deduplication: version.unwrap_or_else(|| format!("{request_id}-{}", entry.position)),
            // Two characters that JSON may hold and SQS does not; within JSON they only stand in text.
            body: body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"),
        }
    }
}

impl Queue {
    /// The queue at `url`.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { sqs: Client::new(config), url }
    }

    /// Puts up to ten messages into the queue; the positions of those that SQS did not confirm.
    pub async fn send(&self, messages: Vec<Message>) -> Vec<(usize, Failure)> {
        let (messages, large): (Vec<_>, _) =
            messages.into_iter().partition(|message| message.body.len() <= BYTES_MAX);
        let too_large =
            |message: Message| (message.position, Failure::never("larger than 1 MiB, the limit of SQS"));
        let mut failures: Vec<_> = large.into_iter().map(too_large).collect();
        for call in by_size(messages) {
            let positions: Vec<_> = call.iter().map(|message| message.position).collect();
            match self.call(call).await {
                Ok(sent) => failures.extend(refused(&sent, &positions)),
                Err(failure) => {
                    failures.extend(positions.into_iter().map(|position| (position, failure.clone())))
                }
            }
        }
        failures
    }

    async fn call(&self, messages: Vec<Message>) -> Result<SendMessageBatchOutput, Failure> {
        let is_fifo = self.url.ends_with(".fifo");
        let entries = messages.into_iter().enumerate().map(|(index, message)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(message.body)
                .set_message_group_id(is_fifo.then_some(message.group))
                .set_message_deduplication_id(is_fifo.then_some(message.deduplication))
                .build()
        });
        let entries = entries.collect::<Result<Vec<_>, BuildError>>()?;
        let call = self.sqs.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        call.send().await.map_err(|error| Failure::retry(format!("SQS: {}", DisplayErrorContext(error))))
    }
}

/// The messages that SQS refused. What is wrong with a message itself will be wrong again.
fn refused(sent: &SendMessageBatchOutput, positions: &[usize]) -> Vec<(usize, Failure)> {
    let failed = sent.failed.iter().filter_map(|failed| {
        let position = *positions.get(failed.id.parse::<usize>().ok()?)?;
        let about_content =
            ["InvalidMessageContents", "InvalidParameterValue"].iter().any(|code| failed.code.contains(code));
        let failure = if about_content { Failure::never } else { Failure::retry };
        Some((position, failure(format!("SQS: {}", failed.code))))
    });
    let mut failed: Vec<_> = failed.collect();
    // What was neither confirmed nor refused is not known to be there.
    for (index, position) in positions.iter().enumerate() {
        let confirmed = sent.successful.iter().any(|sent| sent.id == index.to_string());
        if !confirmed && !failed.iter().any(|(refused, _)| refused == position) {
            failed.push((*position, Failure::retry("SQS did not confirm it")));
        }
    }
    failed
}

/// Calls that stay below the limit.
fn by_size(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut calls: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        bytes += message.body.len();
        match calls.last_mut().filter(|_| bytes <= BYTES_MAX) {
            Some(call) => call.push(message),
            None => {
                bytes = message.body.len();
                calls.push(vec![message]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchResultEntry};

    use super::*;

    fn message(bytes: usize) -> Message {
        Message {
            position: bytes,
            group: String::new(),
            deduplication: String::new(),
            body: "x".repeat(bytes),
        }
    }

    #[test]
    fn calls_are_as_large_as_they_may_be() {
        let sizes = |sizes: &[usize]| -> Vec<Vec<usize>> {
            let calls = by_size(sizes.iter().map(|bytes| message(*bytes)).collect());
            calls.iter().map(|call| call.iter().map(|message| message.body.len()).collect()).collect()
        };
        assert_eq!(
            sizes(&[1, BYTES_MAX - 1, 1, BYTES_MAX, 2]),
            [vec![1, BYTES_MAX - 1], vec![1], vec![BYTES_MAX], vec![2]]
        );
        assert!(sizes(&[]).is_empty());
    }

    #[test]
    fn what_was_not_confirmed_has_failed() {
        let confirmed =
            SendMessageBatchResultEntry::builder().id("0").message_id("m").md5_of_message_body("m");
        let error = |id: &str, code: &str| {
            BatchResultErrorEntry::builder().id(id).code(code).sender_fault(true).build().unwrap()
        };
        let sent = SendMessageBatchOutput::builder()
            .successful(confirmed.build().unwrap())
            .failed(error("1", "InvalidMessageContents"))
            .failed(error("2", "ServiceUnavailable"))
            .build()
            .unwrap();
        let expected = [
            (11, Failure::never("SQS: InvalidMessageContents")),
            (12, Failure::retry("SQS: ServiceUnavailable")),
            (13, Failure::retry("SQS did not confirm it")),
        ];
        assert_eq!(refused(&sent, &[10, 11, 12, 13]), expected);
    }
}
