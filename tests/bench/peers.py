"""What the connector is measured against: two load generators, and two log shippers that post what they read.

The log shippers are unpacked from their Debian packages, not installed: no service is registered or started, and neither
gets in the other's way. They run with a configuration of their own, on loopback, and not as root.
"""

import glob
import os
import re
import shutil
import signal
import subprocess
import time

from processes import ROOT, STARTED, Disturbed, Sink, cpu_ns, free_port, memory_mib, report_of, source, start, stop, wait_for_port

UNPACKED = os.path.join(ROOT, "target", "peers")
TREE = os.path.join(UNPACKED, "tree")
PACKAGES = {
    "rsyslogd": ["rsyslog", "rsyslog-elasticsearch", "libestr0", "libfastjson4", "liblognorm5"],
    "syslog-ng": ["syslog-ng-core", "syslog-ng-mod-http", "libivykis0", "libnet1", "libpcre3", "libwrap0"],
    "wrk": ["wrk"],
    "h2load": ["nghttp2-client"],
}
NOBODY = 65534


def program(name):
    """Its path; unpacked where it is not installed. `None`, and a printed reason, where it cannot be had."""
    places = [os.path.join(TREE, folder, name) for folder in ("usr/bin", "usr/sbin")]
    found = next(filter(os.path.exists, places), None) or shutil.which(name)
    # Shippers only unpacked: an installed one may have rules of its own about what it may read.
    if name in ("rsyslogd", "syslog-ng") and found not in places:
        found = None
    if found:
        return found
    if not shutil.which("apt-get"):
        print(f"SKIPPED: {name} is not installed, and there is no apt-get to fetch it with")
        return None
    os.makedirs(UNPACKED, exist_ok=True)
    fetched = subprocess.run(["apt-get", "-q", "download", *PACKAGES[name]], cwd=UNPACKED, capture_output=True, text=True)
    if fetched.returncode != 0:
        print(f"SKIPPED: {name} is not installed and cannot be fetched: {fetched.stderr.strip().splitlines()[-1:]}")
        return None
    for package in glob.glob(os.path.join(UNPACKED, "*.deb")):
        subprocess.run(["dpkg", "-x", package, TREE], check=True)
        os.remove(package)
    return next(filter(os.path.exists, places), None) or shutil.which(name)


class Server:
    """A real server in place of the sink, which shows that figures do not hang on the sink. It counts nothing."""

    def __init__(self, bench, name):
        self.port = free_port()
        folder = os.path.join(bench.folder, name)
        os.makedirs(folder, exist_ok=True)
        if name == "nginx":
            path = os.path.join(folder, "nginx.conf")
            with open(path, "w") as file:
                file.write(NGINX.format(folder=folder, port=self.port))
            command = ["nginx", "-p", folder, "-c", path, "-e", os.path.join(folder, "error.log")]
        else:
            open(os.path.join(folder, "index.html"), "w").close()
            command = ["nghttpd", "--no-tls", "--address=127.0.0.1", "--workers=1", "--max-concurrent-streams=1024", "--htdocs", folder, str(self.port)]
        self.process = start(command, bench.other_cpus, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        self.cpu_before = cpu_ns(self.process.pid)

    def url(self, tls=False):
        return f"http://127.0.0.1:{self.port}/"

    def counts(self):
        return None

    def cpu_ns(self):
        return cpu_ns(self.process.pid) - self.cpu_before

    def stop(self):
        stop(self.process)


# In the foreground, one process, no files, nothing logged.
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""


def counted(cpu, requests, seconds, sink_cpu):
    if requests == 0:
        raise Disturbed("no request was answered")
    return {"cpu_us": cpu / 1e3 / requests, "rate": requests / seconds, "busy": cpu / 1e9 / seconds,
            "receiver_busy": sink_cpu / 1e9 / seconds, "records": requests}


def timed(bench, command, requests_in):
    """A load generator from its start to its end; `requests_in` reads its output."""
    process = start(command, bench.cpus, stdout=subprocess.PIPE)
    begun = time.monotonic()
    out = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    STARTED.remove(process)
    if process.returncode != 0:
        raise Disturbed(f"{command[0]} ended with {process.returncode}")
    cpu = (usage.ru_utime + usage.ru_stime) * 1e9
    return cpu, requests_in(out), time.monotonic() - begun


def wrk(bench, tls=False, body=None, server=None, sink_options=()):
    script = os.path.join(bench.folder, "post.lua")
    with open(body or bench.body) as file, open(script, "w") as out:
        text = file.read()
        out.write(f'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.body = [==[{text}]==]\n')
    sink = server() if server else Sink(bench, *sink_options)
    try:
        command = [program("wrk"), "-t", "1", "-c", "64", "-d", f"{max(1, round(bench.seconds))}s", "-s", script, sink.url(tls)]
        cpu, requests, seconds = timed(bench, command, lambda out: int(re.search(r"(\d+) requests in", out)[1]))
        if server is None and (seen := sink.counts()["records"]) < requests:
            raise Disturbed(f"wrk counts {requests} requests, the receiver {seen}")
        return counted(cpu, requests, seconds, sink.cpu_ns())
    finally:
        sink.stop()


def h2load(bench, tls=False, body=None, server=None):
    sink = server() if server else Sink(bench)
    try:
        command = [program("h2load"), "-t", "1", "-c", "1", "-m", "64", "-D", str(max(1, round(bench.seconds))), "-H", "content-type: application/json",
                   "-d", body or bench.body, sink.url(tls)]
        cpu, requests, seconds = timed(bench, command, lambda out: int(re.search(r"(\d+) succeeded", out)[1]))
        return counted(cpu, requests, seconds, sink.cpu_ns())
    finally:
        sink.stop()


RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k" net.enableDNS="off")
module(load="{modules}/imptcp")
module(load="{modules}/omelasticsearch")
template(name="line" type="list") {{ property(name="rawmsg") }}
ruleset(name="out" queue.type="FixedArray" queue.size="5000" queue.dequeueBatchSize="{batch}" queue.workerThreads="64"
        queue.workerThreadMinimumMessages="10") {{
    action(type="omelasticsearch" server="127.0.0.1" serverport="{sink}" template="line" searchIndex="i" searchType="_doc"
           bulkmode="{bulk}" action.resumeRetryCount="-1")
}}
input(type="imptcp" address="127.0.0.1" port="{port}" ruleset="out")
"""

SYSLOG_NG = """
@version: 3.38
options {{ stats-freq(0); chain-hostnames(no); use-dns(no); keep-hostname(yes); log-msg-size(65536); threaded(yes); }};
source lines {{ network(ip("127.0.0.1") transport("tcp") port({port}) flags(no-parse) max-connections(4) log-iw-size(200000)); }};
destination out {{ http(url("http://127.0.0.1:{sink}/") method("POST") headers("content-type: application/json") body("${{MESSAGE}}")
    workers(64) batch-lines({batch}) batch-timeout(100) {array} log-fifo-size(200000) persist-name("out")); }};
log {{ source(lines); destination(out); flags(flow-control); }};
"""


def rsyslog(bench, batch):
    config = RSYSLOG.format(folder=bench.folder, modules=modules("rsyslog"), batch=max(batch, 64), bulk="on" if batch > 1 else "off",
                            sink="{sink}", port="{port}")
    return shipper(bench, "rsyslogd", config, ["-n", "-i", "NONE", "-f", "{config}", "-M", modules("rsyslog")])


def syslog_ng(bench, batch):
    array = 'body-prefix("[") delimiter(",") body-suffix("]")' if batch > 1 else ""
    config = SYSLOG_NG.format(batch=batch, array=array, sink="{sink}", port="{port}")
    folder = os.path.join(bench.folder, "syslog-ng")
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)
    return shipper(bench, "syslog-ng", config, ["--foreground", "--no-caps", "--cfgfile", "{config}", "--persist-file", f"{folder}/persist",
                                                "--pidfile", f"{folder}/pid", "--control", f"{folder}/control",
                                                "--module-path", modules("syslog-ng")])


def modules(name):
    found = glob.glob(os.path.join(TREE, "usr", "lib", "**", "imptcp.so" if name == "rsyslog" else "libhttp.so"), recursive=True)
    return os.path.dirname(os.path.abspath(found[0])) if found else ""


def shipper(bench, name, config, options):
    """From its first line to its last request."""
    sink, port = Sink(bench), free_port()
    path = os.path.join(bench.folder, f"{name}.conf")
    with open(path, "w") as file:
        file.write(config.replace("{sink}", str(sink.port)).replace("{port}", str(port)))
    command = [program(name), *(option.replace("{config}", path) for option in options)]
    libraries = ":".join({os.path.dirname(library) for library in glob.glob(os.path.join(TREE, "**", "*.so*"), recursive=True)})
    process = start(command, bench.cpus, user=NOBODY, env={**os.environ, "LD_LIBRARY_PATH": libraries},
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        cpu_before, begun = cpu_ns(process.pid), time.monotonic()
        shipped = report_of(source(bench, port, "--lines", "--connections", "2", "--patience", "60"))["shipped"]
        while (seen := sink.counts()["records"]) < shipped:
            if time.monotonic() > begun + bench.seconds + 60 or process.poll() is not None:
                raise Disturbed(f"{name}: of {shipped} lines {seen} were delivered")
            time.sleep(0.02)
        cpu, seconds = cpu_ns(process.pid) - cpu_before, time.monotonic() - begun
        return {**counted(cpu, shipped, seconds, sink.cpu_ns()), "peak_mib": memory_mib(process.pid, "VmHWM")}
    finally:
        # What is left needs no orderly end.
        stop(process, signal.SIGKILL)
        sink.stop()
