//! The two sides of a measurement, as lean as they can be: a source that ships change records and takes answers, a
//! receiver that takes requests, and a client that makes the same requests without a connector.
//!
//! `run.py` starts them. Each uses one thread and prints what it saw as one JSON object, so that what is measured is the
//! program between them.

mod frames;
mod pace;
mod post;
mod sink;
mod source;
mod spread;

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;

/// What went wrong, in words: nothing here tells errors apart.
type Failure = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
enum Command {
    Source(source::SourceArgs),
    Sink(sink::SinkArgs),
    Post(post::PostArgs),
    Body(frames::BodyArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Source(args) => source::run(args).await,
        Command::Sink(args) => sink::run(args).await,
        Command::Post(args) => post::run(args).await,
        Command::Body(args) => frames::print_body(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a report, for a reader that may have gone.
fn print_json(report: &impl serde::Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    io::stdout().lock().write_all(&line)?;
    Ok(())
}
