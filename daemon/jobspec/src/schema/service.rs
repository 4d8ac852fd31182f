//! Services, checks and identities.

use super::connect::CONNECT;
use super::{Schema, bool, duration, integer, list_map_block, many, map_block, one, schema, text, text_map, texts};

pub(super) static SERVICE: Schema = schema(
    &[
        text("name", "Name"),
        texts("tags", "Tags"),
        texts("canary_tags", "CanaryTags"),
        bool("enable_tag_override", "EnableTagOverride"),
        text("port", "PortLabel"),
        text("address_mode", "AddressMode"),
        text("address", "Address"),
        text_map("meta", "Meta"),
        text_map("canary_meta", "CanaryMeta"),
        text_map("tagged_addresses", "TaggedAddresses"),
        text("task", "TaskName"),
        text("on_update", "OnUpdate"),
        text("provider", "Provider"),
        text("cluster", "Cluster"),
        text("kind", "Kind"),
    ],
    &[
        many("check", "Checks", &CHECK),
        one("check_restart", "CheckRestart", &CHECK_RESTART),
        one("connect", "Connect", &CONNECT),
        map_block("meta", "Meta"),
        map_block("canary_meta", "CanaryMeta"),
        map_block("tagged_addresses", "TaggedAddresses"),
        one("identity", "Identity", &IDENTITY),
        one("weights", "Weights", &WEIGHTS),
    ],
);

static CHECK: Schema = schema(
    &[
        text("name", "Name"),
        text("type", "Type"),
        text("command", "Command"),
        texts("args", "Args"),
        text("path", "Path"),
        text("protocol", "Protocol"),
        text("port", "PortLabel"),
        bool("expose", "Expose"),
        text("address_mode", "AddressMode"),
        text("advertise", "Advertise"),
        duration("interval", "Interval"),
        duration("timeout", "Timeout"),
        text("initial_status", "InitialStatus"),
        text("notes", "Notes"),
        text("tls_server_name", "TLSServerName"),
        bool("tls_skip_verify", "TLSSkipVerify"),
        text("method", "Method"),
        text("grpc_service", "GRPCService"),
        bool("grpc_use_tls", "GRPCUseTLS"),
        text("task", "TaskName"),
        integer("success_before_passing", "SuccessBeforePassing"),
        integer("failures_before_critical", "FailuresBeforeCritical"),
        integer("failures_before_warning", "FailuresBeforeWarning"),
        text("body", "Body"),
        text("on_update", "OnUpdate"),
    ],
    &[list_map_block("header", "Header"), one("check_restart", "CheckRestart", &CHECK_RESTART)],
);

static CHECK_RESTART: Schema =
    schema(&[integer("limit", "Limit"), duration("grace", "Grace"), bool("ignore_warnings", "IgnoreWarnings")], &[]);

static WEIGHTS: Schema = schema(&[integer("passing", "Passing"), integer("warning", "Warning")], &[]);

pub(super) static IDENTITY: Schema = schema(
    &[
        text("name", "Name"),
        texts("aud", "Audience"),
        text("change_mode", "ChangeMode"),
        text("change_signal", "ChangeSignal"),
        bool("env", "Env"),
        bool("file", "File"),
        text("filepath", "Filepath"),
        text("service_name", "ServiceName"),
        duration("ttl", "TTL"),
        texts("extra_claims", "ExtraClaims"),
    ],
    &[],
);
