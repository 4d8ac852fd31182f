region     = "global"
datacenter = "dc1"
name       = "node-1"
data_dir   = "/var/lib/nomadd"
log_level  = "INFO"
bind_addr  = "{{ GetPrivateIP }}"
ports {
  http = 4646
  rpc  = 4647
}
advertise {
  http = "{{ GetInterfaceIP \"eth0\" }}"
}
server {
  enabled          = true
  bootstrap_expect = 1
  heartbeat_grace  = "20s"
  default_scheduler_config {
    scheduler_algorithm = "spread"
    preemption_config { batch_scheduler_enabled = true }
  }
}
client {
  enabled    = true
  node_class = "small"
  meta { rack = "r1" }
  reserved {
    cpu            = 200
    reserved_ports = "22,8000-8010"
  }
  host_volume "data" {
    path      = "/srv/data"
    read_only = false
  }
  host_network "private" { cidr = "10.0.0.0/8" }
}
plugin "raw_exec" {
  config { enabled = true }
}
