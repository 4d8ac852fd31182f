//! The flow hello as people wrote it down: one server and two clients on one host with ports of their own, a job with the
//! old `network` block of the task. The docker image is replaced by a web server of python3 as a raw process, which takes
//! its port from the command line as the image does; everything else of the files stands.

use nomadd_tests::ctl::table;
use nomadd_tests::lab::{Lab, on_hosts, running};
use nomadd_tests::until;

const SERVER: &str = r#"log_level = "DEBUG"
data_dir  = "/tmp/server1"

server {
  enabled          = true
  bootstrap_expect = 1
}
"#;

fn client(number: u8) -> String {
    format!(
        r#"log_level = "DEBUG"
data_dir  = "/tmp/client{number}"
name      = "client{number}"

client {{
  enabled = true
  servers = ["127.0.0.1:4647"]
}}

ports {{
  http = {}
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
"#,
        5655 + u16::from(number)
    )
}

fn job(token: &str) -> String {
    format!(
        r#"job "hello" {{
  datacenters = ["dc1"]

  group "example" {{
    task "server" {{
      driver = "raw_exec"

      config {{
        command = "/usr/bin/python3"
        args = ["-u", "-c", "import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n  def do_GET(s):\n    s.send_response(200); s.end_headers(); s.wfile.write(b'hello')\nprint('listening on 5678')\nh.HTTPServer(('', 5678), H).serve_forever()"]
      }}
      env {{
        LAB = "{token}"
      }}

      resources {{
        memory = 128
        network {{
          mbits = 10
          port "http" {{
            static = "5678"
          }}
        }}
      }}
    }}
  }}
}}
"#
    )
}

#[test]
fn hello_runs_with_three_agents_on_one_host() {
    on_hosts(hello);
}

async fn hello(lab: Lab) {
    let host = lab.host("laptop");
    host.file("server.hcl", SERVER);
    host.start("server1", "-config=server.hcl");
    for number in [1, 2] {
        host.file(&format!("client{number}.hcl"), &client(number));
        host.start(&format!("client{number}"), &format!("-config=client{number}.hcl"));
    }
    until("both clients are ready", || async {
        let shown = host.ctl(&["node", "status"]).await;
        let nodes = shown.rows("ID");
        let ready = nodes.iter().filter(|row| row["Status"] == "ready").count();
        if ready == 2 { Ok(()) } else { Err(format!("{shown:?} {}", host.log("client1"))) }
    })
    .await;

    host.file("hello.nomad", &job(&lab.token()));
    let ran = host.ctl(&["run", "hello.nomad"]).await;
    let said = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, 0, "{said}");
    assert!(
        said.contains("mbits") || said.to_lowercase().contains("deprecated"),
        "no warning about the old block: {said}"
    );
    let shown = host.ctl(&["job", "status", "hello"]).await.ok();
    let rows = table(shown.split("Allocations\n").last().unwrap(), "ID");
    let id = &rows.iter().find(|row| row["Status"] == "running").unwrap()["ID"];
    let status = host.ctl(&["alloc", "status", id]).await.ok();
    for wanted in ["Task Resources", "Memory", "10.77.0.1:5678", "Recent Events", "Started"] {
        assert!(status.contains(wanted), "no {wanted:?} in:\n{status}");
    }
    let body = until("it answers", || async {
        let asked = host.run(&["curl", "-sS", "http://10.77.0.1:5678/"]).await;
        if asked.code == 0 { Ok(asked.out) } else { Err(asked.err) }
    })
    .await;
    assert_eq!(body, "hello");
    let logs = host.ctl(&["alloc", "logs", id]).await.ok();
    assert_eq!(logs.trim(), "listening on 5678");
    let answered = host.ctl(&["alloc", "logs", "-stderr", id]).await.ok();
    assert!(answered.contains("GET / HTTP/1.1"), "{answered}");

    host.ctl(&["stop", "-detach", "hello"]).await.ok();
    until("it is stopped", || async {
        let real = running(&lab.token(), "hello");
        if real.is_empty() { Ok(()) } else { Err(real) }
    })
    .await;
    let shown = host.ctl(&["job", "status", "hello"]).await.ok();
    assert!(shown.contains("dead (stopped)"), "{shown}");
}
