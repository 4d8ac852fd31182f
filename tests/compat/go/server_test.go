package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/api/contexts"
)

func TestEvaluations(t *testing.T) {
	client := connect(t)
	evaluations := client.Evaluations()
	done := register(t, client, sleeper("evaluated"))
	running(t, client, "evaluated", 1)
	one, meta, err := evaluations.Info(done.EvalID, nil)
	must(t, err)
	hold(t, one.JobID == "evaluated" && one.Status == "complete" && one.TriggeredBy == "job-register" && meta.LastIndex > 0, "read: %+v", one)
	one, _, err = evaluations.Info(done.EvalID, &api.QueryOptions{Params: map[string]string{"related": "true"}})
	must(t, err)
	hold(t, one.RelatedEvals != nil || one.ID == done.EvalID, "related: %+v", one)
	_, _, err = evaluations.Info("ffffffff-aaaa-bbbb-cccc-dddddddddddd", nil)
	refused(t, err, "404 (eval not found)")
	listed, _, err := evaluations.List(&api.QueryOptions{Filter: `JobID == "evaluated"`})
	must(t, err)
	hold(t, len(listed) >= 1, "list: %+v", listed)
	listed, _, err = evaluations.PrefixList(done.EvalID[:8])
	must(t, err)
	hold(t, len(listed) == 1, "by prefix: %+v", listed)
	listed, _, err = evaluations.List(&api.QueryOptions{Params: map[string]string{"job": "evaluated", "status": "complete"}})
	must(t, err)
	hold(t, len(listed) >= 1, "by job: %+v", listed)
	count, _, err := evaluations.Count(&api.QueryOptions{Filter: `JobID == "evaluated"`})
	must(t, err)
	hold(t, count.Count >= 1, "count: %+v", count)
	allocations, _, err := evaluations.Allocations(done.EvalID, nil)
	must(t, err)
	hold(t, len(allocations) == 1, "allocations: %+v", allocations)
}

func TestDeployments(t *testing.T) {
	client := connect(t)
	deployments := client.Deployments()
	register(t, client, sleeper("deployed"))
	running(t, client, "deployed", 1)
	var latest *api.Deployment
	until(t, "the deployment succeeds", func() (err error) {
		latest, _, err = client.Jobs().LatestDeployment("deployed", nil)
		if err == nil && latest.Status != "successful" {
			err = fmt.Errorf("deployment: %+v", latest)
		}
		return err
	})
	one, _, err := deployments.Info(latest.ID, nil)
	must(t, err)
	hold(t, one.JobID == "deployed" && one.TaskGroups["g"].HealthyAllocs == 1, "read: %+v", one)
	listed, _, err := deployments.List(nil)
	must(t, err)
	hold(t, len(listed) >= 1, "list")
	listed, _, err = deployments.PrefixList(latest.ID[:8])
	must(t, err)
	hold(t, len(listed) == 1, "by prefix: %+v", listed)
	allocations, _, err := deployments.Allocations(latest.ID, nil)
	must(t, err)
	hold(t, len(allocations) == 1 && *allocations[0].DeploymentStatus.Healthy, "allocations: %+v", allocations)
	_, _, err = deployments.Info("ffffffff-aaaa-bbbb-cccc-dddddddddddd", nil)
	refused(t, err, "404 (deployment not found)")
	_, _, err = deployments.Fail(latest.ID, nil)
	refused(t, err, "can't fail terminal deployment")
}

func TestTheAgent(t *testing.T) {
	client := connect(t)
	agent := client.Agent()
	self, err := agent.Self()
	must(t, err)
	hold(t, self.Member.Status == "alive" && self.Stats["nomad"]["leader"] == "true" && self.Config["Region"] == "global", "self: %+v", self)
	name, err := agent.NodeName()
	must(t, err)
	region, err := agent.Region()
	must(t, err)
	datacenter, err := agent.Datacenter()
	must(t, err)
	hold(t, name != "" && region == "global" && datacenter == "dc1", "%q %q %q", name, region, datacenter)
	members, err := agent.Members()
	must(t, err)
	hold(t, len(members.Members) == 1 && members.ServerRegion == "global", "members: %+v", members)
	health, err := agent.Health()
	must(t, err)
	hold(t, health.Server.Ok && health.Client.Ok, "health: %+v", health)
	servers, err := agent.Servers()
	must(t, err)
	hold(t, len(servers) == 1, "servers: %v", servers)
	_, err = agent.Join("127.0.0.1:1")
	refused(t, err, "failed joining")
	workers, err := agent.GetSchedulerWorkersInfo(nil)
	must(t, err)
	hold(t, len(workers.Schedulers) > 0, "workers: %+v", workers)

	stop := make(chan struct{})
	frames, failures := agent.Monitor(stop, &api.QueryOptions{Params: map[string]string{"log_level": "trace"}})
	noise := make(chan struct{})
	go func() {
		// Whatever is done is told in the log at this level.
		for {
			select {
			case <-noise:
				return
			default:
				client.Jobs().Register(service("noise", "true"), nil)
				client.Jobs().Deregister("noise", true, nil)
			}
		}
	}()
	select {
	case frame := <-frames:
		hold(t, frame != nil && len(frame.Data) > 0, "frame: %+v", frame)
	case err := <-failures:
		t.Fatal(err)
	}
	close(noise)
	close(stop)
	_, failures = agent.Monitor(make(chan struct{}), &api.QueryOptions{Params: map[string]string{"log_level": "loud"}})
	refused(t, <-failures, "Unknown log level")
}

func TestStatusAndRegions(t *testing.T) {
	client := connect(t)
	leader, err := client.Status().Leader()
	must(t, err)
	peers, err := client.Status().Peers()
	must(t, err)
	hold(t, len(peers) == 1 && peers[0] == leader, "leader %q, peers %v", leader, peers)
	again, err := client.Status().RegionLeader("global")
	must(t, err)
	hold(t, again == leader, "leader of the region: %q", again)
	regions, err := client.Regions().List()
	must(t, err)
	hold(t, len(regions) == 1 && regions[0] == "global", "regions: %v", regions)
}

func TestSearch(t *testing.T) {
	client := connect(t)
	register(t, client, sleeper("searched-for"))
	running(t, client, "searched-for", 1)
	found, _, err := client.Search().PrefixSearch("searched", contexts.Jobs, nil)
	must(t, err)
	hold(t, len(found.Matches[contexts.Jobs]) == 1 && !found.Truncations[contexts.Jobs], "found: %+v", found)
	node := only(t, client)
	found, _, err = client.Search().PrefixSearch(node.ID[:4], contexts.All, nil)
	must(t, err)
	hold(t, len(found.Matches[contexts.Nodes]) == 1, "found: %+v", found)
	fuzzy, _, err := client.Search().FuzzySearch("ched-f", contexts.All, nil)
	must(t, err)
	hold(t, len(fuzzy.Matches[contexts.Jobs]) == 1 && fuzzy.Matches[contexts.Jobs][0].ID == "searched-for", "found: %+v", fuzzy)
	_, _, err = client.Search().FuzzySearch("c", contexts.All, nil)
	refused(t, err, "fuzzy search query must be at least 2 characters, got 1")
}

func TestTheOperator(t *testing.T) {
	client := connect(t)
	operator := client.Operator()
	before, _, err := operator.SchedulerGetConfiguration(nil)
	must(t, err)
	hold(t, before.SchedulerConfig.SchedulerAlgorithm == "binpack", "scheduler: %+v", before.SchedulerConfig)
	changed := *before.SchedulerConfig
	changed.SchedulerAlgorithm = api.SchedulerAlgorithmSpread
	set, _, err := operator.SchedulerSetConfiguration(&changed, nil)
	must(t, err)
	hold(t, set.Updated, "set: %+v", set)
	stale := changed
	stale.ModifyIndex = 1
	set, _, err = operator.SchedulerCASConfiguration(&stale, nil)
	must(t, err)
	hold(t, !set.Updated, "set in spite of a change: %+v", set)
	now, _, err := operator.SchedulerGetConfiguration(nil)
	must(t, err)
	hold(t, now.SchedulerConfig.SchedulerAlgorithm == "spread", "scheduler: %+v", now.SchedulerConfig)
	now.SchedulerConfig.SchedulerAlgorithm = api.SchedulerAlgorithmBinpack
	set, _, err = operator.SchedulerCASConfiguration(now.SchedulerConfig, nil)
	must(t, err)
	hold(t, set.Updated, "not set: %+v", set)

	raft, err := operator.RaftGetConfiguration(nil)
	must(t, err)
	hold(t, len(raft.Servers) == 1 && raft.Servers[0].Leader && raft.Servers[0].Voter, "raft: %+v", raft)
	autopilot, _, err := operator.AutopilotServerHealth(nil)
	must(t, err)
	hold(t, autopilot.Healthy && len(autopilot.Servers) == 1, "autopilot: %+v", autopilot)
	_, _, err = operator.AutopilotGetConfiguration(nil)
	must(t, err)
	metrics, err := operator.Metrics(&api.QueryOptions{Params: map[string]string{"format": "prometheus"}})
	must(t, err)
	hold(t, strings.Contains(string(metrics), "# TYPE nomad_"), "metrics: %.200s", metrics)
	metrics, err = operator.Metrics(nil)
	must(t, err)
	hold(t, json.Valid(metrics), "metrics: %.200s", metrics)
	summary, _, err := operator.MetricsSummary(nil)
	must(t, err)
	hold(t, len(summary.Gauges) > 0, "metrics: %+v", summary)
	must(t, client.System().GarbageCollect())
	must(t, client.System().ReconcileSummaries())
}

func TestNamespacesAndNodePools(t *testing.T) {
	client := connect(t)
	namespaces, _, err := client.Namespaces().List(nil)
	must(t, err)
	hold(t, len(namespaces) == 1 && namespaces[0].Name == "default", "namespaces: %+v", namespaces)
	one, _, err := client.Namespaces().Info("default", nil)
	must(t, err)
	hold(t, one.Name == "default", "namespace: %+v", one)
	_, _, err = client.Namespaces().Info("nobody", nil)
	refused(t, err, "404")
	pools, _, err := client.NodePools().List(nil)
	must(t, err)
	hold(t, len(pools) == 2 && pools[0].Name == "all" && pools[1].Name == "default", "pools: %+v", pools)
	pool, _, err := client.NodePools().Info("default", nil)
	must(t, err)
	hold(t, pool.Name == "default", "pool: %+v", pool)
	nodes, _, err := client.NodePools().ListNodes("default", nil)
	must(t, err)
	hold(t, len(nodes) == 1, "nodes: %+v", nodes)
	_, _, err = client.NodePools().ListJobs("default", nil)
	must(t, err)
	_, _, err = client.Scaling().ListPolicies(nil)
	must(t, err)
}

// Runs last by its name: a restore takes the state back to the snapshot.
func TestZSnapshotsAreSavedAndRestored(t *testing.T) {
	client := connect(t)
	register(t, client, sleeper("kept"))
	running(t, client, "kept", 1)
	archive, err := client.Operator().Snapshot(nil)
	must(t, err)
	// The client checks the sum that the Digest header tells.
	saved, err := io.ReadAll(archive)
	must(t, err)
	must(t, archive.Close())
	hold(t, len(saved) > 0, "an empty snapshot")
	register(t, client, sleeper("forgotten"))
	_, err = client.Operator().SnapshotRestore(strings.NewReader("no snapshot"), nil)
	hold(t, err != nil, "no snapshot was restored")
	_, err = client.Operator().SnapshotRestore(bytes.NewReader(saved), nil)
	must(t, err)
	until(t, "the state is that of the snapshot", func() error {
		_, _, err := client.Jobs().Info("forgotten", nil)
		if err == nil {
			return fmt.Errorf("a later job is still there")
		}
		_, _, err = client.Jobs().Info("kept", nil)
		return err
	})
	running(t, client, "kept", 1)
}
