# The configuration of this host's agent. It is Nomad's language; every key and what it does here:
# /usr/share/doc/nomadd/configuration.md.
#
# Check a change with `nomadd config validate /etc/nomad.d`, then `systemctl reload nomadd` (log level,
# certificates) or `systemctl restart nomadd` (all else). Tasks go on in either case.
# Every *.hcl and *.json of this folder is read, by name; later files win. So your own settings may stand
# in a file of their own whose name comes after this one, such as site.hcl, and this one stays as the package
# brings it.

# Where everything is kept: the cluster's state, the allocations and their logs.
data_dir = "/var/lib/nomadd"

# Only this host reaches the API (4646), other agents' calls (4647) and gossip (4648). There is no access
# control yet: whoever reaches the API may run jobs. Do not open it to a network that you do not trust.
bind_addr = "127.0.0.1"

# log_level = "INFO"
# datacenter = "dc1"
# region     = "global"

# One host that is a cluster of its own. Three hosts: `bootstrap_expect = 3` on each, a `bind_addr` that
# the others reach, `server_join { retry_join = ["10.0.0.1", "10.0.0.2", "10.0.0.3"] }`.
server {
  enabled          = true
  bootstrap_expect = 1
}

# This host runs tasks. A host that does only that: `enabled = false` above and `servers = ["10.0.0.1"]` here.
client {
  enabled = true

  # The interface whose address the ports of tasks are on; without it, that of the default route.
  # network_interface = "lo"

  # What the host keeps for itself.
  # reserved {
  #   cpu            = 500 # MHz
  #   memory         = 512 # MB
  #   reserved_ports = "22"
  # }
}

# raw_exec runs commands as they are, as root unless the job names a user. It is off until you switch it on,
# because with it whoever reaches the API owns the host.
# plugin "raw_exec" {
#   config {
#     enabled = true
#   }
# }
