//! How a function failed, in words that may be logged. Pure.
//!
//! A function's own message may well hold what it was given, so only its length is told. The runtime's messages are about
//! time, memory and processes, and are told.

use serde::Deserialize;

/// What the log says of a function error: `kind` is the header `X-Amz-Function-Error`, `payload` the answer.
pub(super) fn words(kind: &str, payload: &[u8]) -> String {
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(KIND_CHARS_MAX).collect();
    let Ok(fault) = serde_json::from_slice::<Fault>(payload) else {
        return format!("the function failed ({kind}), with {} bytes of answer", payload.len());
    };
    let message = fault.message.unwrap_or_default();
    let name = fault.name.filter(|name| is_name(name)).unwrap_or_default();
    let at = if name.is_empty() { String::new() } else { format!(" {name}") };
    if let Some(timeout) = timeout(&message) {
        return format!("the function failed ({kind}{at}): {timeout}");
    }
    if RUNTIME.contains(&name.as_str()) || name.starts_with("Extension.") {
        let message: String = message.chars().filter(|letter| !letter.is_control()).take(CHARS_MAX).collect();
        return format!("the function failed ({kind}{at}): {message}");
    }
    format!("the function failed ({kind}{at}), with a message of {} bytes in its own log", message.len())
}

/// What runtimes report.
#[derive(Deserialize)]
struct Fault {
    #[serde(default, rename = "errorType")]
    name: Option<String>,
    #[serde(default, rename = "errorMessage")]
    message: Option<String>,
}

/// The name of a type, in any language; not a sentence, let alone data.
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:$-".contains(&byte))
}

/// `Task timed out after 3.00 seconds`, which some runtimes report without a type.
fn timeout(message: &str) -> Option<&str> {
    const BEFORE: &str = "Task timed out after ";
    const BEHIND: &str = " seconds";
    let text = &message[message.find(BEFORE)?..];
    let number = text[BEFORE.len()..].split(' ').next().filter(|number| number.len() <= NUMBER_BYTES_MAX)?;
    let end = BEFORE.len() + number.len();
    (number.parse::<f64>().is_ok() && text[end..].starts_with(BEHIND)).then(|| &text[..end + BEHIND.len()])
}

/// Types that Lambda and its runtimes give to failures around the function.
const RUNTIME: [&str; 7] = [
    "Runtime.ExitError",
    "Runtime.HandlerNotFound",
    "Runtime.ImportModuleError",
    "Runtime.InvalidEntrypoint",
    "Runtime.NoSuchHandler",
    "Runtime.OutOfMemory",
    "Sandbox.Timedout",
];
const KIND_CHARS_MAX: usize = 20;
const NAME_BYTES_MAX: usize = 100;
const CHARS_MAX: usize = 512;
const NUMBER_BYTES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_own_words_stay_with_it() {
        let payload =
            br#"{"errorType":"KeyError","errorMessage":"no user hunter2","stackTrace":["hunter2"]}"#;
        let told = words("Unhandled", payload);
        assert_eq!(
            told,
            "the function failed (Unhandled KeyError), with a message of 15 bytes in its own log"
        );
        // A type that is no type is not told either.
        let payload = br#"{"errorType":"user hunter2 unknown","errorMessage":"x"}"#;
        assert_eq!(
            words("Handled", payload),
            "the function failed (Handled), with a message of 1 bytes in its own log"
        );
        let told = words("Unhandled", br#"hunter2"#);
        assert_eq!(told, "the function failed (Unhandled), with 7 bytes of answer");
        assert!(!words("Unhandled\nhunter 2", b"{}").contains('\n'));
    }

    #[test]
    fn the_runtimes_words_are_told() {
        let told = words("Unhandled", br#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 3.00 seconds"}"#);
        assert_eq!(
            told,
            "the function failed (Unhandled Sandbox.Timedout): Task timed out after 3.00 seconds"
        );
        let told = words(
            "Unhandled",
            br#"{"errorMessage":"2026-11-21T00:00:00Z 1 Task timed out after 10.01 seconds"}"#,
        );
        assert_eq!(told, "the function failed (Unhandled): Task timed out after 10.01 seconds");
        let told = words("Unhandled", br#"{"errorType":"Runtime.ExitError","errorMessage":"Runtime exited with error: signal: killed\n"}"#);
        assert_eq!(
            told,
            "the function failed (Unhandled Runtime.ExitError): Runtime exited with error: signal: killed"
        );
        // Something in between is not a number.
        let told = words("Unhandled", br#"{"errorMessage":"Task timed out after hunter2 seconds"}"#);
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn whatever_stands_in_the_place_of_the_seconds() {
        let digits = "1".repeat(10_000);
        for number in ["", " ", "seconds", "3.00", " 3.00", &digits, "\u{1f980}"] {
            let message = format!("Task timed out after {number} seconds");
            for message in [&message, message.trim_end_matches(" seconds"), &message.replace("  ", " ")] {
                let payload = serde_json::to_vec(&serde_json::json!({ "errorMessage": message })).unwrap();
                let told = words("Unhandled", &payload);
                assert!(told.len() < 200, "{} bytes", told.len());
                assert_eq!(
                    told.ends_with("after 3.00 seconds"),
                    message.ends_with("after 3.00 seconds"),
                    "{message}"
                );
            }
        }
    }
}
