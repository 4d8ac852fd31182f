//! The command line: `agent`, `config validate`, `version`. One dash or two before a flag.
//!
//! Agent flags become configuration text of the highest rank, so that a flag and a key can never disagree about their meaning.

use std::fmt;
use std::path::PathBuf;

use nomadd_config::Mode;

use crate::doctor;

/// What is asked for.
#[derive(Debug)]
pub enum Action {
    /// Run the agent.
    Agent(Options),
    /// Check files and folders.
    Validate(Vec<PathBuf>),
    /// Look at the host.
    Doctor(doctor::Options),
    /// Show what a snapshot file says of itself.
    Inspect(PathBuf),
    /// Print the version.
    Version,
    /// Print a help text.
    Help(&'static str),
}

/// How the agent is to run.
#[derive(Debug, Default)]
pub struct Options {
    /// `-dev`, or as configured.
    pub mode: Mode,
    /// Configuration files and folders, in order.
    pub files: Vec<PathBuf>,
    /// The other flags as pieces of configuration.
    pub flags: Vec<String>,
}

/// A wrong command line.
#[derive(Debug)]
pub struct Usage {
    message: String,
    code: u8,
}

impl Usage {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}
impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How a flag becomes configuration.
enum Flag {
    /// `-flag=value` sets a text; the blocks it stands in, then the key.
    Text(&'static [&'static str]),
    /// Same for a number.
    Number(&'static [&'static str]),
    /// `-flag` or `-flag=true` sets a switch.
    Switch(&'static [&'static str]),
    /// `-flag=a,b` adds to a list.
    List(&'static [&'static str]),
    /// `-flag=key=value` adds to a map.
    Pair(&'static [&'static str]),
}

const FLAGS: &[(&str, Flag)] = &[
    ("bind", Flag::Text(&["bind_addr"])),
    ("region", Flag::Text(&["region"])),
    ("dc", Flag::Text(&["datacenter"])),
    ("node", Flag::Text(&["name"])),
    ("data-dir", Flag::Text(&["data_dir"])),
    ("plugin-dir", Flag::Text(&["plugin_dir"])),
    ("log-level", Flag::Text(&["log_level"])),
    ("log-json", Flag::Switch(&["log_json"])),
    ("log-file", Flag::Text(&["log_file"])),
    ("log-include-location", Flag::Switch(&["log_include_location"])),
    ("server", Flag::Switch(&["server", "enabled"])),
    ("bootstrap-expect", Flag::Number(&["server", "bootstrap_expect"])),
    ("encrypt", Flag::Text(&["server", "encrypt"])),
    ("raft-protocol", Flag::Number(&["server", "raft_protocol"])),
    ("join", Flag::List(&["server", "start_join"])),
    ("retry-join", Flag::List(&["server", "retry_join"])),
    ("retry-max", Flag::Number(&["server", "retry_max"])),
    ("retry-interval", Flag::Text(&["server", "retry_interval"])),
    ("rejoin", Flag::Switch(&["server", "rejoin_after_leave"])),
    ("client", Flag::Switch(&["client", "enabled"])),
    ("state-dir", Flag::Text(&["client", "state_dir"])),
    ("alloc-dir", Flag::Text(&["client", "alloc_dir"])),
    ("servers", Flag::List(&["client", "servers"])),
    ("node-class", Flag::Text(&["client", "node_class"])),
    ("node-pool", Flag::Text(&["client", "node_pool"])),
    ("meta", Flag::Pair(&["client", "meta"])),
    ("network-interface", Flag::Text(&["client", "network_interface"])),
    ("network-speed", Flag::Number(&["client", "network_speed"])),
    ("acl-enabled", Flag::Switch(&["acl", "enabled"])),
];

/// Reads the command line.
pub fn parse(arguments: &[String]) -> Result<Action, Usage> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let asks_help = |words: &[&str]| words.iter().any(|word| matches!(*word, "-h" | "-help" | "--help"));
    match words.as_slice() {
        ["agent", rest @ ..] if asks_help(rest) => Ok(Action::Help(AGENT_HELP)),
        ["agent", rest @ ..] => agent(rest).map(Action::Agent),
        ["config", "validate", rest @ ..] if rest.is_empty() || asks_help(rest) => {
            if rest.is_empty() {
                return Err(Usage::new(
                    "Must specify at least one config file or directory\nFor additional help try 'nomadd config validate -help'",
                ));
            }
            Ok(Action::Help(VALIDATE_HELP))
        }
        ["config", "validate", rest @ ..] => Ok(Action::Validate(rest.iter().map(PathBuf::from).collect())),
        ["doctor", rest @ ..] if asks_help(rest) => Ok(Action::Help(DOCTOR_HELP)),
        ["doctor", rest @ ..] => examine(rest).map(Action::Doctor),
        ["snapshot", "inspect", file] if !asks_help(&[file]) => Ok(Action::Inspect(PathBuf::from(file))),
        ["snapshot", ..] => Err(Usage::new(
            "Usage: nomadd snapshot inspect <file>\n\n  Reads a file of 'nomadctl operator snapshot save' to its end and shows what it says of itself.",
        )),
        ["version" | "-v" | "-version" | "--version", ..] => Ok(Action::Version),
        [] => Err(Usage { message: HELP.trim_end().to_owned(), code: 127 }),
        ["-h" | "-help" | "--help" | "help", ..] => Ok(Action::Help(HELP)),
        [other, ..] => Err(Usage {
            message: format!(
                "nomadd has no command {other:?}; commands for jobs, nodes and allocations are nomadctl's.\n\n{}",
                HELP.trim_end()
            ),
            code: 127,
        }),
    }
}

fn agent(words: &[&str]) -> Result<Options, Usage> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|flag| !flag.is_empty())
        else {
            return Err(Usage::new(format!(
                "Unexpected extra argument: {word:?}\nFor additional help try 'nomadd agent -help'"
            )));
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let mut value = || {
            inline
                .or_else(|| words.next().copied())
                .ok_or_else(|| Usage::new(format!("flag needs an argument: -{name}")))
        };
        match name {
            "config" => options.files.push(PathBuf::from(value()?)),
            "dev" => options.mode = if switch(name, inline)? { Mode::Development } else { Mode::Configured },
            _ => {
                let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == name) else {
                    return Err(Usage::new(format!(
                        "flag provided but not defined: -{name}{}\nFor additional help try 'nomadd agent -help'",
                        near(name)
                    )));
                };
                match flag {
                    Flag::Text(path) => put(&mut options.flags, path, &quoted(value()?)),
                    Flag::Number(path) => {
                        let text = value()?;
                        if text.parse::<i64>().is_err() {
                            return Err(Usage::new(format!(
                                "invalid value {text:?} for flag -{name}: a number is expected"
                            )));
                        }
                        put(&mut options.flags, path, text);
                    }
                    Flag::Switch(path) => {
                        put(&mut options.flags, path, if switch(name, inline)? { "true" } else { "false" })
                    }
                    Flag::List(path) => {
                        let items: Vec<String> = value()?.split(',').map(|item| quoted(item.trim())).collect();
                        put(&mut options.flags, path, &format!("[{}]", items.join(", ")));
                    }
                    Flag::Pair(path) => {
                        let text = value()?;
                        let (key, value) = text.split_once('=').ok_or_else(|| {
                            Usage::new(format!("invalid value {text:?} for flag -{name}: KEY=VALUE is expected"))
                        })?;
                        put(&mut options.flags, path, &format!("{{ {} = {} }}", quoted(key), quoted(value)));
                    }
                }
            }
        }
    }
    Ok(options)
}

fn examine(words: &[&str]) -> Result<doctor::Options, Usage> {
    let mut options = doctor::Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or_default();
        let (name, inline) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        match name {
            "json" => options.form = if switch(name, inline)? { doctor::Form::Json } else { doctor::Form::Text },
            "config" => {
                let value = inline.or_else(|| words.next().copied());
                let value = value.ok_or_else(|| Usage::new("flag needs an argument: -config"))?;
                options.files.push(PathBuf::from(value));
            }
            _ => {
                return Err(Usage {
                    message: format!("{word:?} is no flag of doctor\n\n{}", DOCTOR_HELP.trim_end()),
                    code: 2,
                });
            }
        }
    }
    Ok(options)
}

fn switch(name: &str, inline: Option<&str>) -> Result<bool, Usage> {
    match inline {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => {
            Err(Usage::new(format!("invalid boolean value {other:?} for -{name}: true or false is expected")))
        }
    }
}

/// Writes `key = value` below its blocks; every flag is a piece of its own, laid over the ones before.
fn put(pieces: &mut Vec<String>, path: &[&str], value: &str) {
    match path {
        [key] => pieces.push(format!("{key} = {value}\n")),
        [block, key] => pieces.push(format!("{block} {{\n  {key} = {value}\n}}\n")),
        _ => {}
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${"))
}

fn near(name: &str) -> String {
    let common = |known: &str| known.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    FLAGS
        .iter()
        .map(|(known, _)| *known)
        .chain(["config", "dev"])
        .filter(|known| common(known) * 2 > known.len().max(name.len()))
        .max_by_key(|known| common(known))
        .map(|known| format!("; did you mean -{known}?"))
        .unwrap_or_default()
}

const HELP: &str = "\
Usage: nomadd <command> [args]

Commands:
    agent              Runs a nomadd agent: server, client or both
    config validate    Checks configuration files and folders
    doctor             Checks whether this host can run an agent and tasks
    snapshot inspect   Shows what a snapshot file holds
    version            Prints the version

Everything about jobs, nodes and allocations is a command of nomadctl.
";

const VALIDATE_HELP: &str = "\
Usage: nomadd config validate <path> [<path>...]

  Checks agent configuration files and folders (*.hcl, *.json), merged in the
  given order, and exits with 1 when an agent would not start with them.
";

const DOCTOR_HELP: &str = "\
Usage: nomadd doctor [options]

  Checks kernel, cgroups, systemd, CNI plugins, iptables, clock, disks, ports
  and the agent's configuration, and says how to repair what is missing. Works
  with and without a running agent. Exits with 0 when all is well (advice does
  not count), 1 when there are problems, 2 when something could not be checked.

  -config=<path>    File or folder of the agent's configuration; may be given
                    often (default /etc/nomad.d)
  -json             Write JSON
";

const AGENT_HELP: &str = "\
Usage: nomadd agent [options]

  Runs an agent until it is interrupted. Flags win over configuration files.

General:
  -config=<path>           File or folder of configuration; may be given often
  -dev                     Server and client on 127.0.0.1, in a temporary folder
  -bind=<addr>             Address that listeners bind (default 0.0.0.0)
  -data-dir=<path>         Folder in which the agent keeps its state
  -dc=<name>               Datacenter (default dc1)
  -region=<name>           Region (default global)
  -node=<name>             Name of this agent (default: the host's name)
  -log-level=<level>       TRACE, DEBUG, INFO, WARN or ERROR
  -log-json                Log lines as JSON
  -log-file=<path>         Log to a file, too

Server:
  -server                  Be a server
  -bootstrap-expect=<n>    How many servers form a new cluster

Client:
  -client                  Be a client
  -state-dir=<path>        Where the client keeps its state
  -alloc-dir=<path>        Where allocations live
  -node-class=<class>      Class of the node
  -node-pool=<pool>        Pool of the node
  -meta=<key>=<value>      Metadata of the node; may be given often
  -network-interface=<if>  Interface that ports are given out on
";

#[cfg(test)]
mod tests {
    use super::*;

    fn agent_flags(words: &[&str]) -> Result<Options, Usage> {
        agent(words)
    }

    #[test]
    fn flags_become_configuration_in_their_order() {
        let options = agent_flags(&[
            "-dev",
            "--config=a.hcl",
            "-config",
            "b",
            "-meta=rack=r1",
            "-log-level",
            "WARN",
            "-client=false",
        ])
        .unwrap();
        assert_eq!(options.mode, Mode::Development);
        assert_eq!(options.files, [PathBuf::from("a.hcl"), PathBuf::from("b")]);
        assert_eq!(
            options.flags.concat(),
            "client {\n  meta = { \"rack\" = \"r1\" }\n}\nlog_level = \"WARN\"\nclient {\n  enabled = false\n}\n"
        );
    }

    #[test]
    fn the_doctor_takes_files_and_a_form() {
        let options = examine(&["-config", "a", "--config=b", "-json"]).unwrap();
        assert_eq!(options.files, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(options.form, doctor::Form::Json);
        assert_eq!(examine(&["-jsn"]).unwrap_err().code(), 2);
        assert_eq!(examine(&["now"]).unwrap_err().code(), 2);
    }

    #[test]
    fn a_wrong_flag_is_named_with_a_suggestion() {
        assert!(agent_flags(&["-log-levl=x"]).unwrap_err().to_string().contains("did you mean -log-level?"));
        assert!(agent_flags(&["-data-dir"]).unwrap_err().to_string().contains("flag needs an argument: -data-dir"));
        assert!(agent_flags(&["-bootstrap-expect=many"]).unwrap_err().to_string().contains("a number is expected"));
        assert!(agent_flags(&["extra"]).unwrap_err().to_string().contains("extra"));
    }
}
