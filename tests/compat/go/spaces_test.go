package compat

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

func TestNamespaces(t *testing.T) {
	client := connect(t)
	namespaces := client.Namespaces()
	team := &api.Namespace{
		Name: "team-go", Description: "a team", Meta: map[string]string{"owner": "bob"},
		Capabilities: &api.NamespaceCapabilities{EnabledTaskDrivers: []string{"raw_exec"}, DisabledNetworkModes: []string{"bridge"}},
	}
	written, err := namespaces.Register(team, nil)
	must(t, err)
	hold(t, written.LastIndex > 0, "written: %+v", written)
	t.Cleanup(func() { namespaces.Delete("team-go", nil) })
	one, meta, err := namespaces.Info("team-go", nil)
	must(t, err)
	hold(t, one.Description == "a team" && one.Meta["owner"] == "bob" && one.CreateIndex == written.LastIndex, "read: %+v", one)
	hold(t, one.Capabilities.EnabledTaskDrivers[0] == "raw_exec" && meta.LastIndex == one.ModifyIndex, "read: %+v", one)
	listed, _, err := namespaces.List(nil)
	must(t, err)
	hold(t, len(listed) == 2, "list: %+v", listed)
	listed, _, err = namespaces.PrefixList("team", nil)
	must(t, err)
	hold(t, len(listed) == 1 && listed[0].Name == "team-go", "by prefix: %+v", listed)

	job := sleeper("in-team")
	job.Namespace = to("team-go")
	_, _, err = client.Jobs().Register(job, nil)
	must(t, err)
	inTeam := &api.QueryOptions{Namespace: "team-go"}
	until(t, "it runs", func() error {
		stubs, _, err := client.Jobs().Allocations("in-team", false, inTeam)
		if err == nil && (len(stubs) != 1 || stubs[0].ClientStatus != "running") {
			err = fmt.Errorf("%+v", stubs)
		}
		return err
	})
	elsewhere, _, err := client.Jobs().List(nil)
	must(t, err)
	for _, stub := range elsewhere {
		hold(t, stub.ID != "in-team", "seen in default: %+v", stub)
	}
	_, _, err = client.Jobs().Info("in-team", nil)
	refused(t, err, "404 (job not found)")
	all, _, err := client.Jobs().List(&api.QueryOptions{Namespace: "*", Prefix: "in-team"})
	must(t, err)
	hold(t, len(all) == 1 && all[0].Namespace == "team-go", "in all: %+v", all)

	_, err = namespaces.Delete("team-go", nil)
	refused(t, err, `namespace "team-go" has non-terminal jobs in regions: [global]`)
	_, err = namespaces.Delete("default", nil)
	refused(t, err, "can not delete default namespace")
	_, err = namespaces.Register(&api.Namespace{Name: "bad name"}, nil)
	refused(t, err, `invalid name "bad name". Must match regex ^[a-zA-Z0-9-]{1,128}$`)
	_, err = namespaces.Register(&api.Namespace{Name: "q", Quota: "some"}, nil)
	refused(t, err, "quotas are not there yet")
	docker := sleeper("docker")
	docker.Namespace = to("team-go")
	docker.TaskGroups[0].Tasks[0].Driver = "docker"
	_, _, err = client.Jobs().Register(docker, nil)
	refused(t, err, `used task driver "docker" is not allowed in namespace "team-go"`)
	_, _, err = client.Jobs().Deregister("in-team", true, &api.WriteOptions{Namespace: "team-go"})
	must(t, err)
	until(t, "the namespace can be deleted", func() error {
		_, err := namespaces.Delete("team-go", nil)
		return err
	})
	_, _, err = namespaces.Info("team-go", nil)
	refused(t, err, "404 (Namespace not found)")
}

func TestNodePools(t *testing.T) {
	client := connect(t)
	pools := client.NodePools()
	gpu := &api.NodePool{
		Name: "gpu", Description: "cards", Meta: map[string]string{"cost": "high"},
		SchedulerConfiguration: &api.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: to(true)},
	}
	written, err := pools.Register(gpu, nil)
	must(t, err)
	hold(t, written.LastIndex > 0, "written: %+v", written)
	t.Cleanup(func() { pools.Delete("gpu", nil) })
	one, _, err := pools.Info("gpu", nil)
	must(t, err)
	hold(t, one.Description == "cards" && one.Meta["cost"] == "high" && one.NodeIdentityTTL == 24*time.Hour, "read: %+v", one)
	hold(t, *one.SchedulerConfiguration.MemoryOversubscriptionEnabled && one.SchedulerConfiguration.SchedulerAlgorithm == "spread", "read: %+v", one)
	listed, _, err := pools.List(nil)
	must(t, err)
	hold(t, len(listed) == 3 && listed[0].Name == "all", "list: %+v", listed)
	listed, _, err = pools.PrefixList("gp", nil)
	must(t, err)
	hold(t, len(listed) == 1, "by prefix: %+v", listed)
	nodes, _, err := pools.ListNodes("default", nil)
	must(t, err)
	hold(t, len(nodes) == 1, "nodes: %+v", nodes)
	nodes, _, err = pools.ListNodes("gpu", nil)
	must(t, err)
	hold(t, len(nodes) == 0, "nodes: %+v", nodes)

	waiting := sleeper("waits-for-gpu")
	waiting.NodePool = to("gpu")
	register(t, client, waiting)
	jobs, _, err := pools.ListJobs("gpu", nil)
	must(t, err)
	hold(t, len(jobs) == 1 && jobs[0].ID == "waits-for-gpu", "jobs: %+v", jobs)
	_, err = pools.Delete("gpu", nil)
	refused(t, err, `node pool "gpu" has non-terminal jobs in regions: [global]`)
	_, err = pools.Delete("default", nil)
	refused(t, err, `node pool "default" has nodes in regions: [global]`)
	_, err = pools.Delete("all", nil)
	refused(t, err, `deleting node pool "all" is not allowed`)
	_, err = pools.Register(&api.NodePool{Name: "all"}, nil)
	refused(t, err, `modifying node pool "all" is not allowed`)
	_, err = pools.Register(&api.NodePool{Name: "bad name"}, nil)
	refused(t, err, `invalid name "bad name", must match regex ^[a-zA-Z0-9-_]{1,128}$`)
	_, _, err = client.Jobs().Deregister("waits-for-gpu", true, nil)
	must(t, err)
	until(t, "the pool can be deleted", func() error {
		_, err := pools.Delete("gpu", nil)
		return err
	})
	_, _, err = pools.Info("gpu", nil)
	refused(t, err, "404 (node pool not found)")
}

func TestEventStream(t *testing.T) {
	client := connect(t)
	ending, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	topics := map[api.Topic][]string{api.TopicJob: {"streamed"}, api.TopicAllocation: {"streamed"}, api.TopicEvaluation: {"*"}, api.TopicNodePool: {"*"}}
	events, err := client.EventStream().Stream(ending, topics, 0, nil)
	must(t, err)
	registered := register(t, client, sleeper("streamed"))
	allocation := running(t, client, "streamed", 1)
	_, err = client.NodePools().Register(&api.NodePool{Name: "streamed"}, nil)
	must(t, err)
	_, err = client.NodePools().Delete("streamed", nil)
	must(t, err)
	seen := map[string]uint64{}
	for seen["NodePool NodePoolDeleted"] == 0 || seen["running"] == 0 {
		batch, more := <-events
		if !more {
			t.Fatalf("the stream ended; seen: %v", seen)
		}
		must(t, batch.Err)
		for _, event := range batch.Events {
			seen[fmt.Sprintf("%s %s", event.Topic, event.Type)] = event.Index
			hold(t, event.Index == batch.Index, "index %d in a batch of %d", event.Index, batch.Index)
			switch event.Topic {
			case api.TopicJob:
				job, err := event.Job()
				must(t, err)
				hold(t, *job.ID == "streamed" && event.Key == "streamed", "job: %+v", job)
			case api.TopicEvaluation:
				evaluation, err := event.Evaluation()
				must(t, err)
				if evaluation.ID == registered.EvalID && event.Type == "JobRegistered" {
					seen["its evaluation"] = event.Index
				}
			case api.TopicAllocation:
				one, err := event.Allocation()
				must(t, err)
				hold(t, one.JobID == "streamed" && one.Job == nil && event.FilterKeys[0] == "streamed", "allocation: %+v", one)
				if one.ID == allocation.ID && one.ClientStatus == "running" {
					seen["running"] = event.Index
				}
			case api.TopicNodePool:
				pool, err := event.NodePool()
				must(t, err)
				hold(t, pool.Name == event.Key, "pool: %+v", pool)
			}
		}
	}
	for _, name := range []string{"Job JobRegistered", "its evaluation", "Allocation PlanResult", "Allocation AllocationUpdated", "NodePool NodePoolUpserted"} {
		hold(t, seen[name] > 0, "%s was not seen: %v", name, seen)
	}

	// Who comes back with an index goes on there.
	again, err := client.EventStream().Stream(ending, map[api.Topic][]string{api.TopicAll: {"*"}}, seen["NodePool NodePoolDeleted"], nil)
	must(t, err)
	for batch := range again {
		must(t, batch.Err)
		if batch.IsHeartbeat() {
			continue
		}
		hold(t, batch.Index >= seen["NodePool NodePoolDeleted"], "index %d", batch.Index)
		break
	}
}
