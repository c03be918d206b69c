#!/usr/bin/env python3
"""http_file_server beside nginx with one worker and sendfile: 4 KiB files, 64 keep-alive connections, wrk on the other core.

    ./bazelw run -c opt //benchmarks:http_files
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import side_by_side

FILES = 100
FILE_BYTES = 4096
CONNECTIONS = 64

NGINX_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path {directory};
  server {{ listen 127.0.0.1:{port}; root {directory}/www; }}
}}
"""

WRK_SCRIPT = """
local n = 0
request = function() n = n + 1; return wrk.format("GET", "/f" .. (n % {files})) end
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_listening(port, server):
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            sys.exit(f"the server on port {port} has ended: {server.args}")
        time.sleep(0.01)


def start(command, port):
    # The first processor is the servers', the second wrk's.
    server = subprocess.Popen(["taskset", "-c", "0"] + command, stdout=subprocess.DEVNULL)
    await_listening(port, server)
    return server


def main():
    parser = side_by_side.parser_of(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--seconds", type=int, default=5, help="how long a turn takes (5)")
    parser.add_argument("--server", required=True, help="the program")
    arguments = parser.parse_args()
    wrk = side_by_side.find("wrk", "wrk")
    nginx = side_by_side.find("nginx", "nginx-light")
    if wrk is None:
        sys.exit("nothing can be measured without wrk")
    with tempfile.TemporaryDirectory() as directory:
        # nginx's worker is another user.
        os.chmod(directory, 0o755)
        os.mkdir(f"{directory}/www")
        for number in range(FILES):
            with open(f"{directory}/www/f{number}", "wb") as file:
                file.write(os.urandom(FILE_BYTES))
        with open(f"{directory}/requests.lua", "w", encoding="ascii") as file:
            file.write(WRK_SCRIPT.format(files=FILES))

        servers = {}
        ports = {}
        ports["http_file_server"] = free_port()
        command = [arguments.server, f"--root={directory}/www", f"--address=127.0.0.1:{ports['http_file_server']}"]
        servers["http_file_server"] = start(command, ports["http_file_server"])
        if nginx is not None:
            ports["nginx"] = free_port()
            with open(f"{directory}/nginx.conf", "w", encoding="ascii") as file:
                file.write(NGINX_CONFIGURATION.format(directory=directory, port=ports["nginx"]))
            servers["nginx"] = start([nginx, "-c", f"{directory}/nginx.conf"], ports["nginx"])

        def load(name):
            command = ["taskset", "-c", "1", wrk, "-t1", f"-c{CONNECTIONS}", f"-d{arguments.seconds}s", "-s", f"{directory}/requests.lua"]
            output = subprocess.check_output(command + [f"http://127.0.0.1:{ports[name]}/"], text=True)
            if "Non-2xx" in output or "Socket errors" in output:
                sys.exit(f"{name} answered wrongly:\n{output}")
            return float(re.search(r"Requests/sec:\s+([0-9.]+)", output).group(1))

        try:
            results = side_by_side.measure({name: lambda name=name: load(name) for name in servers}, arguments.rounds)
        finally:
            for server in servers.values():
                server.send_signal(signal.SIGTERM)
                server.wait()
    title = f"{FILE_BYTES} byte files over HTTP/1.1, {CONNECTIONS} connections, one server thread, median of {arguments.rounds} rounds"
    print(side_by_side.table(title, results, "http_file_server", "requests/s", larger_is_better=True))


if __name__ == "__main__":
    main()
