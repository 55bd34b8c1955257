"""Starts rhumb, MapProxy, MapCache and nginx on one cache, each configured as its packages and papers advise; ends them all."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from . import cache

WORKERS = 2
START_LAYERS = 1_000
PATIENCE_S = 60


def build():
    """The programs, release builds."""
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "rhumb"], cwd=cache.ROOT, check=True)
    found = {"rhumb": os.path.join(cache.ROOT, "target", "release", "rhumb")}
    benches = ["--bench", "load", "--bench", "map_parts"]
    lines = subprocess.run(
        ["cargo", "bench", *benches, "--no-run", "--quiet", "--message-format=json"],
        cwd=cache.ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    for message in map(json.loads, lines):
        if message.get("executable") and message["target"]["kind"] == ["bench"]:
            found[message["target"]["name"]] = message["executable"]
    return found


def find():
    """The programs of the last build."""
    release = os.path.join(cache.ROOT, "target", "release")
    found = {"rhumb": os.path.join(release, "rhumb")}
    for name in ("load", "map_parts"):
        built = [path for path in glob.glob(os.path.join(release, "deps", f"{name}-*")) if not path.endswith(".d")]
        found[name] = max(built, key=os.path.getmtime)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rhumb_yaml(port, map_file, memory_bytes=None):
    limits = f"limits: {{cache_memory_bytes: {memory_bytes}}}\n" if memory_bytes is not None else ""
    return (
        f"maps: {map_file}\nlisten:\n  - http: 127.0.0.1:{port}\nworkers: {WORKERS}\n"
        f"log: {{access: rhumb-{port}.log, error: stderr, format: combined}}\n{limits}"
    )


NGINX = """
daemon off; worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 512; }}
http {{
  types {{ image/png png; image/jpeg jpeg; }}
  sendfile on; tcp_nopush on; access_log {folder}/nginx-access.log;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""

APACHE = """
ServerRoot /usr/lib/apache2
Mutex file:{folder} default
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
ServerName localhost
User #{uid}
Group #{gid}
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule mapcache_module modules/mod_mapcache.so
StartServers {workers}
ServerLimit {workers}
ThreadsPerChild 25
MaxRequestWorkers 50
MinSpareThreads 25
MaxSpareThreads 50
KeepAlive On
MaxKeepAliveRequests 1000
ErrorLog {folder}/apache-error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {folder}/apache-access.log combined
MapCacheAlias /png {folder}/mapcache-png.xml
MapCacheAlias /jpeg {folder}/mapcache-jpeg.xml
<Location /> 
  Require all granted
</Location>
"""

MAPCACHE = """<?xml version="1.0" encoding="UTF-8"?>
<mapcache>
  <metadata><title>Benchmark</title><abstract>Benchmark</abstract><url>http://127.0.0.1:{port}/</url></metadata>
  {caches}
  <format name="png" type="PNG"><compression>fast</compression><colors>256</colors></format>
  <format name="jpeg" type="JPEG"><quality>90</quality><photometric>ycbcr</photometric></format>
  {tilesets}
  <default_format>{format}</default_format>
  <service type="wms" enabled="true">
    <full_wms>assemble</full_wms><resample_mode>bilinear</resample_mode>
    <format allow_client_override="false">{format}</format><maxsize>2048</maxsize>
  </service>
  <service type="gmaps" enabled="true"/>
  <errors>report</errors>
  <lock_dir>{folder}</lock_dir>
</mapcache>
"""


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def mapcache_xml(folder, port, shown):
    caches = "\n  ".join(
        f'<cache name="{n}" type="disk" layout="template"><template>{cache.directory(n)}/{{z}}/{{x}}/{{inv_y}}.{e}</template></cache>'
        for n, e, *_ in cache.CACHES
    )
    tilesets = "\n  ".join(
        f'<tileset name="{n}"><cache>{n}</cache><grid>GoogleMapsCompatible</grid><format>{e}</format>'
        f"<expires>10800</expires></tileset>"
        for n, e, *_ in cache.CACHES
    )
    return MAPCACHE.format(port=port, caches=caches, tilesets=tilesets, format=shown, folder=folder)


def gunicorn(port, application):
    """`gthread` keeps connections alive, which gunicorn's default worker does not."""
    program = os.path.join(cache.PEERS, "venv", "bin", "gunicorn")
    kind = ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "15"]
    return [cache.PYTHON, program, "--workers", str(WORKERS), *kind, "--bind", f"127.0.0.1:{port}",
            "--log-level", "error", f"{application}:application"]


def application(folder, name, map_file):
    text = f"from mapproxy.wsgiapp import make_wsgi_app\napplication = make_wsgi_app({map_file!r})\n"
    return write(folder, f"{name}.py", text)


def spawn(folder, command, log):
    with open(os.path.join(folder, log), "ab") as output:
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def finish(process):
    """Ends a server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except (ProcessLookupError, PermissionError):
            return
        except subprocess.TimeoutExpired:
            continue
        return


def answers(port, target="/", status=None):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{target}", timeout=PATIENCE_S) as answer:
            answer.read()
            return status is None or answer.status == status
    except urllib.error.HTTPError:
        return status is None
    except OSError:
        return False


def await_port(process, port, target="/", status=None):
    deadline = time.monotonic() + PATIENCE_S
    while not answers(port, target, status):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args[0]} does not answer on port {port}")
        time.sleep(0.002)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))


class Running:
    """All servers, for the time of a `with`."""

    def __init__(self, programs):
        self.programs, self.processes, self.ports, self.memory_peaks = programs, {}, {}, {}

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="rhumb-bench-")
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            finish(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_all(self):
        folder = self.folder
        map_file = write(folder, "mapproxy.yaml", cache.map_yaml("http://127.0.0.1:9/wms"))
        # From disk: the daemon as it is, but with a memory tier that holds next to nothing.
        for name, memory in (("rhumb", None), ("rhumb-disk", 1_048_576)):
            port = self.ports[name] = free_port()
            config = write(folder, f"{name}.yaml", rhumb_yaml(port, map_file, memory))
            self.processes[name] = spawn(folder, [self.programs["rhumb"], "serve", "-c", config], f"{name}.err")
        port = self.ports["mapproxy"] = free_port()
        application(folder, "mapproxy_application", map_file)
        self.processes["mapproxy"] = spawn(folder, gunicorn(port, "mapproxy_application"), "mapproxy.err")
        port = self.ports["nginx"] = free_port()
        locations = "".join(f"location /{n}/ {{ alias {cache.directory(n)}/; }} " for n, *_ in cache.CACHES)
        config = write(folder, "nginx.conf", NGINX.format(workers=WORKERS, folder=folder, port=port, locations=locations))
        self.processes["nginx"] = spawn(folder, ["/usr/sbin/nginx", "-c", config], "nginx.err")
        port = self.ports["mapcache"] = free_port()
        for shown in ("png", "jpeg"):
            write(folder, f"mapcache-{shown}.xml", mapcache_xml(folder, port, shown))
        text = APACHE.format(folder=folder, port=port, workers=WORKERS, uid=os.getuid(), gid=os.getgid())
        if os.getuid() == 0:
            # Apache gives root up: its user must reach its own files.
            os.chmod(folder, 0o755)
            text = text.replace("User #0\nGroup #0\n", "User www-data\nGroup www-data\n")
        config = write(folder, "apache.conf", text)
        self.processes["mapcache"] = spawn(folder, ["/usr/sbin/apache2", "-f", config, "-DFOREGROUND"], "apache.err")
        for name, process in self.processes.items():
            await_port(process, self.ports[name])

    def get(self, server, target):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[server]}{target}", timeout=PATIENCE_S) as answer:
            return answer.read()

    def load(self, server, targets, seconds, start):
        command = [self.programs["load"], "--address", f"127.0.0.1:{self.ports[server]}", "--targets", targets,
                   "--from", str(start), "--warm", str(min(0.5, seconds / 2)), "--seconds", str(seconds)]
        over = threading.Event()
        watch = threading.Thread(target=self.watch_memory, args=(server, over))
        watch.start()
        try:
            return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        finally:
            over.set()
            watch.join()

    def watch_memory(self, server, over):
        """The largest proportional set size of a worker under load."""
        if server not in ("rhumb", "mapproxy"):
            return
        while not over.wait(0.7):
            for child in children(self.processes[server].pid):
                try:
                    self.memory_peaks[server] = max(self.memory_peaks.get(server, 0), pss_kb(child))
                except OSError:
                    pass


def many_layers(added=""):
    """A thousand layers, each with its own cache and source; perhaps one more, of the first one's cache."""
    names = [f"n{number}" for number in range(START_LAYERS)]
    lines = ["services:", "  wms: {srs: ['EPSG:3857', 'EPSG:4326'], md: {title: Start}}", "  wmts: {restful: true}", "  tms: {}", "layers:"]
    lines += [f"  - {{name: {n}, title: Layer {n}, sources: [{n}_cache]}}" for n in names]
    if added:
        lines.append(f"  - {{name: {added}, title: Added, sources: [n0_cache]}}")
    lines.append("caches:")
    lines += [f"  {n}_cache: {{grids: [GLOBAL_WEBMERCATOR], sources: [{n}_wms], cache: {{type: file, directory_layout: tms}}}}" for n in names]
    # The layer that is asked finds the seeded tiles under its own name.
    lines[lines.index(f"  n0_cache: {{grids: [GLOBAL_WEBMERCATOR], sources: [n0_wms], cache: {{type: file, directory_layout: tms}}}}")] = (
        "  n0_cache: {grids: [GLOBAL_WEBMERCATOR], sources: [n0_wms], cache: {type: file, directory_layout: tms, "
        f"directory: {cache.TILES}/map_cache_EPSG3857, use_grid_names: false}}}}"
    )
    lines.append("sources:")
    lines += [f"  {n}_wms: {{type: wms, req: {{url: 'http://127.0.0.1:9/wms?n={n}', layers: {n}}}}}" for n in names]
    return "\n".join([*lines, f"globals: {{cache: {{base_dir: {cache.BENCH}/start}}}}", ""])


def measure_start(programs, kept):
    """Milliseconds from the start of the program to the first map."""
    folder = tempfile.mkdtemp(prefix="rhumb-bench-")
    map_file = write(folder, "many.yaml", many_layers())
    target = ("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=n0&STYLES=&SRS=EPSG:3857"
              "&BBOX=800000,6000000,1100000,6300000&WIDTH=512&HEIGHT=512&FORMAT=image/png")
    try:
        for peer in ("rhumb", "mapproxy"):
            port = free_port()
            if peer == "rhumb":
                command = [programs["rhumb"], "serve", "-c", write(folder, "rhumb.yaml", rhumb_yaml(port, map_file))]
            else:
                application(folder, "many_application", map_file)
                command = gunicorn(port, "many_application")
            began = time.monotonic()
            process = spawn(folder, command, f"{peer}.err")
            try:
                await_port(process, port, target, 200)
                kept.setdefault(peer, []).append((time.monotonic() - began) * 1e3)
            finally:
                finish(process)
            print(f"start with {START_LAYERS} layers: {peer} {kept[peer][-1]:.0f} ms", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_reload(programs, kept):
    """Milliseconds from SIGHUP until every new connection meets the new configuration, with 1,000 layers."""
    steady = 20  # answers in a row, each on a connection of its own
    folder = tempfile.mkdtemp(prefix="rhumb-bench-")
    map_file = write(folder, "many.yaml", many_layers())
    target = ("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={}&STYLES=&SRS=EPSG:3857"
              "&BBOX=800000,6000000,1100000,6300000&WIDTH=64&HEIGHT=64&FORMAT=image/png")
    port = free_port()
    try:
        process = spawn(folder, [programs["rhumb"], "serve", "-c", write(folder, "rhumb.yaml", rhumb_yaml(port, map_file))], "rhumb.err")
        try:
            await_port(process, port, target.format("n0"), 200)
            for name in ("first", "second", "third"):
                write(folder, "many.yaml", many_layers(name))
                began = time.monotonic()
                process.send_signal(signal.SIGHUP)
                in_a_row, effective = 0, began
                while in_a_row < steady:
                    if time.monotonic() - began > 60:
                        raise SystemExit("a reload was not in effect after a minute")
                    if status_of(port, target.format(name)) == 200:
                        if in_a_row == 0:
                            effective = time.monotonic()
                        in_a_row += 1
                    else:
                        in_a_row = 0
                kept.append((effective - began) * 1e3)
                print(f"reload with {START_LAYERS} layers: {kept[-1]:.0f} ms", flush=True)
        finally:
            finish(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def status_of(port, target):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{target}", timeout=10) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def map_parts(programs):
    """The table of one map's parts, measured inside of one process."""
    folder = tempfile.mkdtemp(prefix="rhumb-bench-")
    try:
        map_file = write(folder, "mapproxy.yaml", cache.map_yaml("http://127.0.0.1:9/wms"))
        return subprocess.run([programs["map_parts"], map_file, cache.TILES], check=True, capture_output=True, text=True).stdout
    finally:
        shutil.rmtree(folder, ignore_errors=True)
