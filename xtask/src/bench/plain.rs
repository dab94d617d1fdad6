//! What a proxy costs on this machine that guards nothing: Debian's nginx between the same load and the same server.
//! A figure in microseconds says little about another machine; one beside nginx's says more.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::gateway::Running;

/// nginx as a plain reverse proxy, one process.
pub(super) struct Plain {
    /// Ends it.
    _running: Running,
    pub(super) url: String,
    /// Its place in /proc.
    pub(super) process: PathBuf,
}

impl Plain {
    /// Starts it before an upstream; none where nginx is not installed.
    pub(super) fn start(scratch: &Path, upstream: &str) -> Result<Option<Self>, String> {
        let found = Command::new("nginx")
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !found {
            return Ok(None);
        }
        let rest = upstream.strip_prefix("http://").ok_or("an http URL")?;
        let (host, path) = rest.split_once('/').ok_or("a path")?;
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let home = scratch.join("nginx");
        std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let file = home.join("nginx.conf");
        std::fs::write(&file, configuration(&home, host, port)).map_err(|error| error.to_string())?;
        let child = Command::new("nginx")
            .args(["-p"])
            .arg(&home)
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg("stderr")
            .spawn()
            .map_err(|error| format!("nginx: {error}"))?;
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let running = Running(child);
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(Some(Self {
                    _running: running,
                    url: format!("http://127.0.0.1:{port}/{path}"),
                    process,
                }));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err("nginx did not get ready".to_owned())
    }
}

fn configuration(home: &Path, host: &str, port: u16) -> String {
    let home = home.display();
    format!(
        "daemon off; master_process off; pid {home}/pid; error_log stderr emerg;
         events {{ worker_connections 1024; }}
         http {{
           access_log off; client_max_body_size 0; client_body_buffer_size 2m;
           client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
           uwsgi_temp_path {home}; scgi_temp_path {home};
           upstream server {{ server {host}; keepalive 256; keepalive_requests 1000000000; }}
           server {{
             listen 127.0.0.1:{port}; keepalive_requests 1000000000;
             location / {{
               proxy_pass http://server; proxy_http_version 1.1;
               proxy_set_header Host {host}; proxy_set_header Connection \"\";
             }}
           }}
         }}"
    )
}
