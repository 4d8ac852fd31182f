//! The file, the job, and the blocks that stand in it (or in the groups below).

use super::group::GROUP;
use super::task::{SECRET, TASK, VAULT};
use super::{
    Schema, bool, duration, free, integer, labelled, many, map_block, one, schema, text, text_map, texts, unsigned,
};

/// The top level of a file. What variables and locals contain is looked at before the job is decoded.
pub(crate) static FILE: Schema =
    schema(&[], &[one("job", "Job", &JOB), many("variable", "", &VARIABLE), free("variables", ""), free("locals", "")]);

static VARIABLE: Schema = labelled(&[""], &[], &[many("validation", "", &VALIDATION)]);
static VALIDATION: Schema = schema(&[], &[]);

pub(super) static JOB: Schema = Schema {
    labels: &["ID"],
    arguments: &[
        text("region", "Region"),
        text("namespace", "Namespace"),
        text("id", "ID"),
        text("name", "Name"),
        text("type", "Type"),
        integer("priority", "Priority"),
        bool("all_at_once", "AllAtOnce"),
        texts("datacenters", "Datacenters"),
        text("node_pool", "NodePool"),
        text_map("meta", "Meta"),
    ],
    blocks: &[
        many("constraint", "Constraints", &CONSTRAINT),
        many("affinity", "Affinities", &AFFINITY),
        many("group", "TaskGroups", &GROUP),
        many("task", "Tasks", &TASK),
        one("update", "Update", &UPDATE),
        one("multiregion", "Multiregion", &MULTIREGION),
        many("spread", "Spreads", &SPREAD),
        one("periodic", "Periodic", &PERIODIC),
        one("parameterized", "ParameterizedJob", &PARAMETERIZED),
        one("reschedule", "Reschedule", &RESCHEDULE),
        one("migrate", "Migrate", &MIGRATE),
        map_block("meta", "Meta"),
        one("ui", "UI", &UI),
        one("vault", "Vault", &VAULT),
        many("secret", "Secrets", &SECRET),
    ],
    dropped: &["vault_token", "consul_token", "nomad_token"],
};

pub(super) static CONSTRAINT: Schema = schema(
    &[
        text("attribute", "LTarget"),
        text("value", "RTarget"),
        text("operator", "Operand"),
        text("version", "version"),
        text("semver", "semver"),
        text("regexp", "regexp"),
        text("set_contains", "set_contains"),
        text("set_contains_all", ""),
        text("set_contains_any", ""),
        text("is_set", ""),
        text("is_not_set", ""),
        bool("distinct_hosts", "distinct_hosts"),
        text("distinct_property", "distinct_property"),
    ],
    &[],
);

pub(super) static AFFINITY: Schema = schema(
    &[
        text("attribute", "LTarget"),
        text("value", "RTarget"),
        text("operator", "Operand"),
        integer("weight", "Weight"),
        text("version", "version"),
        text("semver", "semver"),
        text("regexp", "regexp"),
        text("set_contains", "set_contains"),
        text("set_contains_all", "set_contains_all"),
        text("set_contains_any", "set_contains_any"),
    ],
    &[],
);

pub(super) static SPREAD: Schema = schema(
    &[text("attribute", "Attribute"), integer("weight", "Weight")],
    &[many("target", "SpreadTarget", &SPREAD_TARGET)],
);

static SPREAD_TARGET: Schema = labelled(&["Value"], &[unsigned("percent", "Percent")], &[]);

pub(super) static UPDATE: Schema = schema(
    &[
        duration("stagger", "Stagger"),
        integer("max_parallel", "MaxParallel"),
        text("health_check", "HealthCheck"),
        duration("min_healthy_time", "MinHealthyTime"),
        duration("healthy_deadline", "HealthyDeadline"),
        duration("progress_deadline", "ProgressDeadline"),
        integer("canary", "Canary"),
        bool("auto_revert", "AutoRevert"),
        bool("auto_promote", "AutoPromote"),
    ],
    &[],
);

pub(super) static RESCHEDULE: Schema = schema(
    &[
        integer("attempts", "Attempts"),
        duration("interval", "Interval"),
        duration("delay", "Delay"),
        text("delay_function", "DelayFunction"),
        duration("max_delay", "MaxDelay"),
        bool("unlimited", "Unlimited"),
    ],
    &[],
);

pub(super) static MIGRATE: Schema = schema(
    &[
        integer("max_parallel", "MaxParallel"),
        text("health_check", "HealthCheck"),
        duration("min_healthy_time", "MinHealthyTime"),
        duration("healthy_deadline", "HealthyDeadline"),
    ],
    &[],
);

static PERIODIC: Schema = schema(
    &[
        bool("enabled", "Enabled"),
        text("cron", "Spec"),
        texts("crons", "Specs"),
        bool("prohibit_overlap", "ProhibitOverlap"),
        text("time_zone", "TimeZone"),
    ],
    &[],
);

static PARAMETERIZED: Schema = schema(
    &[text("payload", "Payload"), texts("meta_required", "MetaRequired"), texts("meta_optional", "MetaOptional")],
    &[],
);

static MULTIREGION: Schema =
    schema(&[], &[one("strategy", "Strategy", &MULTIREGION_STRATEGY), many("region", "Regions", &MULTIREGION_REGION)]);

static MULTIREGION_STRATEGY: Schema =
    schema(&[integer("max_parallel", "MaxParallel"), text("on_failure", "OnFailure")], &[]);

static MULTIREGION_REGION: Schema = labelled(
    &["Name"],
    &[
        integer("count", "Count"),
        texts("datacenters", "Datacenters"),
        text("node_pool", "NodePool"),
        text_map("meta", "Meta"),
    ],
    &[map_block("meta", "Meta")],
);

static UI: Schema = schema(&[text("description", "Description")], &[many("link", "Links", &UI_LINK)]);

static UI_LINK: Schema = schema(&[text("label", "Label"), text("url", "URL")], &[]);
