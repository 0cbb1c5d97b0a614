//! What the operating system says about this process. On anything but Linux: nothing.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use adapters::world;

/// Numbers of this process. Each is absent when the system does not tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Process {
    /// When the process started, seconds since the Unix epoch.
    pub(crate) start_unix_seconds: Option<f64>,
    /// Seconds since then.
    pub(crate) uptime_seconds: Option<f64>,
    /// Processor time used, user and system.
    pub(crate) cpu_seconds: Option<f64>,
    /// Memory in use.
    pub(crate) resident_bytes: Option<u64>,
    /// Most memory ever in use.
    pub(crate) resident_bytes_max: Option<u64>,
    /// Memory the process may use: the container's limit, or the machine's memory.
    pub(crate) memory_limit_bytes: Option<u64>,
    /// Threads.
    pub(crate) threads: Option<u64>,
    /// Open file descriptors.
    pub(crate) open_files: Option<u64>,
    /// Most file descriptors allowed.
    pub(crate) max_files: Option<u64>,
}

impl Process {
    /// Asks the system. Reads a dozen files of `/proc`, which takes well below a millisecond.
    pub(crate) fn read() -> Self {
        let stat = file("/proc/self/stat").and_then(|text| Stat::parse(&text)).unwrap_or_default();
        let status = file("/proc/self/status").unwrap_or_default();
        let uptime = file("/proc/uptime").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        let booted = file("/proc/stat").and_then(|text| line(&text, "btime")?.parse::<f64>().ok());
        Self {
            start_unix_seconds: booted.zip(stat.started_seconds).map(|(boot, start)| boot + start),
            uptime_seconds: uptime.zip(stat.started_seconds).map(|(now, start)| (now - start).max(0.0)),
            cpu_seconds: stat.cpu_seconds,
            resident_bytes: kibibytes(&status, "VmRSS:"),
            resident_bytes_max: kibibytes(&status, "VmHWM:"),
            memory_limit_bytes: memory_limit_bytes(),
            threads: line(&status, "Threads:").and_then(|count| count.parse().ok()),
            open_files: open_files(),
            max_files: file("/proc/self/limits").and_then(|text| max_files(&text)),
        }
    }
}

/// Share of the processors in use (0 to 1) by this process and by the whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// By this process.
    pub(crate) process: Option<f64>,
    /// By everything that runs on the machine.
    pub(crate) system: Option<f64>,
}

/// Tells the load since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct LoadMeter(Mutex<Option<(Instant, Sample, Load)>>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    process_seconds: Option<f64>,
    /// Busy and total seconds of all processors.
    system_seconds: Option<(f64, f64)>,
}

impl LoadMeter {
    /// The load between the last reading and now; within a second of it the same again. The first reading
    /// covers the whole life of the process.
    pub(crate) fn read(&self, process: &Process, now: Instant) -> Load {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = Sample {
            process_seconds: process.cpu_seconds,
            system_seconds: file("/proc/stat").and_then(|text| system_seconds(&text)),
        };
        let load = match &*last {
            Some((at, _, load)) if now.saturating_duration_since(*at) < Duration::from_secs(1) => {
                return *load;
            }
            Some((at, before, _)) => Load {
                process: process_load(
                    sample.process_seconds.zip(before.process_seconds).map(|(now, then)| now - then),
                    Some(now.saturating_duration_since(*at).as_secs_f64()),
                ),
                system: sample
                    .system_seconds
                    .zip(before.system_seconds)
                    .map(|(now, then)| share(now.0 - then.0, now.1 - then.1)),
            },
            None => Load {
                process: process_load(process.cpu_seconds, process.uptime_seconds),
                system: sample.system_seconds.map(|(busy, total)| share(busy, total)),
            },
        };
        *last = Some((now, sample, load));
        load
    }
}

fn process_load(cpu_seconds: Option<f64>, wall_seconds: Option<f64>) -> Option<f64> {
    let processors = thread::available_parallelism().ok()?.get() as f64;
    Some(share(cpu_seconds?, wall_seconds? * processors))
}

/// Of nothing, nothing: clocks tick in hundredths of a second, so a process just started has no uptime yet.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

/// The part of `/proc/self/stat` that is needed.
#[derive(Debug, Default, PartialEq)]
struct Stat {
    cpu_seconds: Option<f64>,
    /// Since the machine booted.
    started_seconds: Option<f64>,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may itself contain spaces and
        // parentheses; the third follows the last closing one.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let seconds = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some(Self {
            cpu_seconds: seconds(14).zip(seconds(15)).map(|(user, system)| user + system),
            started_seconds: seconds(22),
        })
    }
}

/// Busy and total time of all processors from the first line of `/proc/stat`.
fn system_seconds(text: &str) -> Option<(f64, f64)> {
    let cpu = text.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; guest time, which follows, is part of user time.
    let ticks: Vec<f64> =
        cpu.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let total: f64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(((total - idle) / TICKS_PER_SECOND, total / TICKS_PER_SECOND))
}

fn memory_limit_bytes() -> Option<u64> {
    let machine = file("/proc/meminfo").and_then(|text| kibibytes(&text, "MemTotal:"));
    // Version 2, then version 1 of control groups; "max" and its like are no number or a huge one.
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|path| file(path)?.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

fn max_files(limits: &str) -> Option<u64> {
    line(limits, "Max open files")?.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    Some(line(text, key)?.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The rest of the line that starts with `key`.
fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim()))
}

fn open_files() -> Option<u64> {
    if world::is_simulated() {
        return None;
    }
    // The listing holds a descriptor itself.
    fs::read_dir("/proc/self/fd").ok().map(|list| (list.count() as u64).saturating_sub(1))
}

/// A simulation goes by its seed, not by the machine it runs on.
fn file(path: &str) -> Option<String> {
    if world::is_simulated() { None } else { fs::read_to_string(path).ok() }
}

/// Fixed by Linux for what it shows to programs, whatever the kernel uses inside.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_odd_program_names() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 1 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat, Stat { cpu_seconds: Some(3.0), started_seconds: Some(123.45) });
        assert_eq!(Stat::parse("nonsense"), None);
        assert_eq!(Stat::parse("1 (x) S 1"), Some(Stat::default()));
    }

    #[test]
    fn reads_the_system_files() {
        assert_eq!(system_seconds("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1"), Some((2.0, 10.0)));
        assert_eq!(system_seconds("cpu  1 2"), None);
        assert_eq!(max_files("Limit  Soft\nMax open files   1024   4096   files\n"), Some(1024));
        assert_eq!(max_files("Max open files   unlimited   unlimited   files\n"), None);
        assert_eq!(kibibytes("VmHWM:\t  12 kB\nVmRSS:\t      8 kB\n", "VmRSS:"), Some(8192));
    }

    #[test]
    fn load_is_a_share_and_steady_within_a_second() {
        let meter = LoadMeter::default();
        let process =
            |cpu| Process { cpu_seconds: Some(cpu), uptime_seconds: Some(10.0), ..Process::default() };
        let start = Instant::now();
        let processors = thread::available_parallelism().unwrap().get() as f64;

        let first = meter.read(&process(1.0), start).process.unwrap();
        assert!((first - 0.1 / processors).abs() < 1e-9);
        let again = meter.read(&process(5.0), start + Duration::from_millis(10)).process.unwrap();
        assert_eq!(again, first);
        let later = meter.read(&process(2.0), start + Duration::from_secs(2)).process.unwrap();
        assert!((later - 0.5 / processors).abs() < 1e-9);
        assert_eq!(meter.read(&Process::default(), start + Duration::from_secs(4)).process, None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn knows_this_process() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.resident_bytes_max >= process.resident_bytes);
        assert!(process.open_files.unwrap() >= 3);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.memory_limit_bytes.unwrap() > process.resident_bytes.unwrap());
        // One tick of the clock is a hundredth of a second, and the two readings are not simultaneous.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let told = process.start_unix_seconds.unwrap() + process.uptime_seconds.unwrap();
        assert!((told - now).abs() < 5.0, "{told} {now}");
    }
}
