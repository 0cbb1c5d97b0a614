//! The `esp-connector` command: arguments, configuration, run; exit codes; nothing else.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Display,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use adapters::SharedTarget;
use clap::{CommandFactory, Parser, Subcommand};
use esp_connector::{
    Options,
    check::{self, CheckError},
    config::{self, Loaded},
    cost::{self, CostError},
    decode, demo,
    health::{HealthArgs, HealthError},
    logging::{self, LogHandle},
    manual,
    migrate::{self, MigrateError},
    receiver::args::ReceiveArgs,
    recorder::Recorder,
    reload::{Refusal, Reloads},
    replay::ReplayArgs,
    run,
    service_manager::ServiceManager,
    simulator::args::{AccountArgs, SimulateArgs},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// A configuration that cannot be used (`EX_USAGE` of sysexits.h).
const EXIT_CONFIG: u8 = 64;
/// A destination that would not take records (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;

/// Turns Aerospike XDR change notifications into HTTP and serverless calls.
///
/// Try it without a cluster:     esp-connector demo
/// See what a file would do:     esp-connector check --config esp-connector.yml
/// Run it:                       esp-connector run --config esp-connector.yml
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the connector: listen for XDR and deliver to the configured destinations
    Run(RunArguments),
    /// Show what a configuration would run, or everything that is wrong with it
    Check {
        /// The configuration file (YAML)
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// Also make one harmless call to each destination, and say in words what is missing: permission, region,
        /// audience, clock, TLS. Ends with 69 when one would not take records
        #[arg(long)]
        probe: bool,
    },
    /// What becomes of a configuration of Aerospike's own connector, key by key: what must be changed, what has another
    /// effect or none, and what differs by default. Ends with 64 when something must be changed
    Migrate {
        /// The vendor's configuration file, or a file of values for its Helm chart
        #[arg(value_name = "FILE")]
        config: PathBuf,
    },
    /// Print the JSON Schema of the configuration, for editors and validators
    Schema,
    /// Ask a running connector whether it is well: exit code 0 if so, 1 if not
    Health(HealthArgs),
    /// What the configured routes cost per million records and per month, next to the same routes at other batch sizes
    Cost(cost::CostArgs),
    /// Print recorded or captured traffic as readable JSON, one line a frame
    Decode {
        /// Raw bytes, hexadecimal text, or a recording made with `run --record`; `-` reads standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// See it work: a simulated cluster, the connector and a receiver in one process
    Demo(demo::DemoArgs),
    /// Play an Aerospike cluster that ships to a connector
    Simulate(Box<SimulateArgs>),
    /// Take notifications over HTTP, count them, and misbehave on request
    Receive(ReceiveArgs),
    /// Ship dead letters again to a running connector
    Replay(Box<ReplayArgs>),
    /// Compare what `simulate` and `receive` wrote to their ledgers
    Account(AccountArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    #[command(hide = true)]
    Manual {
        /// Into this folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The configuration file (YAML)
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Record the raw traffic of the XDR port into this folder, for diagnosis: at most 8 files of 64 MiB, readable by
    /// the owner only. They hold record data in the clear
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(arguments) => run_connector(&arguments),
        Command::Check { config, probe } => check_file(&config, probe),
        Command::Migrate { config } => match migrate::run(&config, &mut io::stdout().lock()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(EXIT_CONFIG),
            Err(error @ MigrateError::Unreadable(_)) => fail(EXIT_CONFIG, &error),
            Err(error @ MigrateError::Write(_)) => fail(1, &error),
        },
        Command::Schema => match writeln!(io::stdout(), "{:#}", config::published_schema()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &format_args!("cannot write: {error}")),
        },
        Command::Health(arguments) => {
            // Asked every few seconds, and done in one.
            block_on(NonZeroUsize::new(1), async {
                Ok::<_, Infallible>(match arguments.execute().await {
                    Ok(answer) => {
                        let _ = writeln!(io::stdout(), "{answer}");
                        ExitCode::SUCCESS
                    }
                    Err(error @ HealthError::Whom(_)) => fail(EXIT_CONFIG, &error),
                    Err(error) => fail(1, &error),
                })
            })
        }
        Command::Cost(arguments) => match cost::run(&arguments, &mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ CostError::Write(_)) => fail(1, &error),
            Err(error) => fail(EXIT_CONFIG, &error),
        },
        Command::Decode { files } => {
            match decode::run(&files, &mut io::BufWriter::new(io::stdout().lock())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &error),
            }
        }
        Command::Demo(arguments) => block_on(None, async { demo::run(arguments).await.map(verdict) }),
        Command::Simulate(arguments) => block_on(None, async { arguments.execute().await.map(verdict) }),
        Command::Receive(arguments) => {
            block_on(None, async { arguments.execute().await.map(|()| ExitCode::SUCCESS) })
        }
        Command::Replay(arguments) => {
            block_on(None, async { arguments.execute().await.map(|counts| verdict(counts.is_complete())) })
        }
        Command::Account(arguments) => arguments.execute().map_or_else(|error| fail(1, &error), verdict),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "esp-connector", &mut io::stdout());
            ExitCode::SUCCESS
        }
        Command::Manual { folder } => match manual::write(Arguments::command(), &folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &format_args!("{}: {error}", folder.display())),
        },
    }
}

fn check_file(config: &Path, probe: bool) -> ExitCode {
    let out = &mut io::stdout().lock();
    let wrong = |error: CheckError| match error {
        CheckError::Problems(_) => fail(EXIT_CONFIG, &error),
        CheckError::Write(_) => fail(1, &error),
    };
    if !probe {
        return check::run(config, out).map_or_else(wrong, |()| ExitCode::SUCCESS);
    }
    block_on(None, async {
        Ok::<_, Infallible>(match check::run_and_probe(config, out).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(EXIT_UNAVAILABLE),
            Err(error) => wrong(error),
        })
    })
}

fn run_connector(arguments: &RunArguments) -> ExitCode {
    let loaded = match config::load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(problems) => return fail(EXIT_CONFIG, &problems),
    };
    // First of all, or what the targets say while they are built is lost.
    let logs = match logging::init(&loaded.config.logging) {
        Ok(logs) => logs,
        Err(error) => return fail(EXIT_CONFIG, &error),
    };
    let targets = match loaded.targets() {
        Ok(targets) => targets,
        Err(problems) => return fail(EXIT_CONFIG, &problems),
    };
    let code = run_logged(arguments, loaded, targets, logs.clone());
    logs.flush();
    code
}

fn run_logged(
    arguments: &RunArguments,
    loaded: Loaded,
    targets: BTreeMap<String, SharedTarget>,
    logs: LogHandle,
) -> ExitCode {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    for note in &loaded.notes {
        info!("{note}");
    }
    let recorder = match arguments.record.as_deref().map(Recorder::new).transpose() {
        Ok(recorder) => recorder,
        Err(error) => return fail(1, &format_args!("--record: cannot write there: {error}")),
    };
    let threads = loaded.config.service.worker_threads;
    let service_manager = ServiceManager::of_environment();
    let (reloads, source) = Reloads::of_file(arguments.config.clone(), &loaded);
    let hangups = reloads.clone();
    let options =
        Options { recorder, logs, service_manager, reloads, source: Some(source), ..Options::default() };
    // The console says so in any case.
    let only_a_file = !loaded.config.logging.console;
    block_on(threads, async {
        info!(version = env!("CARGO_PKG_VERSION"), config = %arguments.config.display(), "starting");
        // Before anybody can know that the connector runs, or a signal would end it without its goodbye.
        let shutdown = shutdown_signal();
        let hangups = tokio::spawn(reload_on_hangup(hangups));
        let run = async {
            let listeners = run::bind(&loaded.config.service).await?;
            run::run(loaded.config, targets, listeners, options, shutdown).await
        };
        let ended: Result<(), run::RunError> = run.await;
        hangups.abort();
        if let Err(error) = &ended
            && only_a_file
        {
            error!("{error}");
        }
        ended.map(|()| ExitCode::SUCCESS)
    })
}

/// Ends on SIGTERM or SIGINT, those included that came since it was called.
fn shutdown_signal() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Has the configuration read again on each SIGHUP, those included that came since it was called.
fn reload_on_hangup(reloads: Reloads) -> impl Future<Output = ()> {
    let hangups = signal(SignalKind::hangup());
    async move {
        let Ok(mut hangups) = hangups else { return };
        while hangups.recv().await.is_some() {
            // The log tells what comes of it, unless nobody is there to look at the file.
            if let Err(refusal @ (Refusal::Stopping | Refusal::NoFile)) = reloads.reload().await {
                info!("the configuration is not reloaded: {refusal}");
            }
        }
    }
}

fn block_on<E: Display>(
    threads: Option<NonZeroUsize>,
    command: impl Future<Output = Result<ExitCode, E>>,
) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads.get());
    }
    match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(command).unwrap_or_else(|error| fail(1, &error)),
        Err(error) => fail(1, &error),
    }
}

/// 1 when something was lost or left undone.
fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(code: u8, error: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "esp-connector: {error}");
    ExitCode::from(code)
}
